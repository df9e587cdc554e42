"""Endpoint: one replica of the tier, with its connections, health and circuit breaker.

Invariants: Reanchor and health have a pool of connections of their own, so that no number of
streams can delay them. They are dialed as those of streams are. The health watch runs from the
start until `close`.
"""

import asyncio
import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass

from bridge.core.address import ReplicaAddress
from bridge.upstream.http2.connection import Http2Connection
from bridge.upstream.http2.keepalive import Keepalive
from bridge.upstream.http2.peer import Peer

from .breaker import Breaker
from .connection_pool import ConnectionPool, PooledConnection
from .health import HealthWatch, ReplicaHealth

logger = logging.getLogger(__name__)

SUSPECT_SECONDS = 30.0
"""Seconds for which others are preferred to a replica that left a call without an answer."""


class EndpointState(enum.Enum):
    """The state of a replica, as operators see it."""

    READY = "ready"
    CONNECTING = "connecting"
    CIRCUIT_OPEN = "circuit open"
    NOT_SERVING = "not serving"


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """A replica in plain values. `leaving`: its name no longer resolves to it."""

    address: str
    state: str
    streams: int
    leaving: bool


class Endpoint:
    """One replica.

    Args:
        replica: its address.
        dial: begins to connect.
        keepalive: after how long a silent replica is gone, until it punishes pings.
        clock: seconds, as loop.time.
        on_change: is called when the state may have changed or a connection can be closed.
        max_streams: streams on one connection.

    """

    def __init__(
        self,
        replica: ReplicaAddress,
        *,
        dial: Callable[[ReplicaAddress, Peer], Http2Connection],
        keepalive: Keepalive,
        clock: Callable[[], float],
        on_change: Callable[[], None],
        max_streams: int,
    ) -> None:
        self.replica = replica
        self.breaker = Breaker(clock=clock)
        self.leaving = False
        """Whether its name no longer resolves to it: it gets no new streams."""
        self._clock = clock
        self._on_change = on_change
        self._health = ReplicaHealth.UNKNOWN
        self._cause = ""
        self._logged_state = (EndpointState.CONNECTING, False)
        self._suspect_until = 0.0
        self._peer = Peer(replica.address, keepalive)
        self.pool, self.control = (
            ConnectionPool(
                dial=lambda: dial(replica, self._peer),
                clock=clock,
                max_streams=max_streams,
                on_release=on_release,
            )
            for on_release in (self._on_release, self._on_control_release)
        )
        self._old_watches: set[asyncio.Task[None]] = set()
        self._watch = self._start_watch()

    # ------------------------------------------------------------ state

    @property
    def streams(self) -> int:
        """Number of streams on it, those that are being opened included."""
        return self.pool.streams

    @property
    def state(self) -> EndpointState:
        """The state that operators see."""
        if self.breaker.open:
            return EndpointState.CIRCUIT_OPEN
        if self._health is ReplicaHealth.NOT_SERVING:
            return EndpointState.NOT_SERVING
        return (
            EndpointState.READY
            if self._health is ReplicaHealth.SERVING
            else EndpointState.CONNECTING
        )

    @property
    def usable(self) -> bool:
        """Whether it is connected, serves, and may be called now."""
        return self._health is ReplicaHealth.SERVING and self.breaker.allows_call

    @property
    def known(self) -> bool:
        """Whether anything has been heard of it, or that it is unreachable."""
        return self._health is not ReplicaHealth.UNKNOWN

    @property
    def penalty(self) -> int:
        """Which replicas are preferred: those with the smallest number; 0 is healthy."""
        if self._health is ReplicaHealth.NOT_SERVING:
            return 3
        if self._clock() < self._suspect_until or self._health is ReplicaHealth.UNREACHABLE:
            return 2
        return 0 if self.known else 1

    @property
    def info(self) -> EndpointInfo:
        """The state in plain values."""
        return EndpointInfo(self.replica.address, self.state.value, self.streams, self.leaving)

    # ------------------------------------------------------------ what calls have shown

    def suspect(self, pooled: PooledConnection | None) -> None:
        """Prefer other replicas for a while: a call on this connection got no answer.

        The replica has the fewest streams by then, and would get the next one. New streams get
        another connection, because this one may be dead.
        """
        self._suspect_until = self._clock() + SUSPECT_SECONDS
        if pooled is not None:
            pooled.retired = True

    def report_state(self) -> None:
        """Log the state if it is a new one: health or breaker may have changed it."""
        state = self.state
        # One that can't be reached at the start is `connecting` as well, and worth a line.
        shown = (state, self._health is ReplicaHealth.UNREACHABLE)
        if shown != self._logged_state:
            level = logging.INFO if state is EndpointState.READY else logging.WARNING
            cause = f": {self._cause}" if self._cause and state is not EndpointState.READY else ""
            logger.log(level, "tier %s: %s%s", self.replica.address, state.value, cause)
            self._logged_state = shown
            self._on_change()

    def _on_release(self, pooled: PooledConnection) -> None:
        if pooled.connection.timed_out:
            self.suspect(pooled)
        if not pooled.streams and (pooled.closing or self.leaving):
            self._on_change()

    def _on_control_release(self, pooled: PooledConnection) -> None:
        if not pooled.streams and pooled.closing:
            self._on_change()

    # ------------------------------------------------------------ upkeep

    def replace_connections(self) -> None:
        """Use new connections for new streams and calls; present streams go on."""
        self.pool.retire_all()
        self.control.retire_all()
        self._watch.cancel()
        self._old_watches.add(self._watch)
        self._watch.add_done_callback(self._old_watches.discard)
        self._watch = self._start_watch()
        self._on_change()

    async def close_unused(self, idle: float) -> None:
        """Close connections that get no more streams, or are idle for so many seconds."""
        await self.pool.close_unused(0.0 if self.leaving else idle)
        await self.control.close_unused(idle)

    async def close(self) -> None:
        """Stop the watch and close every connection; calls on them are cancelled."""
        self._watch.cancel()
        await asyncio.wait([self._watch, *self._old_watches])
        await asyncio.gather(self.control.close(), self.pool.close())

    def _start_watch(self) -> asyncio.Task[None]:
        watch = HealthWatch(
            self.control,
            on_change=self._on_health,
            warn=lambda text: self._peer.warn_once(text, text),
        )
        task = asyncio.get_running_loop().create_task(
            watch.run(), name=f"health of {self.replica.address}"
        )
        task.add_done_callback(log_task_failure)
        return task

    def _on_health(self, health: ReplicaHealth, cause: str) -> None:
        if health is ReplicaHealth.SERVING:
            if self._health is ReplicaHealth.UNREACHABLE:
                self.breaker.record_success()  # it was lost, and is back
                self._suspect_until = 0.0
            else:
                self.breaker.retry_now()
        self._health, self._cause = health, cause
        self.report_state()
        self._on_change()  # `usable` may have changed even if the state has not


def log_task_failure(task: asyncio.Task[None]) -> None:
    """Log the exception of a background task, which nobody awaits before the end."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s has failed", task.get_name(), exc_info=error)
