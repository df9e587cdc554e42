"""Call: one server-streaming call, from its request to its status."""

import asyncio
import base64
from collections.abc import Callable, Iterable
from typing import Final

import h2

from .status import CallStatus
from .stream_buffer import Follower, StreamBuffer

TURN: Final = 16
"""Messages read before others get their turn: a full inbox would keep the loop from all else."""
USER_AGENT: Final = f"livequery-bridge h2/{h2.__version__}"

Metadata = Iterable[tuple[str, str | bytes]]


class CallEnded(Exception):  # noqa: N818 - what has happened
    """A call that ended otherwise than well."""

    def __init__(self, status: CallStatus) -> None:
        super().__init__(status)
        self.status = status


class Call:
    """What a reader holds of a call. `cancel` tells the peer, if the call still runs."""

    __slots__ = ("_cancel", "_inbox", "_turn")

    def __init__(self, inbox: StreamBuffer, cancel: Callable[[], None]) -> None:
        self._inbox = inbox
        self._cancel = cancel
        self._turn = 0

    async def read(self) -> bytes | None:
        """Wait for the next message, None at the end. Raises CallEnded.

        Returns without suspending where there is one, but for one time in TURN. Cancelling loses
        no message.
        """
        inbox = self._inbox
        self._turn += 1
        if self._turn >= TURN:
            self._turn = 0
            await asyncio.sleep(0)
        while not inbox.messages:
            if (end := inbox.end) is not None:
                if end.code == "OK":
                    return None
                raise CallEnded(end)
            self._turn = 0
            await inbox.news()
        return inbox.take()

    async def follow(self, take: Follower) -> None:
        """Hand each message to `take`, as it comes, until the end. Raises CallEnded.

        What `take` raises is raised here; messages after that one can still be read.
        """
        inbox = self._inbox
        try:
            await inbox.follow(take)
        finally:
            inbox.leave()
        if inbox.end is not None and inbox.end.code != "OK":
            raise CallEnded(inbox.end)

    def cancel(self) -> None:
        """End the call at once. Idempotent; what is unread is forgotten."""
        self._cancel()
        self._inbox.finish(CallStatus("CANCELLED", "by ourselves"))
        self._inbox.messages.clear()


def request_headers(
    *, scheme: str, authority: str, path: str, metadata: Metadata
) -> list[tuple[str, str]]:
    """Spell a request's headers, in the order that gRPC wants."""
    return [
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", USER_AGENT),
        ("grpc-accept-encoding", "identity"),
        *((name, _spelled(name, value)) for name, value in metadata),
    ]


def _spelled(name: str, value: str | bytes) -> str:
    if name.endswith("-bin"):
        octets = value.encode() if isinstance(value, str) else value
        return base64.b64encode(octets).decode().rstrip("=")
    return value if isinstance(value, str) else value.decode("ascii")


def list_size(headers: Iterable[tuple[str, str]]) -> int:
    """Return how large a peer counts a header list (RFC 9113, section 6.5.2)."""
    return sum(len(name) + len(value) + 32 for name, value in headers)
