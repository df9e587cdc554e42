"""UpstreamSession: keeps one query's upstream call open, and reads it.

Invariants: there is one call at a time, and it is closed before the next is opened; every wait has
a deadline; a call whose content can't be continued (Resync) is replaced by a new one; so is a call
in doubt, after a while in which it goes on; after any other loss the next call may resume, if the
tier can; only the tier's OK, a permanent refusal (close codes 45xx) or a deadline ends the session.
"""

import asyncio

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.sequencer import Resync, Sequencer
from bridge.core.streamed_set import StreamedSet
from bridge.core.window import Window

from .backend import Backend, UpstreamCall, unanswered
from .call_identity import CallIdentity
from .call_reader import DOUBT, CallReader
from .heartbeat_timeout import HeartbeatTimeout
from .loss_report import LossReport
from .observer import Observer
from .resume_point import ResumePoint
from .retry_policy import RetryPolicy
from .session_target import SessionTarget
from .settings import LiveSettings
from .stream_end import End, EndReason

_CREDENTIAL = "CREDENTIAL"
"""The cause of a call that ended for another identity's."""


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
        self._reader: CallReader | None = None
        self.identity = CallIdentity(
            best=target.subscribers.best_identity,
            replace=self._hand_over,
            wall_clock=settings.wall_clock,
        )
        self._handing_over = False  # the call ends for another identity's
        self._report = report

    @property
    def live(self) -> bool:
        """Whether a call is up and its window complete."""
        return self._reader is not None and not self._reader.sequencer.awaiting_snapshot

    @property
    def effective(self) -> LiveQuery | None:
        """The query as the tier runs it, None where it did not say."""
        return self._call.effective if self._call else None

    async def reanchor(
        self, query: LiveQuery, previous: LiveQuery, request_id: str
    ) -> LiveQuery | None:
        """Have the tier move the call's window. See `UpstreamCall.reanchor`. Raise Failed."""
        call = self._call
        if call is None or self._reader is None:
            raise Failed(Kind.UNAVAILABLE, "the tier is out of reach")
        self._reader.sequencer.raise_limit(query.limit)
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
                expected = cause == DOUBT
                wait = 0.0 if expected else retry.wait_after_resync(live=self.live)
            except Failed as failed:
                reason, cause = failed, failed.code.lower()
                failure = failed
                expected = self._handing_over or (self._call is not None and self._call.leaving)
                wait = retry.wait_after_loss(live=self.live, announced=expected)
            finally:
                self._close_call()
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
        self._reader = CallReader(
            target=target,
            settings=self._settings,
            observer=self._observer,
            report=self._report,
            retry=retry,
            resume_point=self._resume_point,
            sequencer=Sequencer(StreamedSet() if query.streamed else Window(query.limit), position),
            now=self._loop.time,
        )
        retry.started = True
        target.on_started()
        if offer is not None:
            self._observer.offered(granted=position is not None)
        if position is not None:
            self._report.current()
            retry.on_current()
            target.on_resumed()

    def _close_call(self) -> None:
        call, reader = self._call, self._reader
        self._call = self._reader = None
        if call is not None:
            if reader is not None:
                self._resume_point.save(call, reader.sequencer)
            self._observer.unsubscribed()
            call.close()

    # ------------------------------------------------------------ whose call it is

    def _hand_over(self) -> bool:
        """End the call, to open it on another identity. Return whether it can be ended now."""
        deadline = self._reader.deadline if self._reader else None
        if deadline is None or deadline.expired() or not self.live:
            return False
        self._handing_over = True
        deadline.reschedule(self._loop.time())
        return True

    # ------------------------------------------------------------ reading one call

    async def _follow(self) -> None:
        """Read until the tier ends the stream. Raise Resync or Failed if the call is lost."""
        assert self._call is not None and self._reader is not None  # noqa: S101, PT018 - by _open
        call, reader = self._call, self._reader
        awaited = reader.sequencer.awaiting_snapshot
        timeout = self._retry.snapshot_timeout() if awaited else None
        heartbeat_timeout = HeartbeatTimeout(call.heartbeat, lambda: reader.received_at)
        try:
            async with asyncio.timeout(timeout) as deadline:
                reader.deadline = deadline
                heartbeat_timeout.start(deadline)
                await call.follow(reader.receive)
        except TimeoutError:
            if self._handing_over:
                raise Failed(Kind.UNAVAILABLE, "its credential ends", code=_CREDENTIAL) from None
            cause = DOUBT if reader.in_doubt else "snapshot_timeout"
            raise Resync("silence" if heartbeat_timeout.expired else cause) from None
        finally:
            heartbeat_timeout.stop()
