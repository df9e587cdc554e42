"""Encoder: the protocol of one client, as the live layer sees it."""

from typing import Protocol

from bridge.core.bundle import Bundle, SharedEncoding
from bridge.core.digest import DigestFunction


class Encoder(Protocol):
    """Encodes for one client. What its protocol has no message for is b""."""

    resets: bool
    """Whether a move to another window is sent as reset + enters. If not, it is sent as a diff."""

    @property
    def shared(self) -> SharedEncoding | None:
        """The encoding of groups from here on. None: its bytes are shared with no other viewer."""

    def frames(self, bundle: Bundle) -> bytes:
        """Encode groups. The bytes are shared with other viewers where they can be."""

    def ready(self, rows: int, resumed: str, digest: DigestFunction) -> bytes:
        """Encode that the window is complete, and how it came about (docs/wire.md §5)."""

    def state(self, stale: str | None) -> bytes:
        """Encode that the tier is lost, and why. None: that it is back."""
