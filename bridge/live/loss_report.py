"""LossReport: who hears of a session's lost calls and of the tier's faults.

Viewers hear of a loss that lasts (LossNotice), metrics of every loss (Observer), the log of outages
(OutageLog) and faults (FaultLog). A loss that was expected is no outage.
"""

from bridge.core.errors import Failed, StatusSource
from bridge.core.sequencer import Resync

from .loss_notice import LossNotice
from .observer import Observer
from .session_target import SessionTarget
from .shared_window import SharedWindow
from .tier_log import TierLog

_QUIET = frozenset(["splice", "silence", "snapshot_timeout"])
"""Causes of a Resync that are logged elsewhere, or that no message shows."""


class LossReport:
    """Kept by a session over its calls, from the first to `close`."""

    def __init__(
        self,
        target: SessionTarget,
        window: SharedWindow,
        observer: Observer,
        tier_log: TierLog,
    ) -> None:
        self._window = window
        self._target: SessionTarget = target
        self._observer = observer
        self._outages = tier_log.outages
        self._faults = tier_log.faults
        self._notice = LossNotice(target.on_lost)
        self._replica = ""
        self._retrying = False  # a call was lost since the window was current

    def called(self, replica: str) -> None:
        """Note at which replica the present call is."""
        self._replica = replica

    def fault(self, cause: str, detail: str, excerpt: bytes = b"") -> None:
        """Report what the tier did wrong."""
        self._faults.report(self._target.query, cause, detail, excerpt)

    def contradicted(self) -> None:
        """Report the delta that contradicted the window last."""
        self.fault("splice", self._window.contradiction)

    def lost(self, reason: Resync | Failed, cause: str, *, expected: bool) -> None:
        """Report a lost call that will be opened again."""
        self._observer.resubscribed(cause)
        self._notice.give(cause, at_once=not expected and self._is_certain(reason))
        self._retrying = True
        if expected:
            return
        self._window.lost = True  # until it is replaced, or the call goes on
        failed = reason if isinstance(reason, Failed) else None
        self._outages.lost(
            self,
            replica=(failed.replica if failed else "") or self._replica,
            entity=self._target.query.entity,
            cause=(failed.cause if failed else "") or cause,
        )

    def _is_certain(self, reason: Resync | Failed) -> bool:
        """Return whether a loss is more than a cut that the next call may heal at once."""
        if isinstance(reason, Resync) or not reason.source.derived:
            return True
        return self._retrying and reason.source is StatusSource.CONNECTION

    def ended(self, reason: Resync | Failed) -> None:
        """Report a call's end as a fault, if it is one that its author can mend."""
        if isinstance(reason, Failed):
            if "`started`" in reason.cause:
                self.fault("no_started", reason.cause)
        elif reason.cause not in _QUIET:
            self.fault(reason.cause, reason.detail, reason.excerpt)

    def current(self) -> None:
        """Note that the window is current again."""
        self._retrying = False
        self._notice.cancel()
        self._outages.back(self)

    def close(self) -> None:
        """Report nothing more. Idempotent."""
        self._notice.cancel()
        self._outages.gone(self)
