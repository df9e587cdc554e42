"""SendBuffer: one client's socket, as the live layer sees it.

Invariants: a write never waits, what the socket does not take at once stays in its buffer; a viewer
sends past this buffer (direct send) only while nothing is unsent and the connection is up, so any
other write and the end of the connection stop direct sends first.
"""

from collections.abc import Callable
from typing import Protocol

from .stall_monitor import StallMonitor

MAX_UNSENT = 32 * 1024
"""Unsent bytes up to which a socket is written to. Beyond them, viewers wait in their log."""


class DirectSend(Protocol):
    """Sends to the kernel, past the transport's buffer. Used by viewers in lockstep."""

    def send(self, data: bytes) -> int:
        """Hand bytes to the kernel now. Return how many it took. Raise OSError."""


class Sink(Protocol):
    """A socket: SSE, WebSocket, or a list in a test."""

    def write(self, data: bytes) -> None:
        """Take bytes without blocking. A no-op once the client is gone."""

    def open_direct_send(self) -> DirectSend | None:
        """Return a direct send, None where there can be none."""

    @property
    def unsent(self) -> Callable[[], int]:
        """A function that returns how many bytes wait in this process."""


class DirectSender(Protocol):
    """A viewer that sends past the buffer."""

    def stop_direct_send(self) -> None:
        """Write through the buffer from now on."""


class RoomWaiter(Protocol):
    """Whatever flushes once there is room again."""

    def flush(self) -> None:
        """Write what is due."""


class SendBuffer:
    """A sink that knows whether it has room, and when its client last took anything."""

    __slots__ = (
        "_taken",
        "_taken_at",
        "_waiters",
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
        """Returns a direct send. Its bytes do not count as `written`."""
        self.direct_senders: tuple[DirectSender, ...] = ()
        """The viewers that use a direct send."""
        self.unsent = sink.unsent
        """Returns how many bytes the socket has not taken."""
        self.on_stalled = on_stalled
        self.gone = False
        """Set once the client is gone. The monitor checks this buffer no more."""
        self.written_at = stall_monitor.now()
        self.stall_monitor = stall_monitor
        self._write: Callable[[bytes], None] = sink.write
        self.written = 0
        """Bytes written through this buffer."""
        self._taken = 0
        self._taken_at = 0.0
        self._waiters: dict[RoomWaiter, None] | None = None

    @property
    def has_room(self) -> bool:
        """Whether more may be written."""
        return self.unsent() <= MAX_UNSENT

    def write(self, data: bytes) -> None:
        """Write bytes to the socket. Have it monitored if it does not take all of them."""
        if self.direct_senders:
            self._stop_direct_sends()
        self._write(data)
        self.written += len(data)
        self.written_at = self.stall_monitor.now()
        self.stall_monitor.check_later(self)

    def write_last(self, data: bytes) -> None:
        """Write the last bytes: what is written after them is dropped."""
        self.write(data)
        self.drop_writes()

    def drop_writes(self) -> None:
        """Drop what is written from now on."""
        self.on_connection_lost()
        self._write = _drop

    def _stop_direct_sends(self) -> None:
        for sender in self.direct_senders:
            sender.stop_direct_send()

    def on_connection_lost(self) -> None:
        """Stop direct sends: the descriptor may soon be another connection's."""
        self.open_direct_send = _no_direct_send
        if self.direct_senders:
            self._stop_direct_sends()

    @property
    def has_waiters(self) -> bool:
        """Whether anything waits for room."""
        return bool(self._waiters)

    def flush_when_room(self, waiter: RoomWaiter) -> None:
        """Call `waiter.flush` once, when there is room again."""
        if self._waiters is None:
            self._waiters = {}
        self._waiters[waiter] = None
        self.stall_monitor.add(self)
        self.stall_monitor.sweep_soon()

    def start_stall_clock(self, now: float) -> None:
        """Start to measure how long the client takes nothing."""
        self._taken = self.written - self.unsent()
        self._taken_at = now

    def cut_stalled(self) -> None:
        """Report the client as stalled. Its waiters are not flushed any more."""
        self._waiters = None
        self.on_stalled()

    def detach(self) -> None:
        """Drop waiters and callback.

        They refer to the stream, and the stream to this: only the garbage collector would free
        them.
        """
        self._waiters = None
        self.on_stalled = do_nothing

    def check(self, now: float, stall: float) -> bool:
        """Report a stalled client, or flush waiters. Return whether to check again.

        A client is stalled if it took nothing for `stall` seconds. With 0, none ever is.
        """
        unsent = self.unsent()
        taken = self.written - unsent
        if taken > self._taken:
            self._taken, self._taken_at = taken, now
        elif unsent and stall and now - self._taken_at >= stall:
            self.cut_stalled()
            return False
        self._taken = taken  # less than before if others write to the socket too
        if unsent <= MAX_UNSENT:
            self._let_waiters_flush()
        return bool(self.unsent() or self._waiters)

    def _let_waiters_flush(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            waiter.flush()


def do_nothing() -> None:
    """Do nothing: the callback of what is over."""


def _drop(data: bytes) -> None:
    """Drop what comes too late."""
    del data


def _no_direct_send() -> None:
    """Return None: the connection is gone."""
