"""StallMonitor: checks the send buffers whose sockets lag, with one timer.

Invariants: a send buffer is checked only while bytes are unsent or a viewer waits for room; while
there are none, there is no timer.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

BUSY_INTERVAL = 0.025
"""Seconds between two sweeps while a viewer waits for room."""

CALM_INTERVAL = 1.0
"""Seconds between two sweeps while none waits. They only see whether clients take anything."""

SWEEP_BUDGET = 0.005
"""Seconds that one sweep may take. Then other tasks of the loop run."""


class Monitored(Protocol):
    """A send buffer, as the monitor sees it. Compared by identity."""

    gone: bool

    @property
    def unsent(self) -> Callable[[], int]:
        """A function that returns how many bytes the socket has not taken."""

    @property
    def has_waiters(self) -> bool:
        """Whether anything waits for room."""

    def start_stall_clock(self, now: float) -> None:
        """Start to measure how long the client takes nothing."""

    def check(self, now: float, stall: float) -> bool:
        """Report a stalled client, or flush waiters. Return whether to check again."""

    def cut_stalled(self) -> None:
        """Report the client as stalled."""


class StallMonitor:
    """Sweeps over lagging buffers. `stall`: seconds until a client is cut, 0 is never."""

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
        self._lagging: dict[Monitored, None] = {}
        self._written: list[Monitored] = []
        self._calm_interval = min(CALM_INTERVAL, stall / 8) if stall else CALM_INTERVAL
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False

    def check_later(self, send_buffer: Monitored) -> None:
        """Monitor a buffer that was written to, if bytes are unsent at the end of the loop's turn.

        Not at once: event loops may hand bytes to the kernel at the end of a turn. Until then
        every socket would seem to lag.
        """
        if not self._written:
            self._loop.call_soon(self._add_unsent)
        self._written.append(send_buffer)

    def _add_unsent(self) -> None:
        written, self._written = self._written, []
        for send_buffer in written:
            if send_buffer.unsent():
                self.add(send_buffer)

    def add(self, send_buffer: Monitored) -> None:
        """Monitor a buffer until its socket has taken everything."""
        if send_buffer in self._lagging or send_buffer.gone:
            return
        send_buffer.start_stall_clock(self.now())
        self._lagging[send_buffer] = None
        if self._timer is None:
            self._set_timer(busy=False)

    def sweep_soon(self) -> None:
        """Sweep after the shorter interval."""
        if not self._busy:
            self._set_timer(busy=True)

    def _set_timer(self, *, busy: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._busy = busy
        interval = BUSY_INTERVAL if busy else self._calm_interval
        self._timer = self._loop.call_later(interval, self.sweep)

    def remove(self, send_buffer: Monitored) -> None:
        """Check a buffer no more: its client is gone."""
        send_buffer.gone = True
        self._lagging.pop(send_buffer, None)

    def shed(self, size: int) -> int:
        """Cut the clients with the most unsent bytes, `size` in all. Return how many clients."""
        unsent = {send_buffer: send_buffer.unsent() for send_buffer in self._lagging}
        count = 0
        for send_buffer in sorted(unsent, key=unsent.__getitem__, reverse=True):
            if size <= 0 or not unsent[send_buffer]:
                break
            size -= unsent[send_buffer]
            count += 1
            self._lagging.pop(send_buffer, None)
            send_buffer.cut_stalled()
        return count

    def sweep(self) -> None:
        """Check each lagging buffer, within SWEEP_BUDGET. The next sweep begins with the rest."""
        began = self.now()
        self._timer, self._busy = None, False
        busy = False
        for send_buffer in list(self._lagging):
            lags = send_buffer.check(self.now(), self._stall)
            self._lagging.pop(send_buffer, None)
            if lags:
                self._lagging[send_buffer] = None
                busy = busy or send_buffer.has_waiters
            if self.now() - began > SWEEP_BUDGET:
                busy = True  # the rest waits
                break
        if self._lagging:
            self._set_timer(busy=busy or self._busy)
