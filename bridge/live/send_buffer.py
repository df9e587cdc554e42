"""Outlet: one client's socket as the live floor sees it, and the watch over those that lag.

Writing never awaits: what the socket does not take at once stays in its buffer, and the outlet is
watched until the buffer is empty. A socket that takes nothing for the stall limit is given up.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

MAX_UNSENT = 32 * 1024
"""Unsent bytes up to which a socket is written to; beyond, viewers wait in their log."""

BUSY_INTERVAL = 0.025
"""Seconds between two looks at the sockets that lag, where somebody waits for room."""

CALM_INTERVAL = 1.0
"""Seconds between two where nobody does: it is only seen whether the client takes anything."""

SWEEP_BUDGET = 0.005
"""Seconds that one look may spend on catching viewers up before others get their turn."""


class DirectSend(Protocol):
    """The short way to a socket, for those in step (see `lockstep`)."""

    def send(self, data: bytes) -> int:
        """Hand bytes to the kernel at once, past what is unsent in this process.

        Returns how many it took. Raises OSError.
        """


class Sink(Protocol):
    """A socket: SSE, WebSocket, or a test's list."""

    def write(self, data: bytes) -> None:
        """Take bytes without blocking; a no-op once the client is gone."""

    def wire(self) -> DirectSend | None:
        """Lay the short way, where there can be one."""

    @property
    def unsent(self) -> Callable[[], int]:
        """What tells how many bytes wait in this process."""


class DirectSender(Protocol):
    """Somebody in step with others, who sends to the socket past the outlet."""

    def stop_direct_send(self) -> None:
        """Send no more past the outlet."""


class RoomWaiter(Protocol):
    """Somebody who flushes when there is room again."""

    def flush(self) -> None:
        """Write what is due."""


class SendBuffer:
    """A sink with a clock: knows whether there is room, and when the client last took anything.

    Law: who is in step on it is so only while nothing is unsent in this process and the connection
    stands. So whatever else is written, and the connection's end, puts them out of step first.
    """

    __slots__ = (
        "_taken",
        "_taken_at",
        "_waiting",
        "_write",
        "direct_senders",
        "gone",
        "stall_monitor",
        "stalled",
        "unsent",
        "wire",
        "written",
        "written_at",
    )

    def __init__(
        self, sink: Sink, stall_monitor: "StallMonitor", *, stalled: Callable[[], None]
    ) -> None:
        self.wire: Callable[[], DirectSend | None] = sink.wire
        """Lays the short way to the socket; what goes there is not counted as written."""
        self.direct_senders: tuple[DirectSender, ...] = ()
        """Who sends that way."""
        self.unsent = sink.unsent
        """Tells how many bytes the socket has not taken."""
        self.stalled = stalled
        self.gone = False
        """Set when its client is gone: it is not looked at any more."""
        self.written_at = stall_monitor.now()
        self.stall_monitor = stall_monitor
        self._write = sink.write
        self.written = 0
        self._taken = 0
        self._taken_at = 0.0
        self._waiting: dict[RoomWaiter, None] | None = None

    @property
    def has_room(self) -> bool:
        """Whether more may be written."""
        return self.unsent() <= MAX_UNSENT

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket; watched from now on if it does not take them all."""
        if self.direct_senders:
            self._put_out()
        self._write(data)
        self.written += len(data)
        self.written_at = self.stall_monitor.now()
        self.stall_monitor.touch(self)

    def _put_out(self) -> None:
        for stepping in self.direct_senders:
            stepping.stop_direct_send()

    def on_connection_lost(self) -> None:
        """Take note that the connection is gone: its descriptor will soon be another's."""
        self.wire = _nowhere
        if self.direct_senders:
            self._put_out()

    @property
    def has_waiters(self) -> bool:
        """Whether somebody waits for room."""
        return bool(self._waiting)

    def flush_when_room(self, waiting: RoomWaiter) -> None:
        """Flush somebody once there is room again."""
        if self._waiting is None:
            self._waiting = {}
        self._waiting[waiting] = None
        self.stall_monitor.add(self)
        self.stall_monitor.hurry()

    def start_stall_clock(self, now: float) -> None:
        """Begin the stall clock."""
        self._taken = self.written - self.unsent()
        self._taken_at = now

    def cut_stalled(self) -> None:
        """Have the client cut: it does not take what it is sent."""
        self._waiting = None
        self.stalled()

    def detach(self) -> None:
        """Call nobody any more.

        Else it would keep its stream, and that it, until the collector of cycles comes.
        """
        self._waiting = None
        self.stalled = do_nothing

    def check(self, now: float, stall: float) -> bool:
        """See how the socket does; returns whether it must be watched on."""
        unsent = self.unsent()
        taken = self.written - unsent
        if taken > self._taken:
            self._taken, self._taken_at = taken, now
        elif unsent and stall and now - self._taken_at >= stall:
            self.cut_stalled()
            return False
        self._taken = taken  # less than before: others write to the socket too
        if unsent <= MAX_UNSENT and self._waiting:
            waiting, self._waiting = self._waiting, None
            for somebody in waiting:
                somebody.flush()
        return bool(self.unsent() or self._waiting)


