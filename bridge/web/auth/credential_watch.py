"""CredentialWatch: streams that end when their client's credential does.

Invariants: a lease that was released is never called again; each is called at most once for its
end; time is the wall clock's, looked at every second at the latest, so that a clock that is set, or
a machine that slept, delays no end for longer.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.core.errors import Failed, Kind

from .credential import Credential

logger = logging.getLogger(__name__)

WARNING: Final = 30.0
"""Seconds before its end that a client hears of it; half of what is left, for short ones."""
_TICK: Final = 1.0
_LEAST: Final = 0.01
_PERIOD: Final = 60.0
"""Leases that are due in the same period are kept together: only those of the present one are
looked at."""

OnEnd = Callable[[Failed], None]
OnExpiring = Callable[[float], None]


class Lease:
    """One stream's hold on a credential. Made by `CredentialWatch.hold`."""

    __slots__ = ("_watch", "credential", "due", "on_end", "on_expiring", "warned")

    def __init__(
        self,
        watch: "CredentialWatch",
        credential: Credential,
        on_end: OnEnd,
        on_expiring: OnExpiring | None,
    ) -> None:
        self._watch = watch
        self.credential = credential
        self.on_end: OnEnd | None = on_end
        """None once it was released."""
        self.on_expiring = on_expiring
        self.warned = on_expiring is None
        self.due = 0.0

    def renew(self, credential: Credential) -> None:
        """Hold a newer credential instead."""
        self._watch.renew(self, credential)

    def release(self) -> None:
        """Hold none any more. Idempotent."""
        self._watch.release(self)


class CredentialWatch:
    """All leases of a bridge. `clock`: seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._periods: dict[int, dict[Lease, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        """When the timer fires, as the clock says."""

    def hold(
        self, credential: Credential, on_end: OnEnd, on_expiring: OnExpiring | None = None
    ) -> Lease:
        """Have `on_end` called when the credential expires or is revoked, until it is released.

        `on_expiring` is called with `expires_at` some time before. Neither is for a credential
        that the bridge has not verified.
        """
        lease = Lease(self, credential, on_end, on_expiring)
        self._insert(lease)
        return lease

    def renew(self, lease: Lease, credential: Credential) -> None:
        """Replace the credential of a lease, unless that was released."""
        if lease.on_end is None:
            return
        self._remove(lease)
        lease.credential, lease.warned = credential, lease.on_expiring is None
        self._insert(lease)

    def release(self, lease: Lease) -> None:
        """Forget a lease. Idempotent."""
        if lease.on_end is not None:
            lease.on_end = lease.on_expiring = None
            self._remove(lease)

    def last_end(self, meant: Callable[[Mapping[str, Any]], bool]) -> float | None:
        """Return when the last credential whose claims are meant ends; None: there is none."""
        ends = [
            lease.credential.ends_at
            for period in self._periods.values()
            for lease in period
            if lease.credential.ends_at is not None and meant(lease.credential.claims)
        ]
        return max(ends, default=None)

    def end_revoked(self, meant: Callable[[Mapping[str, Any]], bool]) -> int:
        """End the streams whose claims are meant; return how many there were."""
        leases = [
            lease
            for period in self._periods.values()
            for lease in period
            if meant(lease.credential.claims)
        ]
        failure = Failed(Kind.EXPIRED, "the credential was revoked", field="token")
        for lease in leases:
            self._end(lease, failure)
        return len(leases)

    def stop(self) -> None:
        """Call nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._periods.clear()

    # ------------------------------------------------------------ time

    def _insert(self, lease: Lease) -> None:
        credential, now = lease.credential, self._clock()
        if credential.ends_at is None or credential.expires_at is None:
            return
        lease.due = credential.ends_at
        if not lease.warned:
            left = credential.expires_at - now
            lease.due = credential.expires_at - (WARNING if left >= 2 * WARNING else left / 2)
        self._keep(lease, now)

    def _keep(self, lease: Lease, now: float) -> None:
        self._periods.setdefault(int(lease.due // _PERIOD), {})[lease] = None
        if self._timer is None or lease.due < self._next:
            self._schedule(lease.due - now, now)

    def _remove(self, lease: Lease) -> None:
        period = int(lease.due // _PERIOD)
        leases = self._periods.get(period, {})
        leases.pop(lease, None)
        if not leases:
            self._periods.pop(period, None)

    def _schedule(self, delay: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay = min(max(delay, _LEAST), _TICK)
        self._next = now + delay
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        """Warn and end what is due."""
        self._timer = None
        now = self._clock()
        present = int(now // _PERIOD)
        nearest = now + _TICK
        for number in [number for number in self._periods if number <= present]:
            for lease in list(self._periods.get(number, ())):
                if lease.due <= now:
                    self._on_due(lease, now)
                else:
                    nearest = min(nearest, lease.due)
        if self._periods and self._timer is None:
            self._schedule(nearest - now, now)

    def _on_due(self, lease: Lease, now: float) -> None:
        if lease.on_end is None:
            return
        if lease.warned or lease.credential.ends_at is None or now >= lease.credential.ends_at:
            self._end(lease, Failed(Kind.EXPIRED, "the credential has expired", field="token"))
            return
        self._remove(lease)
        lease.warned, lease.due = True, lease.credential.ends_at
        self._keep(lease, now)
        if lease.on_expiring is not None and lease.credential.expires_at is not None:
            self._call(lease.on_expiring, lease.credential.expires_at)

    def _end(self, lease: Lease, failure: Failed) -> None:
        on_end = lease.on_end
        self.release(lease)
        if on_end is not None:
            self._call(on_end, failure)

    @staticmethod
    def _call(callback: Callable[[Any], None], value: Any) -> None:
        """Call back; what one stream raises must not keep others open."""
        try:
            callback(value)
        except Exception:
            logger.exception("a stream could not be ended")
