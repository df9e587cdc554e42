"""Endpoint: one replica of the tier, with its connections, health and circuit breaker.

Invariants: Reanchor and health use a grpc channel of their own, the control channel, so that no
number of streams can delay them. The health watch runs from the start until `close`.
"""

import asyncio
import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from bridge.core.address import ReplicaAddress
from bridge.upstream.http2.connection import Http2Connection

from .breaker import Breaker
from .connection_pool import ConnectionPool, PooledConnection
from .health import HealthWatch, ReplicaHealth

logger = logging.getLogger(__name__)

CONTROL_CHANNEL_GRACE = 5.0
"""Seconds that a replaced control channel stays open for the calls on it."""
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
        create_channel: makes the control channel.
        dial: begins to connect for streams.
        clock: seconds, as loop.time.
        on_change: is called when the state may have changed or a connection can be closed.
        max_streams: streams on one connection.

    """

    def __init__(
        self,
        replica: ReplicaAddress,
        *,
        create_channel: Callable[[ReplicaAddress], grpc.aio.Channel],
        dial: Callable[[ReplicaAddress], Http2Connection],
        clock: Callable[[], float],
        on_change: Callable[[], None],
        max_streams: int,
    ) -> None:
        self.replica = replica
        self.breaker = Breaker(clock=clock)
        self.leaving = False
        """Whether its name no longer resolves to it: it gets no new streams."""
        self._create_channel = create_channel
        self._clock = clock
        self._on_change = on_change
        self._health = ReplicaHealth.UNKNOWN
        self._logged_state = EndpointState.CONNECTING
        self._suspect_until = 0.0
        self.pool = ConnectionPool(
            dial=lambda: dial(replica),
            clock=clock,
            max_streams=max_streams,
            on_release=self._on_release,
        )
        self._replaced: list[tuple[asyncio.Task[None], grpc.aio.Channel]] = []
        self.control = create_channel(replica)
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
    def penalty(self) -> int:
        """Which replicas are preferred: those with the smallest number; 0 is healthy."""
        if self._health is ReplicaHealth.NOT_SERVING:
            return 2
        suspect = self._clock() < self._suspect_until
        return 1 if suspect or self._health is ReplicaHealth.UNREACHABLE else 0

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
        if state is not self._logged_state:
            level = logging.INFO if state is EndpointState.READY else logging.WARNING
            logger.log(level, "tier %s: %s", self.replica.address, state.value)
            self._logged_state = state
            self._on_change()

    def _on_release(self, pooled: PooledConnection) -> None:
        if pooled.connection.timed_out:
            self.suspect(pooled)
        if not pooled.streams and (pooled.closing or self.leaving):
            self._on_change()

    # ------------------------------------------------------------ upkeep

    def replace_connections(self) -> None:
        """Use new connections for new streams and calls; present streams go on."""
        self.pool.retire_all()
        self._watch.cancel()
        self._replaced.append((self._watch, self.control))
        self.control = self._create_channel(self.replica)
        self._watch = self._start_watch()
        self._on_change()

    async def close_unused(self, idle: float) -> None:
        """Close connections that get no more streams, or are idle for so many seconds."""
        await self.pool.close_unused(0.0 if self.leaving else idle)
        await self._close_replaced(CONTROL_CHANNEL_GRACE)

    async def close(self) -> None:
        """Stop the watch and close every connection and channel; calls on them are cancelled."""
        self._watch.cancel()
        await asyncio.wait([self._watch])
        await asyncio.gather(self.control.close(), self.pool.close())
        await self._close_replaced(None)

    async def _close_replaced(self, grace: float | None) -> None:
        while self._replaced:
            watch, channel = self._replaced[-1]
            await asyncio.wait([watch])
            await channel.close(grace)
            # Removed last: if this is cancelled before, `close` closes the channel.
            self._replaced.remove((watch, channel))

    def _start_watch(self) -> asyncio.Task[None]:
        watch = HealthWatch(self.control, on_change=self._on_health)
        task = asyncio.get_running_loop().create_task(
            watch.run(), name=f"health of {self.replica.address}"
        )
        task.add_done_callback(log_task_failure)
        return task

    def _on_health(self, health: ReplicaHealth) -> None:
        if health is ReplicaHealth.SERVING:
            if self._health is ReplicaHealth.UNREACHABLE:
                self.breaker.record_success()  # it was lost, and is back
                self._suspect_until = 0.0
            else:
                self.breaker.retry_now()
        self._health = health
        self.report_state()
        self._on_change()  # `usable` may have changed even if the state has not


def log_task_failure(task: asyncio.Task[None]) -> None:
    """Log the exception of a background task, which nobody awaits before the end."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s has failed", task.get_name(), exc_info=error)
