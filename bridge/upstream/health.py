"""Health: whether a replica is connected and serving (grpc.health.v1 Watch).

The watch asks for the live-query service, then for the server as a whole. A replica without a
health service, or that refuses to answer, counts as serving. The watch also keeps the control
channel connected, so that a lost replica is noticed without a client's call.
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
ANSWER_TIMEOUT = 2.0
"""Seconds until a connected replica that does not answer counts as serving."""
RETRY_INTERVAL = 60.0
"""Seconds until a replica without a health service is asked again."""
_STEADY_SECONDS = 5.0
"""Seconds after which a watch counts as one that has worked."""


class ReplicaHealth(enum.Enum):
    """What is known of a replica."""

    UNKNOWN = enum.auto()
    SERVING = enum.auto()
    NOT_SERVING = enum.auto()
    UNREACHABLE = enum.auto()


class _WatchEnd(enum.Enum):
    """How a watch ended."""

    UNKNOWN_SERVICE = enum.auto()
    UNSUPPORTED = enum.auto()  # no health service, or no answer for us
    BROKEN = enum.auto()  # the call broke


_BROKEN_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


class HealthWatch:
    """Watches one replica over one channel.

    `on_change` is called with a health that is new, and with SERVING after each loss.
    """

    def __init__(
        self, channel: grpc.aio.Channel, *, on_change: Callable[[ReplicaHealth], None]
    ) -> None:
        self._channel = channel
        self._on_change = on_change
        self._health = ReplicaHealth.UNKNOWN
        self._backoff = Backoff(first=0.1, factor=2, most=5)
        self._broken_in_a_row = 0
        self._lost = False

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wait_connected()
            began = loop.time()
            end = await self._watch()
            if end is _WatchEnd.BROKEN:
                await self._on_broken(steady=loop.time() - began > _STEADY_SECONDS)
                continue
            self._report(ReplicaHealth.SERVING)
            try:
                async with asyncio.timeout(RETRY_INTERVAL):
                    await self._channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
            except TimeoutError:
                continue
            self._lost = True

    async def _wait_connected(self) -> None:
        ready, lost = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE
        while (state := self._channel.get_state(try_to_connect=True)) is not ready:
            if state is lost:
                self._report(ReplicaHealth.UNREACHABLE)
            await self._channel.wait_for_state_change(state)

    async def _on_broken(self, *, steady: bool) -> None:
        # One broken call is normal: servers end connections that are old. Several in a row on a
        # standing connection mean a replica that is unreachable, as behind a proxy.
        if steady:
            self._broken_in_a_row = 0
            self._backoff.reset()
        self._broken_in_a_row += 1
        self._lost = True
        if self._broken_in_a_row > 1:
            self._report(ReplicaHealth.UNREACHABLE)
        await asyncio.sleep(self._backoff.next())

    async def _watch(self) -> _WatchEnd:
        timer = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT, self._assume_serving)
        try:
            for service in (SERVICE, ""):
                end = await self._watch_service(service)
                if end is not _WatchEnd.UNKNOWN_SERVICE:
                    return end
            return _WatchEnd.UNSUPPORTED
        finally:
            timer.cancel()

    def _assume_serving(self) -> None:
        if self._health is not ReplicaHealth.NOT_SERVING:
            self._report(ReplicaHealth.SERVING)

    async def _watch_service(self, service: str) -> _WatchEnd:
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
                    return _WatchEnd.UNKNOWN_SERVICE
                serving = response.status == health_pb2.HealthCheckResponse.SERVING
                self._report(ReplicaHealth.SERVING if serving else ReplicaHealth.NOT_SERVING)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return _WatchEnd.UNKNOWN_SERVICE
            return _WatchEnd.BROKEN if error.code() in _BROKEN_CODES else _WatchEnd.UNSUPPORTED
        finally:
            call.cancel()
        return _WatchEnd.BROKEN

    def _report(self, health: ReplicaHealth) -> None:
        """Call `on_change` if the health is new, or SERVING for the first time after a loss."""
        back = self._lost and health is ReplicaHealth.SERVING
        if back or health is not self._health:
            self._health = health
            self._lost = self._lost and not back
            self._on_change(health)
