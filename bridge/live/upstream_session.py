"""UpstreamSession: keeps one query's upstream call open, and reads it.

Invariants: there is one call at a time, and it is closed before the next is opened; every wait has
a deadline; a call whose content can't be continued (Resync) is replaced by a new one; so is a call
in doubt, after a while in which it goes on; after any other loss the next call may resume, if the
tier can; only the tier's OK, a permanent refusal (close codes 45xx) or a deadline ends the session.
"""

import asyncio
from collections.abc import Iterable

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.group import Change
from bridge.core.query import LiveQuery
from bridge.core.sequencer import REUSED_NUMBER, Heartbeat, Resync, Sequencer, Snapshot
from bridge.core.streamed_set import StreamedSet
from bridge.core.window import Window

from .backend import Backend, UpstreamCall, unanswered
from .call_identity import CallIdentity
from .heartbeat_timeout import HeartbeatTimeout
from .loss_report import LossReport
from .observer import Observer
from .old_news import OldNews
from .resume_point import ResumePoint
from .retry_policy import RetryPolicy
from .session_target import SessionTarget
from .settings import LiveSettings
from .stream_end import End, EndReason

_DOUBT = "splice"
"""The repair which proves that mirror and tier may differ, and the cause of what follows."""
_CREDENTIAL = "CREDENTIAL"
"""The cause of a call that ended for another identity's."""
_HARMLESS_REPAIR = "missing_leave"
"""The repair after which the rows are the tier's for certain."""