def do_nothing() -> None:
    """Tell nobody."""


def _nowhere() -> None:
    """Lay no way: the connection is gone."""


class StallMonitor:
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
        self._lagging: dict[SendBuffer, None] = {}
        self._touched: list[SendBuffer] = []
        self._stroll = min(CALM_INTERVAL, stall / 8) if stall else CALM_INTERVAL
        self._timer: asyncio.TimerHandle | None = None
        self._hurried = False

    def touch(self, send_buffer: SendBuffer) -> None:
        """Watch an outlet that was written to, if its socket has not taken all by the next tick.

        Not at once: event loops may hand what is written to the kernel at the end of a tick, and
        then every socket would seem to lag.
        """
        if not self._touched:
            self._loop.call_soon(self._settle)
        self._touched.append(send_buffer)

    def _settle(self) -> None:
        touched, self._touched = self._touched, []
        for send_buffer in touched:
            if send_buffer.unsent():
                self.add(send_buffer)

    def add(self, send_buffer: SendBuffer) -> None:
        """StallMonitor an outlet until its socket has taken everything."""
        if send_buffer in self._lagging or send_buffer.gone:
            return
        send_buffer.start_stall_clock(self.now())
        self._lagging[send_buffer] = None
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
        self._timer = self._loop.call_later(BUSY_INTERVAL if hurried else self._stroll, self.sweep)

    def remove(self, send_buffer: SendBuffer) -> None:
        """Forget an outlet: its client is gone."""
        send_buffer.gone = True
        self._lagging.pop(send_buffer, None)

    def shed(self, size: int) -> int:
        """Give up those with the most bytes unsent, `size` in all; returns how many."""
        unsent = {send_buffer: send_buffer.unsent() for send_buffer in self._lagging}
        given_up = 0
        for send_buffer in sorted(unsent, key=unsent.__getitem__, reverse=True):
            if size <= 0 or not unsent[send_buffer]:
                break
            size -= unsent[send_buffer]
            given_up += 1
            self._lagging.pop(send_buffer, None)
            send_buffer.cut_stalled()
        return given_up

    def sweep(self) -> None:
        """Look at each lagging outlet, as long as the slice lasts; the rest is first next time."""
        began = self.now()
        self._timer, self._hurried = None, False
        hurried = False
        for send_buffer in list(self._lagging):
            lags = send_buffer.check(self.now(), self._stall)
            self._lagging.pop(send_buffer, None)
            if lags:
                self._lagging[send_buffer] = None
                hurried = hurried or send_buffer.has_waiters
            if self.now() - began > SWEEP_BUDGET:
                hurried = True  # the rest
                break
        if self._lagging:
            self._set(hurried=hurried or self._hurried)
