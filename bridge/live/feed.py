"""Feed: keeps one query's upstream call. Opens it, reads it, opens it again when it is lost.

Laws: at most one call at a time, always closed before the next; every wait has a deadline; a call
that says what can't be carried on from is given up for a fresh one; only the tier's OK, a refusal
for good (close codes 45xx), or a deadline ends the feed.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from bridge.core.errors import Failed, Kind
from bridge.core.group import Change
from bridge.core.intake import Beat, Intake, Resync, Snapshot
from bridge.core.query import LiveQuery
from bridge.core.window import StreamedSet, Window

from .backend import Backend, Identity, Sub
from .backoff import Backoff
from .observer import Observer, Reason
from .settings import Settings
from .viewer import End

logger = logging.getLogger(__name__)


QUIET = 1.0
"""Seconds that a loss which the tier announced may last before viewers are told of it."""

MISSED_BEATS = 3
"""Heartbeats that a tier which promised them may leave out before its call is given up."""


class Listening:
    """Gives a call up when a tier that promised heartbeats is silent for too long."""

    def __init__(self, interval: float, heard: Callable[[], float]) -> None:
        self.silent = False
        self._interval = interval
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def _due(self) -> float:
        return self._heard() + MISSED_BEATS * self._interval

    def begin(self, clock: asyncio.Timeout) -> None:
        """Listen; `clock` is made to run out on silence."""
        if self._interval:
            self._timer = self._loop.call_at(self._due, self._listen, clock)

    def stop(self) -> None:
        """Listen no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _listen(self, clock: asyncio.Timeout) -> None:
        now = self._loop.time()
        self.silent = now >= self._due
        if self.silent:
            if not clock.expired():
                clock.reschedule(now)
        else:
            self.begin(clock)


class Target(Protocol):
    """Whom a feed is for."""

    query: LiveQuery
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

    def publish(self, groups: list[Change]) -> None:
        """Take source changes."""


class Feed:
    """The upstream side of one subscription."""

    def __init__(
        self, *, target: Target, backend: Backend, settings: Settings, observer: Observer
    ) -> None:
        self._target = target
        self._backend = backend
        self._settings = settings
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._sub: Sub | None = None
        self._intake: Intake | None = None
        self._started = False
        self._began = self._loop.time()
        self._heard = 0.0
        self._asked: Identity | None = None
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
        return self._intake is not None and not self._intake.waiting

    @property
    def effective(self) -> LiveQuery | None:
        """The query as the tier runs it, where it said so."""
        return self._sub.effective if self._sub else None

    async def reanchor(self, query: LiveQuery, was: LiveQuery, request_id: str) -> LiveQuery | None:
        """Have the tier slide the call's window; see `Sub.reanchor`. Raises Failed."""
        sub = self._sub
        if sub is None or self._intake is None:
            raise Failed(Kind.UNAVAILABLE, "the tier is out of reach")
        self._intake.widen(query.limit)
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
        """Feed the target until there is nothing more to come; returns why."""
        try:
            return await self._run()
        finally:
            self._hush()

    async def _run(self) -> End:
        told: Failed | None = None
        while True:
            announced = False
            try:
                await self._open()
                await self._follow()
                return End(Reason.COMPLETED)
            except Resync as resync:
                cause = resync.cause
                failure = Failed(Kind.BROKEN, "what the tier sends can't be shown")
                if self.live and self._loop.time() - self._whole_at > self._settings.backoff_most:
                    self._troubled.reset()  # it stood for a while: this is another trouble
                wait = self._troubled.next()
            except Failed as failed:
                cause = failed.code.lower()
                failure = failed
                announced = self._sub is not None and self._sub.leaving
                wait = self._lost.next()
            finally:
                await self._drop()
            left = self._deadline() - self._loop.time()
            final = failure.final
            if final and failure.kind is Kind.UNAUTHENTICATED and self._started:
                final = self._asked is None or not self._target.refused(self._asked)
            if final or left <= 0 or not self._worth_another(failure):
                # The last attempt is cut short by the deadline; what went before says more.
                return End(Reason.FAILED, told if told and left <= 0 else failure)
            if not self._target.wanted:
                return End(Reason.UNSUBSCRIBED)
            told = failure
            logger.info("subscription to %s lost: %s", self._target.query.entity, cause)
            self._observer.resubscribed(cause)
            self._tell(cause, announced=announced)
            wait = max(wait, failure.retry_after or 0.0)
            await self._backend.pause(min(wait, left))

    def _tell(self, cause: str, *, announced: bool) -> None:
        """Tell of a loss: one that was announced only if it lasts, for connections age and go."""
        self._hush()
        if announced:
            self._quiet = self._loop.call_later(QUIET, self._target.lost, cause)
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
        self._asked = target.identity
        try:
            async with asyncio.timeout(limit):
                sub = await self._backend.subscribe(target.query, self._asked, again=self._started)
        except TimeoutError:
            raise Failed(Kind.DEADLINE, "the tier did not answer in time") from None
        self._observer.subscribed()
        self._sub = sub
        self._intake = Intake(
            StreamedSet() if target.query.streamed else Window(target.query.limit)
        )
        self._started = True
        target.started()

    async def _drop(self) -> None:
        sub, self._sub, self._intake = self._sub, None, None
        if sub is not None:
            self._observer.unsubscribed()
            await sub.close()

    async def _follow(self) -> None:
        """Read until the tier ends the stream; raises Resync or Failed when the call is lost."""
        assert self._sub is not None and self._intake is not None  # noqa: S101, PT018 - by _open
        sub, intake = self._sub, self._intake
        patience = first = self._settings.snapshot_timeout
        if self._stale_since is not None:
            first = max(min(patience, self._deadline() - self._loop.time()), 0)
        self._heard = self._loop.time()
        listening = Listening(sub.heartbeat, lambda: self._heard)
        try:
            async with asyncio.timeout(first) as clock:
                listening.begin(clock)
                while (message := await sub.read()) is not None:
                    self._heard = self._loop.time()
                    if isinstance(message, Beat):
                        intake.beat(message)
                        continue
                    self._hand_over(intake.feed(message))
                    for _ in range(intake.take_dropped()):
                        self._observer.repaired("repeated")
                    if clock.expired():
                        continue  # it ran out as the message came: the next wait ends the call
                    if intake.waiting and clock.when() is None:
                        clock.reschedule(self._loop.time() + patience)
                    elif not intake.waiting and clock.when() is not None:
                        clock.reschedule(None)
        except TimeoutError:
            raise Resync("silence" if listening.silent else "snapshot_timeout") from None
        finally:
            listening.stop()

    def _hand_over(self, events: Iterable[Snapshot | Change]) -> None:
        """Hand on what a message came to: windows one by one, changes in a row together."""
        groups: list[Change] = []
        try:
            for event in events:
                if not isinstance(event, Snapshot):
                    groups.append(event)
                    continue
                if groups:
                    self._target.publish(groups)
                    groups = []
                self._replace(event)
        finally:
            # What went before that which can't be carried on from is good.
            if groups:
                self._target.publish(groups)

    def _replace(self, snapshot: Snapshot) -> None:
        self._hush()
        self._stale_since = None
        self._whole_at = self._loop.time()
        self._lost.reset()
        self._target.replace(snapshot)