class UpstreamSession:
    """The upstream side of one subscription."""

    def __init__(
        self,
        *,
        target: SessionTarget,
        backend: Backend,
        settings: LiveSettings,
        observer: Observer,
        report: LossReport,
    ) -> None:
        self._target = target
        self._backend = backend
        self._settings = settings
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._retry = RetryPolicy(settings, self._loop.time)
        self._resume_point = ResumePoint()
        self._call: UpstreamCall | None = None
        self._sequencer: Sequencer | None = None
        self.identity = CallIdentity(
            best=target.subscribers.best_identity,
            replace=self._hand_over,
            wall_clock=settings.wall_clock,
        )
        self._handing_over = False  # the call ends for another identity's
        self._received_at = 0.0
        self._deadline: asyncio.Timeout | None = None  # of the call that is read
        self._in_doubt = False  # the deadline is the call's end, unless a snapshot comes before
        self._old_news = OldNews(observer)  # of the call that is read
        self._report = report

    @property
    def live(self) -> bool:
        """Whether a call is up and its window complete."""
        return self._sequencer is not None and not self._sequencer.awaiting_snapshot

    @property
    def effective(self) -> LiveQuery | None:
        """The query as the tier runs it, None where it did not say."""
        return self._call.effective if self._call else None

    async def reanchor(
        self, query: LiveQuery, previous: LiveQuery, request_id: str
    ) -> LiveQuery | None:
        """Have the tier move the call's window. See `UpstreamCall.reanchor`. Raise Failed."""
        call = self._call
        if call is None or self._sequencer is None:
            raise Failed(Kind.UNAVAILABLE, "the tier is out of reach")
        self._sequencer.raise_limit(query.limit)
        self._resume_point.on_reanchor(request_id)
        try:
            async with asyncio.timeout(self._settings.reanchor_timeout):
                effective = await call.reanchor(query, previous, request_id)
        except TimeoutError:
            raise Failed(Kind.DEADLINE, "the tier did not answer in time") from None
        if self._call is not call:
            # The call that moved is gone. The present one was opened with the previous query.
            raise Failed(Kind.UNAVAILABLE, "the tier is out of reach")
        return effective

    # ------------------------------------------------------------ one call after another

    async def run(self) -> End:
        """Serve the target until nothing more can come. Return why. Call it once only."""
        try:
            return await self._run()
        finally:
            self._report.close()
            self.identity.close()
            # The two refer to each other. Cut that, so that they are freed without the collector.
            del self._target, self._report

    async def _run(self) -> End:
        retry = self._retry
        previous_failure: Failed | None = None
        while True:
            expected = False
            reason: Resync | Failed
            try:
                await self._open()
                await self._follow()
                return End(EndReason.COMPLETED)
            except Resync as resync:
                reason, cause = resync, resync.cause
                failure = Failed(Kind.BROKEN, "what the tier sends can't be shown")
                expected = cause == _DOUBT
                wait = 0.0 if expected else retry.wait_after_resync(live=self.live)
            except Failed as failed:
                reason, cause = failed, failed.code.lower()
                failure = failed
                expected = self._handing_over or (self._call is not None and self._call.leaving)
                wait = retry.wait_after_loss(live=self.live, announced=expected)
            finally:
                await self._close_call()
            permanent = failure.final and self._is_permanent(failure)
            self._resume_point.on_call_ended(reason)
            self._report.ended(reason)
            retry.on_lost()
            left = retry.time_left()
            if permanent or left <= 0 or not retry.worth_retrying(failure):
                # The deadline cut the last attempt short. The failure before it says more.
                late = left <= 0 and previous_failure is not None
                return End(EndReason.FAILED, previous_failure if late else failure)
            if not self._target.has_subscribers:
                return End(EndReason.UNSUBSCRIBED)
            previous_failure = failure
            self._report.lost(reason, cause, expected=expected)
            wait = max(wait, failure.retry_after or 0.0)
            await self._backend.pause(min(wait, left))

    def _is_permanent(self, failure: Failed) -> bool:
        """Return whether a refusal is of the query, and not of the identity or resume offer."""
        if failure.kind is Kind.UNAUTHENTICATED and self._retry.started:
            identity = self.identity.current
            return identity is None or not self._target.subscribers.reject(identity)
        return not self._resume_point.offer_pending

    async def _open(self) -> None:
        target, retry = self._target, self._retry
        retry.on_opening()
        timeout = retry.started_timeout(with_window=self._backend.opens_with_window)
        query, identity = target.query, target.subscribers.latest_identity()
        self._handing_over = False
        self.identity.begin(identity)
        offer = self._resume_point.offer(query)
        try:
            async with asyncio.timeout(timeout):
                call = await self._backend.subscribe(
                    query, identity, again=retry.started, resume=offer
                )
        except TimeoutError as late:
            raise unanswered(late) from None
        self._observer.subscribed()
        self._call = call
        self._report.called(call.replica)
        position = self._resume_point.accept(call)
        self._sequencer = Sequencer(
            StreamedSet() if query.streamed else Window(query.limit), position
        )
        self._old_news = OldNews(self._observer)
        retry.started = True
        target.on_started()
        if offer is not None:
            self._observer.offered(granted=position is not None)
        if position is not None:
            self._report.current()
            retry.on_current()
            target.on_resumed()

    async def _close_call(self) -> None:
        call, sequencer = self._call, self._sequencer
        self._call = self._sequencer = self._deadline = None
        self._in_doubt = False
        if call is not None:
            if sequencer is not None:
                self._resume_point.save(call, sequencer)
            self._observer.unsubscribed()
            await call.close()

    # ------------------------------------------------------------ whose call it is

    def _hand_over(self) -> bool:
        """End the call, to open it on another identity. Return whether it can be ended now."""
        deadline = self._deadline
        if deadline is None or deadline.expired() or not self.live:
            return False
        self._handing_over = True
        deadline.reschedule(self._loop.time())
        return True

    # ------------------------------------------------------------ reading one call

    async def _follow(self) -> None:
        """Read until the tier ends the stream. Raise Resync or Failed if the call is lost."""
        assert self._call is not None and self._sequencer is not None  # noqa: S101, PT018 - by _open
        call, sequencer = self._call, self._sequencer
        timeout = self._retry.snapshot_timeout() if sequencer.awaiting_snapshot else None
        self._received_at = self._loop.time()
        heartbeat_timeout = HeartbeatTimeout(call.heartbeat, lambda: self._received_at)
        try:
            async with asyncio.timeout(timeout) as deadline:
                self._deadline = deadline
                heartbeat_timeout.start(deadline)
                await call.follow(lambda message: self._receive(message, sequencer, deadline))
        except TimeoutError:
            if self._handing_over:
                raise Failed(Kind.UNAVAILABLE, "its credential ends", code=_CREDENTIAL) from None
            cause = _DOUBT if self._in_doubt else "snapshot_timeout"
            raise Resync("silence" if heartbeat_timeout.expired else cause) from None
        finally:
            heartbeat_timeout.stop()

    def _receive(
        self, message: Batch | Heartbeat, sequencer: Sequencer, deadline: asyncio.Timeout
    ) -> None:
        self._received_at = self._loop.time()
        if isinstance(message, Heartbeat):
            sequencer.check_heartbeat(message)
            return
        self._deliver(sequencer.feed(message))
        for cause, detail in sequencer.take_notes():
            self._report.fault(cause, detail)
            if cause == REUSED_NUMBER:
                self._begin_doubt()
        if dropped := sequencer.take_dropped():
            self._old_news.on_dropped(dropped, sequencer.last_delta, self._received_at)
        has_deadline = deadline.when() is not None
        # A deadline that expired as the message came can't be moved, and the call ends.
        if sequencer.awaiting_snapshot is not has_deadline and not deadline.expired():
            timeout = self._settings.snapshot_timeout
            if not has_deadline:
                deadline.reschedule(self._received_at + timeout)
            elif not self._in_doubt:
                deadline.reschedule(None)

    def _deliver(self, events: Iterable[Snapshot | Change]) -> None:
        """Pass on what a message contained: snapshots one by one, adjacent changes together."""
        groups: list[Change] = []
        try:
            for event in events:
                if not isinstance(event, Snapshot):
                    groups.append(event)
                    continue
                if groups:
                    self._publish(groups)
                    groups = []
                self._replace(event)
        finally:
            # If the rest of the message can't be continued from, what came before it is valid.
            if groups:
                self._publish(groups)

    def _publish(self, groups: list[Change]) -> None:
        repairs = self._target.publish(groups)
        if repairs:
            self._on_repairs(frozenset(repairs))

    def _on_repairs(self, repairs: frozenset[str]) -> None:
        """Trust the window less; after a splice, have the call replaced in a while."""
        if repairs != {_HARMLESS_REPAIR}:
            self._resume_point.invalidate()
        if _DOUBT in repairs:
            self._report.contradicted()
            self._begin_doubt()

    def _begin_doubt(self) -> None:
        deadline = self._deadline
        # One that is set is a snapshot's, which will take the doubt away, or that of a doubt.
        if deadline is not None and deadline.when() is None:
            self._in_doubt = True
            deadline.reschedule(self._loop.time() + self._retry.wait_after_doubt())

    def _replace(self, snapshot: Snapshot) -> None:
        self._report.current()
        self._in_doubt = False
        self._retry.on_current()
        self._target.replace(snapshot)
        self._resume_point.on_snapshot(snapshot, self._target.query)
