"""UpstreamSession: keeps one query's upstream call open, and reads it.

Invariants: there is one call at a time, and it is closed before the next is opened; every wait has
a deadline; a call whose content can't be continued (Resync) is replaced by a new one; after any
other loss the next call may resume, if the tier can; only the tier's OK, a permanent refusal
(close codes 45xx) or a deadline ends the session.
"""

import asyncio
import logging
from collections.abc import Iterable

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.group import Change
from bridge.core.query import LiveQuery
from bridge.core.sequencer import Heartbeat, Resync, Sequencer, Snapshot
from bridge.core.streamed_set import StreamedSet
from bridge.core.window import Window

from .backend import Backend, Identity, UpstreamCall
from .heartbeat_timeout import HeartbeatTimeout
from .observer import Observer
from .resume_point import ResumePoint
from .retry_policy import RetryPolicy
from .session_target import SessionTarget
from .settings import LiveSettings
from .stream_end import End, EndReason

logger = logging.getLogger(__name__)


ANNOUNCED_LOSS_GRACE = 1.0
"""Seconds that a loss which the tier announced may last before viewers are told of it."""


class UpstreamSession:
    """The upstream side of one subscription."""

    def __init__(
        self, *, target: SessionTarget, backend: Backend, settings: LiveSettings, observer: Observer
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
        self._identity: Identity | None = None  # of the last call
        self._received_at = 0.0
        self._loss_timer: asyncio.TimerHandle | None = None

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
            self._cancel_loss_timer()
            # The two refer to each other. Cut that, so that they are freed without the collector.
            del self._target

    async def _run(self) -> End:
        retry = self._retry
        previous_failure: Failed | None = None
        while True:
            announced = False
            reason: Resync | Failed
            try:
                await self._open()
                await self._follow()
                return End(EndReason.COMPLETED)
            except Resync as resync:
                reason, cause = resync, resync.cause
                failure = Failed(Kind.BROKEN, "what the tier sends can't be shown")
                wait = retry.wait_after_resync(live=self.live)
            except Failed as failed:
                reason, cause = failed, failed.code.lower()
                failure = failed
                announced = self._call is not None and self._call.leaving
                wait = retry.wait_after_loss(live=self.live)
            finally:
                await self._close_call()
            permanent = failure.final and self._is_permanent(failure)
            self._resume_point.on_call_ended(reason)
            retry.on_lost()
            left = retry.time_left()
            if permanent or left <= 0 or not retry.worth_retrying(failure):
                # The deadline cut the last attempt short. The failure before it says more.
                late = left <= 0 and previous_failure is not None
                return End(EndReason.FAILED, previous_failure if late else failure)
            if not self._target.has_subscribers:
                return End(EndReason.UNSUBSCRIBED)
            previous_failure = failure
            logger.info("subscription to %s lost: %s", self._target.query.entity, cause)
            self._observer.resubscribed(cause)
            self._report_loss(cause, announced=announced)
            wait = max(wait, failure.retry_after or 0.0)
            await self._backend.pause(min(wait, left))

    def _is_permanent(self, failure: Failed) -> bool:
        """Return whether a refusal is of the query, and not of the identity or resume offer."""
        if failure.kind is Kind.UNAUTHENTICATED and self._retry.started:
            return self._identity is None or not self._target.reject_identity(self._identity)
        return not self._resume_point.offer_pending

    def _report_loss(self, cause: str, *, announced: bool) -> None:
        """Report a loss. An announced one only if it lasts: connections age and are replaced."""
        self._cancel_loss_timer()
        if announced:
            self._loss_timer = self._loop.call_later(
                ANNOUNCED_LOSS_GRACE, self._target.on_lost, cause
            )
        else:
            self._target.on_lost(cause)

    def _cancel_loss_timer(self) -> None:
        if self._loss_timer is not None:
            self._loss_timer.cancel()
            self._loss_timer = None

    async def _open(self) -> None:
        target, retry = self._target, self._retry
        timeout = retry.started_timeout()
        query, self._identity = target.query, target.identity
        offer = self._resume_point.offer(query)
        try:
            async with asyncio.timeout(timeout):
                call = await self._backend.subscribe(
                    query, self._identity, again=retry.started, resume=offer
                )
        except TimeoutError:
            raise Failed(Kind.DEADLINE, "the tier did not answer in time") from None
        self._observer.subscribed()
        self._call = call
        position = self._resume_point.accept(call)
        self._sequencer = Sequencer(
            StreamedSet() if query.streamed else Window(query.limit), position
        )
        retry.started = True
        target.on_started()
        if offer is not None:
            self._observer.offered(granted=position is not None)
        if position is not None:
            self._cancel_loss_timer()
            retry.on_current()
            target.on_resumed()

    async def _close_call(self) -> None:
        call, sequencer = self._call, self._sequencer
        self._call = self._sequencer = None
        if call is not None:
            if sequencer is not None:
                self._resume_point.save(call, sequencer)
            self._observer.unsubscribed()
            await call.close()

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
                heartbeat_timeout.start(deadline)
                await call.follow(lambda message: self._receive(message, sequencer, deadline))
        except TimeoutError:
            raise Resync("silence" if heartbeat_timeout.expired else "snapshot_timeout") from None
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
        for _ in range(sequencer.take_dropped()):
            self._observer.repaired("repeated")
        has_deadline = deadline.when() is not None
        # A deadline that expired as the message came can't be moved, and the call ends.
        if sequencer.awaiting_snapshot is not has_deadline and not deadline.expired():
            timeout = self._settings.snapshot_timeout
            deadline.reschedule(None if has_deadline else self._received_at + timeout)

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
        if not self._target.publish(groups):
            self._resume_point.invalidate()

    def _replace(self, snapshot: Snapshot) -> None:
        self._cancel_loss_timer()
        self._retry.on_snapshot()
        self._target.replace(snapshot)
        self._resume_point.on_snapshot(snapshot, self._target.query)
