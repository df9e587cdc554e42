"""WebSocketSession: one client's session on a WebSocket, in one protocol, as it is driven."""

from collections.abc import Coroutine
from typing import Any, Protocol, TypeAlias

from bridge.live.stream_end import End

Work: TypeAlias = Coroutine[Any, Any, None] | None
"""What of a command is left to be waited for; None: it is handled."""


class WebSocketSession(Protocol):
    """What a session does between the 101 response and the close frame."""

    @property
    def verified(self) -> bool:
        """Whether the bridge has verified the credential of its client."""

    def begin(self) -> Work:
        """Judge what the request came with, before the first command."""

    def handle(self, text: str) -> Work:
        """Handle a command; what is returned is waited for before the next one."""

    def send_last_message(self, end: End) -> None:
        """Send the protocol's last message before the close frame, if it has one."""

    def close(self, end: End) -> None:
        """Release all that the session holds, at once: whoever waited might be cancelled."""


class SessionOwner(Protocol):
    """Who can end a session."""

    def end(self, end: End) -> None:
        """End the session. Idempotent: the first end stays."""

    def fail(self, error: BaseException) -> None:
        """Log a bug and drop the connection."""
