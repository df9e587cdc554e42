"""Health: whether a replica is there and says that it serves (grpc.health.v1 Watch).

The replica is asked for the live-query service, then for the server as a whole. One that knows no
health service, or won't tell us, counts as serving: unknown is usable. The watch also keeps the
control channel connected, so that a lost replica is noticed without a client's call.
"""

import asyncio
import enum
from collections.abc import Callable
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2

from bridge.live.backoff import Backoff
from livequery.v1 import livequery_pb2 as pb

SERVICE: Final[str] = pb.DESCRIPTOR.services_by_name["LiveQueryService"].full_name
_WATCH = "/grpc.health.v1.Health/Watch"
PATIENCE = 2.0
"""Seconds a connected replica has to say how it is; after that it counts as serving."""
ASK_AGAIN = 60.0
"""Seconds until a replica that won't tell is asked again."""
_STEADY = 5.0


class ReplicaHealth(enum.Enum):
    """What is known of a replica."""

    UNKNOWN = enum.auto()
    SERVING = enum.auto()
    NOT_SERVING = enum.auto()
    UNREACHABLE = enum.auto()


class _Answer(enum.Enum):
    """How a watch ended."""

    MISSING = enum.auto()  # the service it was asked for is not known
    SILENT = enum.auto()  # it won't tell
    BROKEN = enum.auto()  # the call broke


_BREAKS = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


class HealthWatch:
    """Watches one replica over one channel; `on_change` is told when what is known changes."""

    def __init__(
        self, channel: grpc.aio.Channel, *, on_change: Callable[[ReplicaHealth], None]
    ) -> None:
        self._channel = channel
        self._on_change = on_change
        self._now = ReplicaHealth.UNKNOWN
        self._pause = Backoff(first=0.1, factor=2, most=5)
        self._broken = 0
        self._lost = False

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._connected()
            began = loop.time()
            answer = await self._ask()
            if answer is _Answer.BROKEN:
                await self._broke(steady=loop.time() - began > _STEADY)
                continue
            self._tell(ReplicaHealth.SERVING)
            try:
                async with asyncio.timeout(ASK_AGAIN):
                    await self._channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
            except TimeoutError:
                continue
            self._lost = True

    async def _connected(self) -> None:
        """Wait until there is a connection."""
        ready, lost = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE
        while (state := self._channel.get_state(try_to_connect=True)) is not ready:
            if state is lost:
                self._tell(ReplicaHealth.UNREACHABLE)
            await self._channel.wait_for_state_change(state)

    async def _broke(self, *, steady: bool) -> None:
        # A connection that ended for its age is no news; one call after another that breaks on
        # a connection that stands (a proxy with nothing behind it) is.
        if steady:
            self._broken = 0
            self._pause.reset()
        self._broken += 1
        self._lost = True
        if self._broken > 1:
            self._tell(ReplicaHealth.UNREACHABLE)
        await asyncio.sleep(self._pause.next())

    async def _ask(self) -> _Answer:
        patience = asyncio.get_running_loop().call_later(PATIENCE, self._assume)
        try:
            for service in (SERVICE, ""):
                answer = await self._follow(service)
                if answer is not _Answer.MISSING:
                    return answer
            return _Answer.SILENT
        finally:
            patience.cancel()

    def _assume(self) -> None:
        if self._now is not ReplicaHealth.NOT_SERVING:
            self._tell(ReplicaHealth.SERVING)

    async def _follow(self, service: str) -> _Answer:
        watch = self._channel.unary_stream(
            _WATCH,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        call: grpc.aio.UnaryStreamCall[Any, Any] = watch(
            health_pb2.HealthCheckRequest(service=service)
        )
        try:
            while isinstance(response := await call.read(), health_pb2.HealthCheckResponse):
                if response.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
                    return _Answer.MISSING
                serving = response.status == health_pb2.HealthCheckResponse.SERVING
                self._tell(ReplicaHealth.SERVING if serving else ReplicaHealth.NOT_SERVING)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return _Answer.MISSING
            return _Answer.BROKEN if error.code() in _BREAKS else _Answer.SILENT
        finally:
            call.cancel()
        return _Answer.BROKEN

    def _tell(self, health: ReplicaHealth) -> None:
        """Pass on what is new. After a loss it is that the replica serves, as it did before."""
        back = self._lost and health is ReplicaHealth.SERVING
        if back or health is not self._now:
            self._now = health
            self._lost = self._lost and not back
            self._on_change(health)
