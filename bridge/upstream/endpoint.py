"""Endpoint: one replica of the tier; its connections, its health, its circuit.

Laws: a stream holds a place on a lane from before its call begins until it is closed; a lane
takes no more streams than it was made for, nor than its server allows; a lane that is retired, or
whose connection is gone or leaving, takes none, and is closed when its last has ended. Reanchor and
health go over a grpc channel of their own, so that no number of streams can hold them up.
"""

import asyncio
import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from bridge.core.address import ReplicaAddress
from bridge.upstream.http2.call import CallEnded
from bridge.upstream.http2.connection import Http2Connection
from bridge.upstream.http2.status import CallStatus

from .breaker import Breaker
from .health import HealthWatch, ReplicaHealth

logger = logging.getLogger(__name__)

CONTROL_CHANNEL_GRACE = 5.0
"""Seconds a replaced control channel is kept for the calls on it."""
SUSPECT_SECONDS = 30.0
"""Seconds that a replica which let a call wait for nothing stands behind the others."""


class EndpointState(enum.Enum):
    """What operators are told of a replica."""

    READY = "ready"
    CONNECTING = "connecting"
    CIRCUIT_OPEN = "circuit open"
    NOT_SERVING = "not serving"


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """A replica in plain values. `leaving`: its name no longer leads to it; it gets no streams."""

    address: str
    state: str
    streams: int
    leaving: bool


@dataclass(slots=True, eq=False)
class PooledConnection:
    """One connection and how many streams have a place on it."""

    connection: Http2Connection
    streams: int = 0
    retired: bool = False
    idle_since: float = 0.0

    @property
    def spent(self) -> bool:
        """Whether it takes no more streams, ever."""
        return self.retired or not self.connection.usable

    def has_room(self, most: int) -> bool:
        """Whether one more stream may go on it, as far as can be told."""
        return not self.spent and self.streams < min(most, self.connection.limit)


