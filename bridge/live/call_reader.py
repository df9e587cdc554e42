"""CallReader: checks what one upstream call brings, and passes it on.

Invariants: every message is a sign of life, and any but a heartbeat is put in order first; the
deadline is that of a snapshot, or the end of a doubt, in which the call goes on; what a message
holds is passed on in one step, up to where it can't be continued.
"""

import asyncio
from collections.abc import Callable, Iterable

from bridge.core.batch import Batch
from bridge.core.group import Change
from bridge.core.sequencer import REUSED_NUMBER, Heartbeat, Sequencer, Snapshot

from .loss_report import LossReport
from .observer import Observer
from .old_news import OldNews
from .resume_point import ResumePoint
from .retry_policy import RetryPolicy
from .session_target import SessionTarget
from .settings import LiveSettings

DOUBT = "splice"
"""The repair which proves that mirror and tier may differ, and the cause of what follows."""
_HARMLESS_REPAIR = "missing_leave"
"""The repair after which the rows are the tier's for certain."""


class CallReader:
    """The reading of one call. `now` returns the loop's seconds."""

    def __init__(
        self,
        *,
        target: SessionTarget,
        settings: LiveSettings,
        observer: Observer,
        report: LossReport,
        retry: RetryPolicy,
        resume_point: ResumePoint,
        sequencer: Sequencer,
        now: Callable[[], float],
    ) -> None:
        self.sequencer = sequencer
        self.received_at = now()
        """When the last message came."""
        self.deadline: asyncio.Timeout | None = None
        """The call's, once it is followed."""
        self.in_doubt = False
        """Whether the deadline is the call's end, unless a snapshot comes before."""
        self._target = target
        self._settings = settings
        self._report = report
        self._retry = retry
        self._resume_point = resume_point
        self._old_news = OldNews(observer)
        self._now = now

    def receive(self, message: Batch | Heartbeat) -> None:
        """Pass on what a message contains. Raises Resync if the call can't be continued."""
        self.received_at = self._now()
        sequencer = self.sequencer
        if isinstance(message, Heartbeat):
            sequencer.check_heartbeat(message)
            return
        changes = sequencer.changes(message)
        if changes is not None:
            self._publish(changes)
            return
        self._deliver(sequencer.feed(message))
        for cause, detail in sequencer.take_notes():
            self._report.fault(cause, detail)
            if cause == REUSED_NUMBER:
                self._begin_doubt()
        if dropped := sequencer.take_dropped():
            self._old_news.on_dropped(dropped, sequencer.last_delta, self.received_at)
        self._adjust_deadline()

    def _adjust_deadline(self) -> None:
        """Have a deadline while a snapshot is awaited."""
        deadline = self.deadline
        if deadline is None:
            return
        has_deadline = deadline.when() is not None
        # A deadline that expired as the message came can't be moved, and the call ends.
        if self.sequencer.awaiting_snapshot is not has_deadline and not deadline.expired():
            if not has_deadline:
                deadline.reschedule(self.received_at + self._settings.snapshot_timeout)
            elif not self.in_doubt:
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
        if DOUBT in repairs:
            self._report.contradicted()
            self._begin_doubt()

    def _begin_doubt(self) -> None:
        deadline = self.deadline
        # One that is set is a snapshot's, which will take the doubt away, or that of a doubt.
        if deadline is not None and deadline.when() is None:
            self.in_doubt = True
            deadline.reschedule(self._now() + self._retry.wait_after_doubt())

    def _replace(self, snapshot: Snapshot) -> None:
        self._report.current()
        self.in_doubt = False
        self._retry.on_current()
        self._target.replace(snapshot)
        self._resume_point.on_snapshot(snapshot, self._target.query)
