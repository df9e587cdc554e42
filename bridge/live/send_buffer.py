"""Outlet: one client's socket as the live floor sees it, and the watch over those that lag.

Writing never awaits: what the socket does not take at once stays in its buffer, and the outlet is
watched until the buffer is empty. A socket that takes nothing for the stall limit is given up.
"""

from collections.abc import Callable
from typing import Protocol

from .stall_monitor import StallMonitor

MAX_UNSENT = 32 * 1024
"""Unsent bytes up to which a socket is written to; beyond, viewers wait in their log."""


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

    def open_direct_send(self) -> DirectSend | None:
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
        "on_stalled",
        "open_direct_send",
        "stall_monitor",
        "unsent",
        "written",
        "written_at",
    )

    def __init__(
        self, sink: Sink, stall_monitor: StallMonitor, *, on_stalled: Callable[[], None]
    ) -> None:
        self.open_direct_send: Callable[[], DirectSend | None] = sink.open_direct_send
        """Lays the short way to the socket; what goes there is not counted as written."""
        self.direct_senders: tuple[DirectSender, ...] = ()
        """Who sends that way."""
        self.unsent = sink.unsent
        """Tells how many bytes the socket has not taken."""
        self.on_stalled = on_stalled
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
        self.open_direct_send = _nowhere
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
        self.on_stalled()

    def detach(self) -> None:
        """Call nobody any more.

        Else it would keep its stream, and that it, until the collector of cycles comes.
        """
        self._waiting = None
        self.on_stalled = do_nothing

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
