"""Half-closed clients: whether one that closed its side still reads (RFC 9112 §9.6).

Its connection looks the same as that of a client that is wholly gone. A write to a socket that
nobody has is answered by a reset, which the next write sees.
"""

import asyncio
from typing import Final, Protocol

PROBE_DELAYS: Final = (0.1, 0.9, 0.1)
"""Seconds between writes: a reset takes one way there and back."""
GRACE_PROBES: Final = 3
"""Probes that may pass before the response starts: one second."""


class ProbedStream(Protocol):
    """A stream whose client closed its side."""

    @property
    def closed(self) -> bool:
        """Whether the client is known to be gone."""

    @property
    def started(self) -> bool:
        """Whether something can be written that is no part of an answer."""

    def send_ping(self) -> None:
        """Write something that means nothing."""

    def abort(self) -> None:
        """Drop the connection."""


class HalfCloseProbe:
    """Probes one stream, from `start` until its owner stops it."""

    __slots__ = ("_passed", "_stream", "_timer")

    def __init__(self, stream: ProbedStream) -> None:
        self._stream = stream
        self._passed = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Write now and then; give up a response that does not start."""
        self._timer = None
        stream, passed = self._stream, self._passed
        if stream.closed:
            return
        if stream.started:
            stream.send_ping()
        elif passed + 1 >= GRACE_PROBES:
            stream.abort()
            return
        if passed < len(PROBE_DELAYS):
            self._passed += 1
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(PROBE_DELAYS[passed], self.start)

    def stop(self) -> None:
        """Write nothing more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
