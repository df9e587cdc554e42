"""RetryPolicy: when a session's lost call is opened again, and how long that is tried.

Invariants: before the first `started` the deadline is `open_timeout` after the session's begin;
later it is `max_staleness` after the loss of the window, however many calls are tried meanwhile;
a call in doubt is replaced `DOUBT_INTERVAL` after it was opened at the earliest.
"""

from collections.abc import Callable

from bridge.core.errors import Failed, Kind

from .backoff import Backoff
from .settings import LiveSettings

STABLE_AFTER = 1.0
"""Seconds after which a call counts as stable, so that its loss is retried at once. One that fails
soon after its snapshot was never up.

After a Resync, which costs the tier a snapshot, it is the longest backoff instead.
"""

DOUBT_INTERVAL = 1.0
"""Least seconds from the opening of a call to its replacement because of doubt."""


class RetryPolicy:
    """Deadlines and waits of one session. `now` returns seconds."""

    def __init__(self, settings: LiveSettings, now: Callable[[], float]) -> None:
        self.started = False
        """Whether the tier has ever started a call."""
        self._settings = settings
        self._now = now
        self._began = now()
        self._stale_since: float | None = None
        self._current_since = 0.0
        self._loss_backoff = self._make_backoff()
        self._resync_backoff = self._make_backoff()
        self._doubt_backoff = self._make_backoff()
        self._opened_at = 0.0

    def _make_backoff(self) -> Backoff:
        settings = self._settings
        return Backoff(
            first=settings.backoff_first,
            factor=settings.backoff_factor,
            most=settings.backoff_most,
        )

    # ------------------------------------------------------------ what happens

    def on_opening(self) -> None:
        """Note that a call is being opened."""
        self._opened_at = self._now()

    def on_current(self) -> None:
        """Note that the window is current (again)."""
        self._stale_since = None
        self._current_since = self._now()

    def on_lost(self) -> None:
        """Note that the window is not current any more. Idempotent."""
        if self.started and self._stale_since is None:
            self._stale_since = self._now()

    # ------------------------------------------------------------ what follows from it

    def wait_after_loss(self, *, live: bool, announced: bool = False) -> float:
        """Return seconds to wait after a loss. `live`: the window was complete until then.

        A loss that the tier announced is no trouble, however soon it comes.
        """
        if live and announced:
            self._loss_backoff.reset()
        return self._wait(self._loss_backoff, STABLE_AFTER, live=live)

    def wait_after_resync(self, *, live: bool) -> float:
        """Return seconds to wait after a call whose content can't be continued."""
        return self._wait(self._resync_backoff, self._settings.backoff_most, live=live)

    def wait_after_doubt(self) -> float:
        """Return seconds for which a call in doubt goes on, before another one replaces it.

        A call that was stable before its doubt is replaced soon: the replacement of the last one
        helped.
        """
        left = self._opened_at + DOUBT_INTERVAL - self._now()
        return max(left, self._wait(self._doubt_backoff, STABLE_AFTER, live=True))

    def _wait(self, backoff: Backoff, stable_after: float, *, live: bool) -> float:
        if live and self._now() - self._current_since > stable_after:
            backoff.reset()
        return backoff.next()

    def worth_retrying(self, failure: Failed) -> bool:
        """Return whether to open another call.

        Always once viewers may have a window. Before, only if the tier is out of reach.
        """
        return self.started or failure.kind in (Kind.UNAVAILABLE, Kind.DEADLINE)

    def time_left(self) -> float:
        """Return seconds until the deadline, infinite if there is none now."""
        if not self.started:
            return self._began + self._settings.open_timeout - self._now()
        if self._stale_since is None or not self._settings.max_staleness:
            return float("inf")
        return self._stale_since + self._settings.max_staleness - self._now()

    def started_timeout(self, *, with_window: bool = False) -> float:
        """Return the seconds that the next call's `started` may take, `with_window` or before."""
        timeout = self._settings.started_timeout
        if with_window:
            timeout = max(timeout, self._settings.snapshot_timeout)
        return min(timeout, self.time_left())

    def snapshot_timeout(self) -> float:
        """Return the seconds that the next call's snapshot may take."""
        timeout = self._settings.snapshot_timeout
        if self._stale_since is None:
            return timeout
        return max(min(timeout, self.time_left()), 0)
