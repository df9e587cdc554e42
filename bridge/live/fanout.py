"""Fan-out: what is added to a log, to every viewer of a subscription, without an await.

Nearly all viewers, nearly always, are in step and go on together (see `lockstep`). The others flush
themselves: who has just come, lags, or is due more than what was added. Laws: a viewer is in one
rank or none; it falls in only with nothing unsent, and whoever else writes to its socket, moves or
ends it, has had it fall out first; nothing called here calls back.
"""

from collections.abc import Callable

from bridge.core.bundle import SharedEncoding
from bridge.core.log import Log

from .lockstep import Lockstep
from .observer import Observer
from .viewer import Viewer


class FanOut:
    """One subscription's. `now` tells seconds."""

    def __init__(self, observer: Observer, now: Callable[[], float]) -> None:
        self._observer = observer
        self._now = now
        self._position = 0  # where the last pass left all who could be taken along
        self._lockstep: dict[SharedEncoding | None, Lockstep] = {}
        self._loose: dict[Viewer, None] = {}

    def add(self, viewer: Viewer) -> None:
        """Take a viewer in."""
        self._loose[viewer] = None

    def remove(self, viewer: Viewer) -> None:
        """Forget a viewer. Idempotent."""
        if viewer.lockstep is not None:
            viewer.lockstep.leave(viewer)
        self._loose.pop(viewer, None)

    def disband(self) -> None:
        """Have everybody flush alone: there is more to tell than what was added."""
        for lockstep in self._lockstep.values():
            lockstep.disband()
        for viewer in self._loose:
            viewer.steady = False

    def flush(self, log: Log) -> None:
        """Take everybody as far as they can be taken."""
        before = self._position
        if before != log.head:
            for viewer in tuple(self._loose):
                if viewer.steady:
                    self._line_up(viewer)
            self._position = log.head
            self._advance(log, before)
        for viewer in tuple(self._loose):
            if not viewer.parked:
                viewer.flush()

    def _advance(self, log: Log, before: int) -> None:
        bundle, head, now = log.since(before), log.head, self._now()
        for shared, lockstep in tuple(self._lockstep.items()):
            if lockstep.viewers:
                frames, size = lockstep.take(bundle, head, now)
                self._observer.sent(frames, size)
            else:
                del self._lockstep[shared]

    def _line_up(self, viewer: Viewer) -> None:
        send_buffer = viewer.send_buffer
        if viewer.position != self._position or send_buffer.unsent():
            return
        wire = send_buffer.open_direct_send()
        if wire is None:
            return
        shared = viewer.shared
        lockstep = self._lockstep.get(shared)
        if lockstep is None:
            lockstep = self._lockstep[shared] = Lockstep(shared, self._position, self._loose)
        lockstep.join(viewer, wire)
