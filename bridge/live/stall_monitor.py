"""StallMonitor: checks the send buffers of clients that lag."""

import asyncio
from collections.abc import Callable
from typing import Protocol

BUSY_INTERVAL = 0.025
"""Seconds between two looks at the sockets that lag, where somebody waits for room."""

CALM_INTERVAL = 1.0
"""Seconds between two where nobody does: it is only seen whether the client takes anything."""

SWEEP_BUDGET = 0.005
"""Seconds that one look may spend on catching viewers up before others get their turn."""


class Monitored(Protocol):
    """A send buffer, as the monitor sees it. Compared by identity."""

    gone: bool

    @property
    def unsent(self) -> Callable[[], int]:
        """What tells how many bytes the socket has not taken."""

    @property
    def has_waiters(self) -> bool:
        """Whether somebody waits for room."""

    def start_stall_clock(self, now: float) -> None:
        """Begin the stall clock."""

    def check(self, now: float, stall: float) -> bool:
        """See how the socket does; returns whether it must be watched on."""

    def cut_stalled(self) -> None:
        """Have the client cut."""


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
        self._lagging: dict[Monitored, None] = {}
        self._touched: list[Monitored] = []
        self._stroll = min(CALM_INTERVAL, stall / 8) if stall else CALM_INTERVAL
        self._timer: asyncio.TimerHandle | None = None
        self._hurried = False

    def touch(self, send_buffer: Monitored) -> None:
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

    def add(self, send_buffer: Monitored) -> None:
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

    def remove(self, send_buffer: Monitored) -> None:
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
