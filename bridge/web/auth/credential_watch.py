"""CredentialWatch: streams that end when their client's credential does.

Invariants: a stream that was released is never called again, and is called at most once for the
end; a lease that nobody holds is forgotten; time is the wall clock's, looked at every second at the
latest, so that a clock that is set, or a machine that slept, delays no end for longer.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

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


class WatchedStream(Protocol):
    """A stream that lasts as long as its client's credential. Compared by identity."""

    def on_credential_ended(self, failure: Failed) -> None:
        """End: the credential has expired, or was revoked."""

    def on_credential_expiring(self, expires_at: float) -> None:
        """Note that it expires soon."""


class Lease:
    """One credential, and the streams that hold it. Made by `CredentialWatch.hold`."""

    __slots__ = ("_watch", "credential", "due", "ends_at", "streams", "warned")

    def __init__(self, watch: "CredentialWatch", credential: Credential, ends_at: float) -> None:
        self._watch = watch
        self.credential = credential
        self.ends_at = ends_at
        self.streams: dict[WatchedStream, None] = {}
        self.warned = False
        self.due = 0.0
        """When it is warned, then when it is ended."""

    def release(self, stream: WatchedStream) -> None:
        """Call a stream no more. Idempotent."""
        self._watch.release(self, stream)


class CredentialWatch:
    """All leases of a bridge. `clock`: seconds since the epoch.

    All streams of one credential share a lease: a stream costs an entry in it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[Credential, Lease] = {}
        """The leases that newcomers share: nobody was warned yet."""
        self._periods: dict[int, dict[Lease, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        """When the timer fires, as the clock says."""

    def hold(self, credential: Credential, stream: WatchedStream) -> Lease | None:
        """Call the stream when the credential expires or is revoked, and some time before it does.

        Until it is released. None: the bridge has not verified the credential, and knows no end.
        """
        lease = self._open.get(credential)
        if lease is None:
            if credential.expires_at is None or credential.ends_at is None:
                return None
            lease = self._make(credential, credential.expires_at, credential.ends_at)
        lease.streams[stream] = None
        return lease

    def _make(self, credential: Credential, expires_at: float, ends_at: float) -> Lease:
        lease, now = Lease(self, credential, ends_at), self._clock()
        left = expires_at - now
        lease.due = expires_at - (WARNING if left >= 2 * WARNING else left / 2)
        self._open[credential] = lease
        self._keep(lease, now)
        return lease

    def release(self, lease: Lease, stream: WatchedStream) -> None:
        """Call a stream of a lease no more. Idempotent."""
        streams = lease.streams
        if stream in streams:
            del streams[stream]
            if not streams:
                self._forget(lease)

    def last_end(self, meant: Callable[[Mapping[str, Any]], bool]) -> float | None:
        """Return when the last credential whose claims are meant ends; None: there is none."""
        return max((lease.ends_at for lease in self._meant(meant)), default=None)

    def end_revoked(self, meant: Callable[[Mapping[str, Any]], bool]) -> int:
        """End the streams whose claims are meant; return how many there were."""
        failure = Failed(Kind.EXPIRED, "the credential was revoked", field="token")
        return sum(self._end(lease, failure) for lease in self._meant(meant))

    def _meant(self, meant: Callable[[Mapping[str, Any]], bool]) -> list[Lease]:
        return [
            lease
            for period in self._periods.values()
            for lease in period
            if meant(lease.credential.claims)
        ]

    def stop(self) -> None:
        """Call nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._open.clear()
        self._periods.clear()

    # ------------------------------------------------------------ time

    def _keep(self, lease: Lease, now: float) -> None:
        self._periods.setdefault(int(lease.due // _PERIOD), {})[lease] = None
        if self._timer is None or lease.due < self._next:
            self._schedule(lease.due - now, now)

    def _forget(self, lease: Lease) -> None:
        if self._open.get(lease.credential) is lease:
            del self._open[lease.credential]
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
        self._schedule_next(nearest, now)

    def _schedule_next(self, nearest: float, now: float) -> None:
        if self._periods and self._timer is None:
            self._schedule(nearest - now, now)

    def _on_due(self, lease: Lease, now: float) -> None:
        if not lease.streams:
            return
        if lease.warned or now >= lease.ends_at:
            self._end(lease, Failed(Kind.EXPIRED, "the credential has expired", field="token"))
            return
        self._forget(lease)
        lease.warned, lease.due = True, lease.ends_at
        self._keep(lease, now)
        if lease.credential.expires_at is not None:
            for stream in list(lease.streams):
                if stream in lease.streams:  # another one's call may have released it
                    self._call(stream.on_credential_expiring, lease.credential.expires_at)

    def _end(self, lease: Lease, failure: Failed) -> int:
        """End the streams of a lease; return how many there were."""
        streams = list(lease.streams)
        for stream in streams:
            if stream in lease.streams:
                self.release(lease, stream)
                self._call(stream.on_credential_ended, failure)
        return len(streams)

    @staticmethod
    def _call(callback: Callable[[Any], None], value: Any) -> None:
        """Call back; what one stream raises must not keep others open."""
        try:
            callback(value)
        except Exception:
            logger.exception("a stream could not be ended")
