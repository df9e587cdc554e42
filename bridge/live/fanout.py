"""FanOut: writes what is appended to a log to all viewers of a subscription, without an await.

Nearly always, nearly all viewers are in lockstep. The others flush alone: those that have just
joined, that lag, or that are due more than what was appended.

Invariants: a viewer is in one lockstep or none; it joins one only with nothing unsent; whatever
else writes to its socket, moves or ends it has made it leave first; nothing called here calls back.
"""

from collections.abc import Callable, Collection
from time import time

from bridge.core.bundle import SharedEncoding
from bridge.core.log import Log

from .flush_scheduler import FlushScheduler
from .lockstep import Lockstep, Member
from .shared_window import SharedWindow


class FanOut:
    """One subscription's. `viewers` are all of them, `now` returns seconds."""

    def __init__(
        self,
        window: SharedWindow,
        viewers: Collection[Member],
        flush_scheduler: FlushScheduler,
        now: Callable[[], float],
    ) -> None:
        self._window = window
        self._viewers = viewers
        self._flush_scheduler = flush_scheduler
        self._flush_scheduled = False
        self._now = now
        self._position = 0  # the log's head at the last flush
        self._locksteps: dict[SharedEncoding | None, Lockstep] = {}
        self._solo: dict[Member, None] = {}

    def add(self, viewer: Member) -> None:
        """Add a viewer. It flushes alone at first."""
        self._solo[viewer] = None

    def remove(self, viewer: Member) -> None:
        """Remove a viewer. Idempotent."""
        if viewer.lockstep is not None:
            viewer.lockstep.leave(viewer)
        self._solo.pop(viewer, None)

    def schedule_flush(self) -> None:
        """Flush once at the end of the read or the turn: what comes together goes together."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._flush_scheduler.schedule(self)

    def flush(self) -> None:
        """Write to every viewer what its socket has room for. Trim the log to its bounds."""
        self._flush_scheduled = False
        window = self._window
        log, before = window.log, self._position
        if window.stale is not None:
            self._dissolve_locksteps()
        if before != log.head:
            if self._solo:
                self._join_locksteps()
            self._position = log.head
            self._broadcast(log, before)
        if self._solo:
            for viewer in tuple(self._solo):
                if not viewer.waits_for_room:
                    viewer.flush()
        latest = window.unwritten_times.latest
        if latest:
            times = window.unwritten_times.take()
            if self._viewers:
                now = time()
                window.journal.lag = now - latest
                window.observer.written(now, times)
        if log.full:
            log.trim(keep=self._oldest_needed())

    def shrink_history(self) -> bool:
        """Forget some of the oldest history that no viewer needs. Return whether there was any."""
        self.flush()
        return self._window.log.shrink(keep=self._oldest_needed())

    def _oldest_needed(self) -> int:
        return min((v.oldest_needed for v in self._viewers), default=self._window.log.head)

    def _dissolve_locksteps(self) -> None:
        """Have every viewer flush alone: more is due than what was appended."""
        for lockstep in self._locksteps.values():
            lockstep.dissolve()
        for viewer in self._solo:
            viewer.can_join_lockstep = False

    def _broadcast(self, log: Log, before: int) -> None:
        bundle, head, now = log.since(before), log.head, self._now()
        empty: list[SharedEncoding | None] = []
        for shared, lockstep in self._locksteps.items():
            if lockstep.members:
                frames, size = lockstep.broadcast(bundle, head, now)
                self._window.observer.sent(frames, size)
            else:
                empty.append(shared)
        for shared in empty:
            del self._locksteps[shared]

    def _join_locksteps(self) -> None:
        for viewer in tuple(self._solo):
            if viewer.can_join_lockstep:
                self._join_lockstep(viewer)

    def _join_lockstep(self, viewer: Member) -> None:
        """Have a viewer join the lockstep of its encoding, if it is at the same position."""
        send_buffer = viewer.send_buffer
        if viewer.position != self._position or send_buffer.unsent():
            return
        direct_send = send_buffer.open_direct_send()
        if direct_send is None:
            return
        shared = viewer.shared
        lockstep = self._locksteps.get(shared)
        if lockstep is None:
            lockstep = self._locksteps[shared] = Lockstep(shared, self._position, self._solo)
        lockstep.join(viewer, direct_send)