class Endpoint:
    """One replica. Watches its health from the start, until `close`.

    `on_change` is told, in passing, when its state may have changed or a lane can be closed.
    """

    def __init__(
        self,
        place: ReplicaAddress,
        *,
        connect: Callable[[ReplicaAddress], grpc.aio.Channel],
        dial: Callable[[ReplicaAddress], Http2Connection],
        clock: Callable[[], float],
        on_change: Callable[[], None],
        streams_per_lane: int,
    ) -> None:
        self.place = place
        self.breaker = Breaker(clock=clock)
        self.leaving = False
        self._connect = connect
        self._dial = dial
        self._clock = clock
        self._on_change = on_change
        self._most = streams_per_lane
        self._health = ReplicaHealth.UNKNOWN
        self._told = EndpointState.CONNECTING
        self._doubted_until = 0.0
        self._lanes: list[PooledConnection] = []
        self._old: list[tuple[asyncio.Task[None], grpc.aio.Channel]] = []
        self.control = connect(place)
        self._watch = self._begin_watch()

    # ------------------------------------------------------------ what it is worth

    @property
    def streams(self) -> int:
        """How many streams it carries or is being asked for."""
        return sum(lane.streams for lane in self._lanes)

    @property
    def lanes(self) -> int:
        """How many connections carry streams, or did a while ago."""
        return len(self._lanes)

    @property
    def state(self) -> EndpointState:
        """What operators are told."""
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
        return self._health is ReplicaHealth.SERVING and self.breaker.admits

    @property
    def rank(self) -> int:
        """How far back it stands in the choice: 0 with the best."""
        if self._health is ReplicaHealth.NOT_SERVING:
            return 2
        doubted = self._clock() < self._doubted_until
        return 1 if doubted or self._health is ReplicaHealth.UNREACHABLE else 0

    @property
    def info(self) -> EndpointInfo:
        """What operators are told, in plain values."""
        return EndpointInfo(self.place.address, self.state.value, self.streams, self.leaving)

    # ------------------------------------------------------------ places for streams

    async def lane(self) -> PooledConnection:
        """Take a place on a connection that stands; give it back with `release`.

        Raises CallEnded (UNAVAILABLE) where none can be made.
        """
        while True:
            lane = self._take()
            try:
                await lane.connection.ready()
            except BaseException:
                self.release(lane)
                raise
            if not lane.connection.full:
                return lane
            # Only now has the server said how few it takes: those over go elsewhere.
            self._most = max(min(self._most, lane.connection.limit), 1)
            self.release(lane)
            if not lane.connection.limit:
                raise CallEnded(CallStatus("UNAVAILABLE", "the tier takes no streams"))

    def _take(self) -> PooledConnection:
        for lane in self._lanes:
            if lane.has_room(self._most):
                break
        else:
            lane = PooledConnection(self._dial(self.place))
            self._lanes.append(lane)
        lane.streams += 1
        return lane

    def release(self, lane: PooledConnection) -> None:
        """Give a place back. A connection given up for silence speaks against the replica."""
        if lane.connection.mute:
            self.doubt(lane)
        lane.streams -= 1
        lane.idle_since = self._clock()
        if not lane.streams and (lane.spent or self.leaving):
            self._on_change()

    def doubt(self, lane: PooledConnection | None) -> None:
        """Take note that a call waited for nothing: its connection may be dead and not know it.

        New streams get another connection. The replica is the last to be asked for a while, since
        its streams are the fewest by then.
        """
        self._doubted_until = self._clock() + SUSPECT_SECONDS
        if lane is not None:
            lane.retired = True

    def changed(self) -> None:
        """Take note that health or breaker was told something; logs a new state once."""
        state = self.state
        if state is not self._told:
            level = logging.INFO if state is EndpointState.READY else logging.WARNING
            logger.log(level, "tier %s: %s", self.place.address, state.value)
            self._told = state
            self._on_change()

    # ------------------------------------------------------------ upkeep

    def renew(self) -> None:
        """Leave every present connection: new streams get new ones, old streams go on."""
        for lane in self._lanes:
            lane.retired = True
        self._watch.cancel()
        self._old.append((self._watch, self.control))
        self.control = self._connect(self.place)
        self._watch = self._begin_watch()
        self._on_change()

    async def sweep(self, idle: float) -> None:
        """Close lanes that are empty, if retired or for so many seconds."""
        due = self._clock() - idle
        empty = [
            lane
            for lane in self._lanes
            if not lane.streams and (lane.spent or self.leaving or lane.idle_since <= due)
        ]
        self._lanes = [lane for lane in self._lanes if lane not in empty]
        await asyncio.gather(*(lane.connection.close() for lane in empty))
        await self._close_old(CONTROL_CHANNEL_GRACE)

    async def close(self) -> None:
        """Stop watching and close every channel, cancelling what still runs on them."""
        self._watch.cancel()
        await asyncio.wait([self._watch])
        lanes, self._lanes = self._lanes, []
        await asyncio.gather(self.control.close(), *(lane.connection.close() for lane in lanes))
        await self._close_old(None)

    async def _close_old(self, grace: float | None) -> None:
        while self._old:
            watch, channel = self._old[-1]
            await asyncio.wait([watch])
            await channel.close(grace)
            # Only now: a sweep that is cancelled half-way leaves it to `close`.
            self._old.remove((watch, channel))

    def _begin_watch(self) -> asyncio.Task[None]:
        watch = HealthWatch(self.control, on_change=self._learn)
        task = asyncio.get_running_loop().create_task(
            watch.run(), name=f"health of {self.place.address}"
        )
        task.add_done_callback(log_task_failure)
        return task

    def _learn(self, health: ReplicaHealth) -> None:
        if health is ReplicaHealth.SERVING:
            if self._health is ReplicaHealth.UNREACHABLE:
                self.breaker.succeeded()  # it was lost, and is back
                self._doubted_until = 0.0
            else:
                self.breaker.retry_now()
        self._health = health
        self.changed()
        self._on_change()  # usable or not, even where operators are told the same


def log_task_failure(task: asyncio.Task[None]) -> None:
    """Say in the log that a background task has failed: nobody awaits it before the end."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s has failed", task.get_name(), exc_info=error)
