"""Feed: keeps one query's upstream call. Opens it, reads it, opens it again when it is lost.

Laws: at most one call at a time, always closed before the next; every wait has a deadline; a call
that says what can't be carried on from is given up for a fresh one; a call lost otherwise may be
gone on from, if the tier can; only the tier's OK, a refusal for good (close codes 45xx), or a
deadline ends the feed.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.group import Change
from bridge.core.query import LiveQuery
from bridge.core.sequencer import Heartbeat, Resync, Sequencer, Snapshot
from bridge.core.streamed_set import StreamedSet
from bridge.core.window import Window

from .backend import Backend, Identity, UpstreamCall
from .backoff import Backoff
from .heartbeat_timeout import HeartbeatTimeout
from .observer import Observer
from .resume_point import ResumePoint
from .settings import LiveSettings
from .stream_end import End, EndReason

logger = logging.getLogger(__name__)


ANNOUNCED_LOSS_GRACE = 1.0
"""Seconds that a loss which the tier announced may last before viewers are told of it."""

STABLE_AFTER = 1.0
"""Seconds after which a call that goes on counts as up: unlike a snapshot, a yes costs nothing."""


class SessionTarget(Protocol):
    """Whom a feed is for."""

    @property
    def query(self) -> LiveQuery:
        """What the next call asks for."""

    @property
    def identity(self) -> Identity:
        """On whose behalf."""

    @property
    def wanted(self) -> bool:
        """Whether anybody is there on whose behalf a lost call may be opened again."""

    def refused(self, identity: Identity) -> bool:
        """Take note that a credential was refused; whether there is another one to try."""

    def started(self) -> None:
        """Take note that the tier has started a call."""

    def lost(self, cause: str) -> None:
        """Take note that the call is lost; another is on its way."""

    def replace(self, snapshot: Snapshot) -> None:
        """Take a whole window."""

    def publish(self, groups: list[Change]) -> bool:
        """Take source changes; whether they fit the window, as far as anybody can tell."""

    def resumed(self) -> None:
        """Take note that a new call goes on where the lost one was left."""


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
        self._sub: UpstreamCall | None = None
        self._sequencer: Sequencer | None = None
        self._started = False
        self._began = self._loop.time()
        self._heard = 0.0
        self._asked: Identity | None = None
        self._resume_point = ResumePoint()
        self._stale_since: float | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._lost = self._backoff()
        self._troubled = self._backoff()
        self._whole_at = 0.0

    def _backoff(self) -> Backoff:
        settings = self._settings
        return Backoff(
            first=settings.backoff_first,
            factor=settings.backoff_factor,
            most=settings.backoff_most,
        )

    @property
    def live(self) -> bool:
        """Whether a call is up and its window whole."""
        return self._sequencer is not None and not self._sequencer.awaiting_snapshot

    @property
    def effective(self) -> LiveQuery | None:
        """The query as the tier runs it, where it said so."""
        return self._sub.effective if self._sub else None

    async def reanchor(self, query: LiveQuery, was: LiveQuery, request_id: str) -> LiveQuery | None:
        """Have the tier slide the call's window; see `UpstreamCall.reanchor`. Raises Failed."""
        sub = self._sub
        if sub is None or self._sequencer is None:
            raise Failed(Kind.UNAVAILABLE, "the tier is out of reach")
        self._sequencer.raise_limit(query.limit)
        self._resume_point.sliding(request_id)
        try:
            async with asyncio.timeout(self._settings.reanchor_timeout):
                effective = await sub.reanchor(query, was, request_id)
        except TimeoutError:
            raise Failed(Kind.DEADLINE, "the tier did not answer in time") from None
        if self._sub is not sub:
            # What slid is a call that is gone; the present one was asked for the old window.
            raise Failed(Kind.UNAVAILABLE, "the tier is out of reach")
        return effective

    async def run(self) -> End:
        """Feed the target until there is nothing more to come; returns why. Once only."""
        try:
            return await self._run()
        finally:
            self._hush()
            # They hold each other: now that it is over, whoever lets go of one frees both.
            del self._target

    async def _run(self) -> End:
        told: Failed | None = None
        while True:
            announced = False
            why: Resync | Failed
            try:
                await self._open()
                await self._follow()
                return End(EndReason.COMPLETED)
            except Resync as resync:
                why, cause = resync, resync.cause
                failure = Failed(Kind.BROKEN, "what the tier sends can't be shown")
                wait = self._wait(self._troubled, self._settings.backoff_most)
            except Failed as failed:
                why, cause = failed, failed.code.lower()
                failure = failed
                announced = self._sub is not None and self._sub.leaving
                wait = self._wait(self._lost, STABLE_AFTER)
            finally:
                await self._drop()
            final = failure.final and self._for_good(failure)
            self._resume_point.lost(why)
            left = self._deadline() - self._loop.time()
            if final or left <= 0 or not self._worth_another(failure):
                # The last attempt is cut short by the deadline; what went before says more.
                return End(EndReason.FAILED, told if told and left <= 0 else failure)
            if not self._target.wanted:
                return End(EndReason.UNSUBSCRIBED)
            told = failure
            logger.info("subscription to %s lost: %s", self._target.query.entity, cause)
            self._observer.resubscribed(cause)
            self._tell(cause, announced=announced)
            wait = max(wait, failure.retry_after or 0.0)
            await self._backend.pause(min(wait, left))

    def _wait(self, backoff: Backoff, stood: float) -> float:
        """Return seconds to wait after a call; if it `stood` so long, this is another trouble."""
        if self.live and self._loop.time() - self._whole_at > stood:
            backoff.reset()
        return backoff.next()

    def _for_good(self, failure: Failed) -> bool:
        """Whether a refusal is one of the query, not of what else came with it."""
        if failure.kind is Kind.UNAUTHENTICATED and self._started:
            return self._asked is None or not self._target.refused(self._asked)
        return not self._resume_point.out

    def _tell(self, cause: str, *, announced: bool) -> None:
        """Tell of a loss: one that was announced only if it lasts, for connections age and go."""
        self._hush()
        if announced:
            self._quiet = self._loop.call_later(ANNOUNCED_LOSS_GRACE, self._target.lost, cause)
        else:
            self._target.lost(cause)

    def _hush(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None

    def _worth_another(self, failure: Failed) -> bool:
        """Once viewers have a window, every loss is; before, only that of a tier out of reach."""
        return self._started or failure.kind in (Kind.UNAVAILABLE, Kind.DEADLINE)

    def _deadline(self) -> float:
        if not self._started:
            return self._began + self._settings.open_timeout
        if self._stale_since is None:
            self._stale_since = self._loop.time()
        return self._stale_since + (self._settings.max_staleness or float("inf"))

    async def _open(self) -> None:
        limit = self._settings.started_timeout
        if not self._started or self._stale_since is not None:
            limit = min(limit, self._deadline() - self._loop.time())
        target = self._target
        query, self._asked = target.query, target.identity
        offer = self._resume_point.offer(query)
        try:
            async with asyncio.timeout(limit):
                sub = await self._backend.subscribe(
                    query, self._asked, again=self._started, resume=offer
                )
        except TimeoutError:
            raise Failed(Kind.DEADLINE, "the tier did not answer in time") from None
        self._observer.subscribed()
        self._sub = sub
        position = self._resume_point.answered(sub)
        self._sequencer = Sequencer(
            StreamedSet() if query.streamed else Window(query.limit), position
        )
        self._started = True
        target.started()
        if offer is not None:
            self._observer.offered(granted=position is not None)
        if position is not None:
            self._back()
            target.resumed()

    def _back(self) -> None:
        """Take note that the window is current again."""
        self._hush()
        self._stale_since = None
        self._whole_at = self._loop.time()

    async def _drop(self) -> None:
        sub, sequencer = self._sub, self._sequencer
        self._sub = self._sequencer = None
        if sub is not None:
            if sequencer is not None:
                self._resume_point.leave(sub, sequencer)
            self._observer.unsubscribed()
            await sub.close()

    async def _follow(self) -> None:
        """Read until the tier ends the stream; raises Resync or Failed when the call is lost."""
        assert self._sub is not None and self._sequencer is not None  # noqa: S101, PT018 - by _open
        sub, sequencer = self._sub, self._sequencer
        first = self._settings.snapshot_timeout if sequencer.awaiting_snapshot else None
        if first is not None and self._stale_since is not None:
            first = max(min(first, self._deadline() - self._loop.time()), 0)
        self._heard = self._loop.time()
        heartbeat_timeout = HeartbeatTimeout(sub.heartbeat, lambda: self._heard)
        try:
            async with asyncio.timeout(first) as clock:
                heartbeat_timeout.begin(clock)
                await sub.follow(lambda message: self._take(message, sequencer, clock))
        except TimeoutError:
            raise Resync("silence" if heartbeat_timeout.silent else "snapshot_timeout") from None
        finally:
            heartbeat_timeout.stop()

    def _take(
        self, message: Batch | Heartbeat, sequencer: Sequencer, clock: asyncio.Timeout
    ) -> None:
        self._heard = self._loop.time()
        if isinstance(message, Heartbeat):
            sequencer.check_heartbeat(message)
            return
        self._hand_over(sequencer.feed(message))
        for _ in range(sequencer.take_dropped()):
            self._observer.repaired("repeated")
        waits = clock.when() is not None
        # One that has expired did so as the message came, and the call with it.
        if sequencer.awaiting_snapshot is not waits and not clock.expired():
            clock.reschedule(None if waits else self._heard + self._settings.snapshot_timeout)

    def _hand_over(self, events: Iterable[Snapshot | Change]) -> None:
        """Hand on what a message came to: windows one by one, changes in a row together."""
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
            # What went before that which can't be carried on from is good.
            if groups:
                self._publish(groups)

    def _publish(self, groups: list[Change]) -> None:
        if not self._target.publish(groups):
            self._resume_point.doubt()

    def _replace(self, snapshot: Snapshot) -> None:
        self._back()
        self._lost.reset()
        self._target.replace(snapshot)
        self._resume_point.whole(snapshot, self._target.query)
