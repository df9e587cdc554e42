"""Subscription: one query at the tier, mirrored, for any number of viewers.

Invariants: one task owns the upstream session and everything that changes the window; attaching a
viewer and taking its first snapshot are one synchronous step; fan-out never awaits; when the tier
is lost, the viewers and the window stay, and what the next call brings is sent as a diff; it ends
once, with one reason, and ends every viewer.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Hashable
from time import time

from bridge.core.errors import Failed, Kind
from bridge.core.group import Change
from bridge.core.query import LiveQuery
from bridge.core.sequencer import Snapshot

from .backend import Backend, Identity
from .fanout import FanOut
from .flush_scheduler import FlushScheduler
from .journal import JournalObserver
from .loss_report import LossReport
from .observer import Observer
from .reanchor_state import PendingReanchor, ReanchorState
from .settings import LiveSettings
from .shared_window import SharedWindow
from .stream_end import End, EndReason
from .subscribers import Subscribers
from .tier_log import TierLog
from .upstream_session import UpstreamSession
from .viewer import Viewer

logger = logging.getLogger(__name__)

# After these it is unknown whether the tier has moved the window.
_UNANSWERED = frozenset([Kind.DEADLINE, Kind.UNAVAILABLE, Kind.BROKEN])
_numbers = itertools.count(1)


class Subscription:
    """Made and closed by the hub, which attaches and detaches viewers."""

    def __init__(
        self,
        *,
        query: LiveQuery,
        identity: Identity,
        backend: Backend,
        settings: LiveSettings,
        observer: Observer,
        tier_log: TierLog,
        flush_scheduler: FlushScheduler,
        on_end: Callable[["Subscription"], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.number = next(_numbers)
        """Its name for operators."""
        self.opened_at = time()
        self.scope = identity.scope
        self.subscribers = Subscribers(identity)
        self.opened: asyncio.Future[None] = self._loop.create_future()
        """Done when the tier has started the call. Fails with what clients are told if it can't."""
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done when the first snapshot is complete. Fails with what ended the subscription."""
        self.viewers: dict[Viewer, None] = {}
        self.seen = False
        """Whether anybody was shown its window. Else nobody comes back to it."""
        self.window = SharedWindow(query, observer)
        self._observer = observer
        self._settings = settings
        self._on_end = on_end
        self._reanchor_state = ReanchorState(query)
        self._end: End | None = None
        self._fan_out = FanOut(self.window, self.viewers, flush_scheduler, self._loop.time)
        noted = JournalObserver(observer, self.window.journal)
        report = LossReport(self, self.window, noted, tier_log)
        self._session = UpstreamSession(
            target=self,
            backend=backend,
            settings=settings,
            observer=noted,
            report=report,
        )
        self._task = self._loop.create_task(self._run(), name=f"subscription to {query.entity}")

    @property
    def query(self) -> LiveQuery:
        """The query asked for, at the limit asked for, which the tier may have lowered."""
        return self._reanchor_state.query

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody holds it. If not, it lingers, and a lost call is not opened again."""
        return len(self.subscribers) > 0

    def hold(self, subscriber: Hashable, identity: Identity) -> Identity | None:
        """Add a subscriber, or replace its identity by a newer one. Return the one before."""
        before = self.subscribers.add(subscriber, identity)
        self._session.identity.on_held(identity)
        return before

    def withdraw(self, withdrawn: Callable[[Identity], bool]) -> bool:
        """Use these identities no more. Return whether it lingers on one of them."""
        if not self.subscribers.withdraw(withdrawn) | self._session.identity.withdraw(withdrawn):
            return False
        self._session.identity.check()
        self.seen = self.seen and self.subscribers.best_identity() is not None
        return not self.has_subscribers

    @property
    def live(self) -> bool:
        """Whether the tier's call is up and its window complete."""
        return self._session.live and self._end is None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._end is not None

    @property
    def failure(self) -> Failed | None:
        """What it failed with, once it is over."""
        return self._end.failure if self._end is not None else None

    # ------------------------------------------------------------ viewers

    def attach(self, viewer: Viewer) -> None:
        """Add a viewer. It is shown the window now, or once the first snapshot is complete."""
        viewer.window = self.window
        if self._end is not None:
            viewer.end(self._end)
            return
        self.viewers[viewer] = None
        self._fan_out.add(viewer)
        if self.ready.done():
            self.seen = True
            viewer.begin()

    def detach(self, viewer: Viewer) -> None:
        """Remove a viewer. Idempotent."""
        self.viewers.pop(viewer, None)
        self._fan_out.remove(viewer)

    def shrink_history(self) -> bool:
        """Forget some of the oldest history that no viewer needs. Return whether there was any."""
        return self._fan_out.shrink_history()

    # ------------------------------------------------------------ reanchor in place

    @property
    def reanchoring(self) -> bool:
        """Whether a reanchor in place is under way. Then `query` may not be the window's."""
        return self._reanchor_state.pending is not None

    @property
    def can_reanchor(self) -> bool:
        """Whether the tier can be asked to reanchor, and its answer told from any other."""
        return self.live and self._reanchor_state.can_begin

    async def reanchor(self, query: LiveQuery) -> None:
        """Move the window to `query` by the tier's Reanchor. Return when it is complete.

        Raise Failed if the tier refuses or can't. The window then stays as it is, unless no answer
        came: then the tier may still move it. The same holds after a cancellation.
        """
        state = self._reanchor_state
        previous, previous_effective = state.query, state.effective
        pending = state.begin(query)
        try:
            answer = await self._session.reanchor(query, previous, pending.request_id)
            effective = state.accept(pending, answer)
            if pending.done.done():
                self._lower_limit(effective)
            async with asyncio.timeout(self._settings.snapshot_timeout):
                await asyncio.shield(pending.done)
        except TimeoutError:
            raise Failed(Kind.DEADLINE, "the tier did not send the window in time") from None
        except Failed as failure:
            if failure.kind not in _UNANSWERED:
                state.reject(pending, previous)
                if pending.done.done():  # a reset of the tier's own was taken for the answer
                    self._lower_limit(previous_effective)
            raise

    def _lower_limit(self, effective: LiveQuery) -> None:
        """Apply the tier's own limit, which came after the new window."""
        self._reanchor_state.effective = effective
        self.window.set_limit(effective.limit)
        self._fan_out.schedule_flush()

    # ------------------------------------------------------------ called by the session

    async def _run(self) -> None:
        # This end if cancelled: with viewers attached, only the hub's own end does that.
        end = End(EndReason.DRAINED, Failed(Kind.DRAINING, "the bridge is restarting"))
        try:
            end = await self._session.run()
        except Exception:
            # After a bug, viewers must not wait on a window that nothing keeps current.
            logger.exception("the subscription to %s failed", self.query.entity)
            end = End(EndReason.FAILED, Failed(Kind.BROKEN, "the bridge failed"))
        finally:
            self._finish(end)

    def on_started(self) -> None:
        """Complete `opened`."""
        if not self.opened.done():
            self.opened.set_result(None)

    def publish(self, groups: list[Change]) -> tuple[str, ...]:
        """Apply source changes, and write them to viewers. Return the repairs that it took."""
        repairs = self.window.apply(groups)
        self._fan_out.schedule_flush()
        return repairs

    def on_resumed(self) -> None:
        """Report the tier as back: nothing was missed, and history goes on."""
        self.window.stale, self.window.lost = None, False
        self._fan_out.schedule_flush()

    def on_lost(self, cause: str) -> None:
        """Report the tier as lost."""
        if self.ready.done():
            self.window.stale = cause
            self._fan_out.schedule_flush()

    def replace(self, snapshot: Snapshot) -> None:
        """Replace the window: with the first, with one after a reanchor, or after a loss."""
        state, window = self._reanchor_state, self.window
        before = window.rows()
        pending = state.on_snapshot(snapshot, self._session.effective)
        cause = self._snapshot_cause(snapshot, pending)
        window.journal.resets[cause] += 1
        self._observer.replaced(cause)
        query = state.effective
        window.replace(query, snapshot.rows if query.streamed else snapshot.rows[: query.limit])
        if not self.ready.done():
            window.begin_log()
            self.ready.set_result(None)
            self.seen = bool(self.viewers)
            for viewer in tuple(self.viewers):
                viewer.begin()
        elif pending is not None:
            for viewer in self.viewers:
                viewer.switch_window(window.log)
            window.begin_log()
            if not pending.done.done():
                pending.done.set_result(None)
            self._fan_out.flush()
        else:
            window.log_difference(before, cause)
            self._fan_out.schedule_flush()

    def _snapshot_cause(self, snapshot: Snapshot, pending: PendingReanchor | None) -> str:
        """Return why the tier sent a snapshot, as metrics name it."""
        if pending is not None:
            return "reanchor"
        if snapshot.first:
            return "resubscribed" if self.ready.done() else "subscribed"
        return "tier"

    # ------------------------------------------------------------ the end

    def _finish(self, end: End) -> None:
        if self._end is not None:
            return
        self._fan_out.flush()
        self._end = end
        failure = end.failure or Failed(Kind.UNAVAILABLE, "the subscription has ended")
        pending = self._reanchor_state.pending
        for future in (self.opened, self.ready, pending.done if pending else self.ready):
            if not future.done():
                future.set_exception(failure)
                future.exception()  # mark as retrieved: there may be nobody who waits
        for viewer in tuple(self.viewers):
            viewer.end(end)
        self._on_end(self)

    async def close(self) -> None:
        """End the upstream call and the task. Return when both are over. Idempotent."""
        self._task.cancel()
        await asyncio.wait([self._task])
        # A task keeps the error that ended it, that its frames, and those this window: free them.
        with contextlib.suppress(asyncio.CancelledError):
            self._task.result()
