"""Keepalive: finds a peer that is gone and whose connection does not know it.

Laws: a ping goes out only after a silence, and only while there are calls: servers punish more.
Whatever is heard after it is an answer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Seconds of silence until a ping, and from the ping until the peer counts as gone."""

    silence: float
    patience: float


class KeepaliveTimer:
    """One connection's, from `begin` to `stop`.

    Args:
        keepalive: how long is how long.
        heard: tells when the peer was heard last, in loop.time.
        busy: tells whether there are calls.
        ping: sends a ping.
        gone: is told once that the peer is gone.

    """

    def __init__(
        self,
        keepalive: Keepalive,
        *,
        heard: Callable[[], float],
        busy: Callable[[], bool],
        ping: Callable[[], None],
        gone: Callable[[], None],
    ) -> None:
        self._keepalive = keepalive
        self._heard = heard
        self._busy = busy
        self._ping = ping
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Listen."""
        self._again(self._keepalive.silence)

    def stop(self) -> None:
        """Listen no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _again(self, delay: float) -> None:
        self._timer = self._loop.call_later(delay, self._look)

    def _look(self) -> None:
        silence = self._loop.time() - self._heard()
        left = self._keepalive.silence - silence
        if left > _ROUNDING:
            self._again(left)
        elif self._busy():
            self._ping()
            self._timer = self._loop.call_later(
                self._keepalive.patience, self._judge, self._loop.time()
            )
        else:
            self._again(self._keepalive.silence)

    def _judge(self, pinged: float) -> None:
        if self._heard() >= pinged:
            self._look()
        else:
            self._gone()


_ROUNDING = 0.001
