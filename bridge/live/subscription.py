"""Subscription: one query at the tier, mirrored, for any number of viewers.

Laws: one task owns the upstream call and everything that changes the window; attaching a viewer
and taking the snapshot it begins with are one synchronous step; fan-out never awaits; losing the
tier is not losing the viewers: the window stays, a new call is opened, and what it brings is told
as a diff. It ends once, with one reason, and tells every viewer.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence

from bridge.core.bundle import Bundle
from bridge.core.diff import diff
from bridge.core.digest import digest
from bridge.core.errors import Failed, Kind
from bridge.core.frame import Frame
from bridge.core.group import Change, Group
from bridge.core.log import Log
from bridge.core.query import LiveQuery
from bridge.core.sequencer import Snapshot
from bridge.core.snapshot_cache import SnapshotCache
from bridge.core.streamed_set import Mirror, StreamedSet
from bridge.core.window import Rows, Window

from .backend import Backend, Identity
from .fanout import FanOut
from .flush_scheduler import FlushScheduler
from .observer import Observer
from .reanchor_state import PendingReanchor, ReanchorState
from .settings import LiveSettings
from .stream_end import End, EndReason
from .subscribers import Subscribers
from .upstream_session import UpstreamSession
from .viewer import Viewer

logger = logging.getLogger(__name__)


# After these nobody knows whether the tier has slid the window.
_UNANSWERED = frozenset([Kind.DEADLINE, Kind.UNAVAILABLE, Kind.BROKEN])


def _mirror(query: LiveQuery, rows: Rows = ()) -> Mirror:
    return StreamedSet(rows) if query.streamed else Window(query.limit, rows)


class Subscription:
    """The hub makes and closes these; viewers are attached to and detached from them."""

    def __init__(
        self,
        *,
        query: LiveQuery,
        identity: Identity,
        backend: Backend,
        settings: LiveSettings,
        observer: Observer,
        tick: FlushScheduler,
        on_end: Callable[["Subscription"], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.scope = identity.scope
        self.subscribers = Subscribers(identity)
        self.observer = observer
        self.opened: asyncio.Future[None] = self._loop.create_future()
        """Done when the tier has started; failed, with what to tell, when it could not be."""
        self.whole: asyncio.Future[None] = self._loop.create_future()
        """Done once a first snapshot is complete; failed with what ended it before."""
        self.viewers: dict[Viewer, None] = {}
        self.log = Log(())
        self._settings = settings
        self._on_end = on_end
        self._anchor = ReanchorState(query)
        self._window = _mirror(query)
        self.stale: str | None = None
        """Why the tier is lost, while it is."""
        self._page = SnapshotCache(streamed=query.streamed)
        self._snapshot: Bundle | None = None
        self._digest: str | None = None
        self.used_at = self._loop.time()
        """When history was last added."""
        self._end: End | None = None
        self._tick = tick
        self._flushing = False
        self._fan_out = FanOut(observer, self._loop.time)
        self._unwritten: list[float] = []  # times of the changes to be written in this tick
        self._feed = UpstreamSession(
            target=self, backend=backend, settings=settings, observer=observer
        )
        self._task = self._loop.create_task(self._run(), name=f"subscription to {query.entity}")

    @property
    def query(self) -> LiveQuery:
        """The query asked for; its limit is the one asked for, whatever the tier makes of it."""
        return self._anchor.query

    @property
    def identity(self) -> Identity:
        """On whose behalf the next upstream call is made."""
        return self.subscribers.freshest()

    @property
    def wanted(self) -> bool:
        """Whether anybody holds it; else it lingers, and is not worth another call."""
        return len(self.subscribers) > 0

    def refused(self, identity: Identity) -> bool:
        """Take note that the tier refused a credential; whether another holder has one to try."""
        return self.subscribers.refused(identity)

    # ------------------------------------------------------------ viewers

    def rows(self) -> Rows:
        """Return the window as viewers know it."""
        return self._window.snapshot()

    def __len__(self) -> int:
        return len(self._window)

    def snapshot(self) -> Bundle:
        """Return reset + enters of the window now; printed once per version of the window."""
        if self._snapshot is None:
            self._snapshot = self.log.bundle([self._page.group(self.rows())])
        return self._snapshot

    def digest(self) -> str | None:
        """Return the sum of the window now; None where it has no order (streamed)."""
        if self._digest is None and not self.query.streamed:
            self._digest = digest(self.rows())
        return self._digest

    def attach(self, viewer: Viewer) -> None:
        """Add a viewer; it begins with the window held, or with the first once that is whole."""
        viewer.subscription = self
        if self._end is not None:
            viewer.end(self._end)
            return
        self.viewers[viewer] = None
        self._fan_out.add(viewer)
        if self.whole.done():
            viewer.begin()

    def detach(self, viewer: Viewer) -> None:
        """Remove a viewer. Idempotent."""
        self.viewers.pop(viewer, None)
        self._fan_out.remove(viewer)

    @property
    def live(self) -> bool:
        """Whether the tier's call is up and its window whole."""
        return self._feed.live and self._end is None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._end is not None

    @property
    def failure(self) -> Failed | None:
        """What it failed with, once it is over."""
        return self._end.failure if self._end is not None else None

    @property
    def shareable(self) -> bool:
        """Whether newcomers can be shown the window from the mirror."""
        return not (isinstance(self._window, StreamedSet) and self._window.full)

    @property
    def moving(self) -> bool:
        """Whether a reanchor in place is under way, so that the key is not that of the window."""
        return self._anchor.slide is not None

    @property
    def slides(self) -> bool:
        """Whether the tier's Reanchor can be asked for: its answer must be told from any other."""
        return self.live and self._anchor.free

    async def close(self) -> None:
        """End the upstream call and the task; returns when both are over. Idempotent."""
        self._task.cancel()
        await asyncio.wait([self._task])
        # A task keeps the error that ended it, that its frames, and those this window: let go.
        with contextlib.suppress(asyncio.CancelledError):
            self._task.result()

    # ------------------------------------------------------------ reanchor in place

    async def reanchor(self, query: LiveQuery) -> None:
        """Slide the window to `query` by the tier's own Reanchor; returns once it is whole.

        Raises Failed when the tier refuses or can't: the window then stays as it is, except
        where no answer came, when the tier may yet move it. So it may after a cancellation.
        """
        anchor = self._anchor
        was, before = anchor.query, anchor.in_force
        slide = anchor.begin(query)
        try:
            effective = await self._feed.reanchor(query, was, slide.request_id)
            in_force = anchor.agreed(slide, effective)
            if slide.done.done():
                self._shorten(in_force)
            async with asyncio.timeout(self._settings.snapshot_timeout):
                await asyncio.shield(slide.done)
        except TimeoutError:
            raise Failed(Kind.DEADLINE, "the tier did not send the window in time") from None
        except Failed as failure:
            if failure.kind not in _UNANSWERED:
                anchor.refused(slide, was)
                if slide.done.done():  # a reset of the tier's own looked like the answer
                    self._shorten(before)
            raise

    def _shorten(self, in_force: LiveQuery) -> None:
        """Take note of the tier's own limit, told when the new window was here already."""
        self._anchor.in_force = in_force
        if isinstance(self._window, Window):
            self._window.limit = in_force.limit
            if len(self._window) > in_force.limit:
                self.publish([Group(())])  # the guard evicts what is over

    # ------------------------------------------------------------ what the feed brings

    async def _run(self) -> None:
        # Cancelled with viewers on it: by the hub's own end.
        end = End(EndReason.DRAINED, Failed(Kind.DRAINING, "the bridge is restarting"))
        try:
            end = await self._feed.run()
        except Exception:
            # A bug must not leave viewers waiting on a window that nobody keeps current.
            logger.exception("subscription to %s broke", self.query.entity)
            end = End(EndReason.FAILED, Failed(Kind.BROKEN, "the bridge failed"))
        finally:
            self._finish(end)

    def started(self) -> None:
        """Tell who waits that the tier has started."""
        if not self.opened.done():
            self.opened.set_result(None)

    def publish(self, groups: Iterable[Change]) -> bool:
        """Mirror source changes and pass them on, repaired where they must be; whether they fitted.

        A leave that the tier forgot is known to be the only one: the window is the tier's even so.
        """
        window, log = self._window, self.log
        before = log.head
        fitted = True
        for group in groups:
            applied = window.apply(group)
            if applied.repairs:
                for cause in applied.repairs:
                    self.observer.repaired(cause)
                fitted = fitted and set(applied.repairs) == {"missing_leave"}
            if applied.group is not None:
                log.append(applied.group, window.snapshot)
                if applied.group.at:
                    self._unwritten.append(applied.group.at)
        if log.head > before:
            self._grown()
        return fitted

    def resumed(self) -> None:
        """Tell viewers that the tier is back: nothing was missed, and history goes on."""
        self.stale = None
        self._flush_soon()

    def lost(self, cause: str) -> None:
        """Tell viewers that the window stands still for now."""
        if self.whole.done():
            self.stale = cause
            self._flush_soon()

    def _grown(self) -> None:
        self._snapshot = self._digest = None
        self.used_at = self._loop.time()
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            # One flush per tick: what arrives together is written together.
            self._flushing = True
            self._tick.call(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self.stale is not None:
            self._fan_out.disband()
        self._fan_out.flush(self.log)
        if self._unwritten:
            if self.viewers:
                self.observer.written(self._unwritten)
            self._unwritten = []
        if self.log.full:
            self.log.trim(keep=min((v.oldest_needed for v in self.viewers), default=self.log.head))

    def shrink(self) -> bool:
        """Forget some of the oldest history that no viewer still needs; whether there was any."""
        self._flush()
        return self.log.shrink(
            keep=min((v.oldest_needed for v in self.viewers), default=self.log.head)
        )

    def replace(self, event: Snapshot) -> None:
        """Take a whole new window: the first, one slid elsewhere, or one after a loss."""
        before = self.rows()
        slide = self._anchor.answered(event, self._feed.effective)
        self.observer.replaced(self._cause(event, slide))
        in_force = self._anchor.in_force
        rows = event.rows if in_force.streamed else event.rows[: in_force.limit]
        self._window = _mirror(in_force, rows)
        self._snapshot = self._digest = None
        self.stale = None
        if not self.whole.done():
            self._begin_log(rows)
            self.whole.set_result(None)
            for viewer in tuple(self.viewers):
                viewer.begin()
        elif slide is not None:
            self._slid(slide, rows)
        else:
            # What the tier said while it was lost is told as one nameless group.
            frames = self._difference(before, rows)
            if frames:
                self.log.append(Group(tuple(frames)), self.rows)
                self._grown()
            self.log.invalidate_positions()
            self._flush_soon()

    def _cause(self, event: Snapshot, slide: PendingReanchor | None) -> str:
        """Name why the tier sent a whole window."""
        if slide is not None:
            return "reanchor"
        if event.first:
            return "resubscribed" if self.whole.done() else "subscribed"
        return "tier"

    def _difference(self, before: Rows, rows: Rows) -> Sequence[Frame]:
        if self.query.streamed:
            return self._page.group(rows).frames
        return diff(before, rows)

    def _slid(self, slide: PendingReanchor, rows: Rows) -> None:
        """Begin history anew: positions of the old window mean nothing in the new one."""
        for viewer in self.viewers:
            viewer.move(self.log)
        self._begin_log(rows)
        if not slide.done.done():
            slide.done.set_result(None)
        self._flush()

    def _begin_log(self, rows: Rows) -> None:
        self.log = Log(rows, streamed=self.query.streamed)

    def _finish(self, end: End) -> None:
        if self._end is not None:
            return
        self._flush()
        self._end = end
        failure = end.failure or Failed(Kind.UNAVAILABLE, "the subscription has ended")
        slide = self._anchor.slide
        slid = slide.done if slide else self.whole
        for promise in (self.opened, self.whole, slid):
            if not promise.done():
                promise.set_exception(failure)
                promise.exception()  # retrieved: nobody need be waiting
        for viewer in tuple(self.viewers):
            viewer.end(end)
        self._on_end(self)
