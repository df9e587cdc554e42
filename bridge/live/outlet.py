"""Outlet: one client's socket as the live floor sees it, and the watch over those that lag.

Writing never awaits: what the socket does not take at once stays in its buffer, and the outlet is
watched until the buffer is empty. A socket that takes nothing for the stall limit is given up.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

ROOM = 32 * 1024
"""Unsent bytes up to which a socket is written to; beyond, viewers wait in their log."""

SWEEP = 0.025
"""Seconds between two looks at the sockets that lag, where somebody waits for room."""

STROLL = 1.0
"""Seconds between two where nobody does: it is only seen whether the client takes anything."""

SLICE = 0.005
"""Seconds that one look may spend on catching viewers up before others get their turn."""


class Wire(Protocol):
    """The short way to a socket, for those in step (see `rank`)."""

    def send(self, data: bytes) -> int:
        """Hand bytes to the kernel at once, past what is unsent in this process.

        Returns how many it took. Raises OSError.
        """


class Sink(Protocol):
    """A socket: SSE, WebSocket, or a test's list."""

    def write(self, data: bytes) -> None:
        """Take bytes without blocking; a no-op once the client is gone."""

    def wire(self) -> Wire | None:
        """Lay the short way, where there can be one."""

    @property
    def unsent(self) -> Callable[[], int]:
        """What tells how many bytes wait in this process."""


class Stepping(Protocol):
    """Somebody in step with others, who sends to the socket past the outlet."""

    def step_out(self) -> None:
        """Send no more past the outlet."""


class Waiting(Protocol):
    """Somebody who flushes when there is room again."""

    def flush(self) -> None:
        """Write what is due."""


class Outlet:
    """A sink with a clock: knows whether there is room, and when the client last took anything.

    Law: who is in step on it is so only while nothing is unsent in this process and the connection
    stands. So whatever else is written, and the connection's end, puts them out of step first.
    """

    __slots__ = (
        "_taken",
        "_taken_at",
        "_waiting",
        "_write",
        "gone",
        "in_step",
        "stalled",
        "unsent",
        "watch",
        "wire",
        "written",
        "written_at",
    )

    def __init__(self, sink: Sink, watch: "Watch", *, stalled: Callable[[], None]) -> None:
        self.wire: Callable[[], Wire | None] = sink.wire
        """Lays the short way to the socket; what goes there is not counted as written."""
        self.in_step: tuple[Stepping, ...] = ()
        """Who sends that way."""
        self.unsent = sink.unsent
        """Tells how many bytes the socket has not taken."""
        self.stalled = stalled
        self.gone = False
        """Set when its client is gone: it is not looked at any more."""
        self.written_at = watch.now()
        self.watch = watch
        self._write = sink.write
        self.written = 0
        self._taken = 0
        self._taken_at = 0.0
        self._waiting: dict[Waiting, None] | None = None

    @property
    def roomy(self) -> bool:
        """Whether more may be written."""
        return self.unsent() <= ROOM

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket; watched from now on if it does not take them all."""
        if self.in_step:
            self._put_out()
        self._write(data)
        self.written += len(data)
        self.written_at = self.watch.now()
        self.watch.touch(self)

    def _put_out(self) -> None:
        for stepping in self.in_step:
            stepping.step_out()

    def cut(self) -> None:
        """Take note that the connection is gone: its descriptor will soon be another's."""
        self.wire = _nowhere
        if self.in_step:
            self._put_out()

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for room."""
        return bool(self._waiting)

    def when_roomy(self, waiting: Waiting) -> None:
        """Flush somebody once there is room again."""
        if self._waiting is None:
            self._waiting = {}
        self._waiting[waiting] = None
        self.watch.add(self)
        self.watch.hurry()

    def watched(self, now: float) -> None:
        """Begin the stall clock."""
        self._taken = self.written - self.unsent()
        self._taken_at = now

    def give_up(self) -> None:
        """Have the client cut: it does not take what it is sent."""
        self._waiting = None
        self.stalled()

    def let_go(self) -> None:
        """Call nobody any more.

        Else it would keep its stream, and that it, until the collector of cycles comes.
        """
        self._waiting = None
        self.stalled = nobody

    def look(self, now: float, stall: float) -> bool:
        """See how the socket does; returns whether it must be watched on."""
        unsent = self.unsent()
        taken = self.written - unsent
        if taken > self._taken:
            self._taken, self._taken_at = taken, now
        elif unsent and stall and now - self._taken_at >= stall:
            self.give_up()
            return False
        self._taken = taken  # less than before: others write to the socket too
        if unsent <= ROOM and self._waiting:
            waiting, self._waiting = self._waiting, None
            for somebody in waiting:
                somebody.flush()
        return bool(self.unsent() or self._waiting)


def nobody() -> None:
    """Tell nobody."""


def _nowhere() -> None:
    """Lay no way: the connection is gone."""


class Watch:
    """Looks at lagging outlets, as often as somebody needs it; asleep while there are none."""

    def __init__(
        self,
        *,
        stall: float,
        loop: asyncio.AbstractEventLoop | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._stall = stall
        self._loop = loop or asyncio.get_running_loop()
        self.now = clock or self._loop.time
        self._lagging: dict[Outlet, None] = {}
        self._touched: list[Outlet] = []
        self._stroll = min(STROLL, stall / 8) if stall else STROLL
        self._timer: asyncio.TimerHandle | None = None
        self._hurried = False

    def touch(self, outlet: Outlet) -> None:
        """Watch an outlet that was written to, if its socket has not taken all by the next tick.

        Not at once: event loops may hand what is written to the kernel at the end of a tick, and
        then every socket would seem to lag.
        """
        if not self._touched:
            self._loop.call_soon(self._settle)
        self._touched.append(outlet)

    def _settle(self) -> None:
        touched, self._touched = self._touched, []
        for outlet in touched:
            if outlet.unsent():
                self.add(outlet)

    def add(self, outlet: Outlet) -> None:
        """Watch an outlet until its socket has taken everything."""
        if outlet in self._lagging or outlet.gone:
            return
        outlet.watched(self.now())
        self._lagging[outlet] = None
        if self._timer is None:
            self._set(hurried=False)

    def hurry(self) -> None:
        """Look soon."""
        if not self._hurried:
            self._set(hurried=True)

    def _set(self, *, hurried: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._hurried = hurried
        self._timer = self._loop.call_later(SWEEP if hurried else self._stroll, self.sweep)

    def remove(self, outlet: Outlet) -> None:
        """Forget an outlet: its client is gone."""
        outlet.gone = True
        self._lagging.pop(outlet, None)

    def shed(self, size: int) -> int:
        """Give up those with the most bytes unsent, `size` in all; returns how many."""
        unsent = {outlet: outlet.unsent() for outlet in self._lagging}
        given_up = 0
        for outlet in sorted(unsent, key=unsent.__getitem__, reverse=True):
            if size <= 0 or not unsent[outlet]:
                break
            size -= unsent[outlet]
            given_up += 1
            self._lagging.pop(outlet, None)
            outlet.give_up()
        return given_up

    def sweep(self) -> None:
        """Look at each lagging outlet, as long as the slice lasts; the rest is first next time."""
        began = self.now()
        self._timer, self._hurried = None, False
        hurried = False
        for outlet in list(self._lagging):
            lags = outlet.look(self.now(), self._stall)
            self._lagging.pop(outlet, None)
            if lags:
                self._lagging[outlet] = None
                hurried = hurried or outlet.awaited
            if self.now() - began > SLICE:
                hurried = True  # the rest
                break
        if self._lagging:
            self._set(hurried=hurried or self._hurried)
