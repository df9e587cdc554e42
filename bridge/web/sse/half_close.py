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


def probe_half_closed(stream: ProbedStream, probes: int = 0) -> None:
    """Write now and then; give up a response that does not start."""
    if stream.closed:
        return
    if stream.started:
        stream.send_ping()
    elif probes + 1 >= GRACE_PROBES:
        stream.abort()
        return
    if probes < len(PROBE_DELAYS):
        loop = asyncio.get_running_loop()
        loop.call_later(PROBE_DELAYS[probes], probe_half_closed, stream, probes + 1)
