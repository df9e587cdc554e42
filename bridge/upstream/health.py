"""Health: whether a replica is connected and serving (grpc.health.v1 Watch).

The watch goes the way of the streams: the same resolver, TLS context, authority and HTTP/2 client.
It asks for the live-query service, then for the server as a whole. A replica without a health
service counts as serving. So does one whose health can't be read, with one WARNING line. The watch
also keeps the control connection open, so that a lost replica is noticed without a client's call.
"""

import asyncio
import enum
from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from bridge.core.errors import StatusSource
from bridge.live.backoff import Backoff
from bridge.upstream.http2.call import CallEnded
from bridge.upstream.http2.connection import Http2Connection
from bridge.upstream.http2.status import CallStatus
from livequery.v1 import livequery_pb2 as pb

from .connection_pool import ConnectionPool, PooledConnection

SERVICE: Final[str] = pb.DESCRIPTOR.services_by_name["LiveQueryService"].full_name
_WATCH: Final = "/grpc.health.v1.Health/Watch"
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


_BROKEN_CODES: Final = (
    "UNAVAILABLE", "CANCELLED", "ABORTED", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED",
)  # fmt: skip


class HealthWatch:
    """Watches one replica over a connection of a pool.

    `on_change` is called with a health that is new and its cause, empty unless UNREACHABLE; and
    with SERVING after each loss. `warn` logs a line about the replica, once per text.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        *,
        on_change: Callable[[ReplicaHealth, str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._on_change = on_change
        self._warn = warn
        self._health = ReplicaHealth.UNKNOWN
        self._backoff = Backoff(first=0.1, factor=2, most=5)
        self._reconnect_backoff = Backoff(first=0.1, factor=1.6, most=2)
        self._broken_in_a_row = 0
        self._lost_in_a_row = 0
        self._lost = False

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            pooled = await self._connect()
            broken: CallStatus | None = None
            began = loop.time()
            try:
                broken = await self._watch_connection(pooled.connection)
            finally:
                self._pool.release(pooled)
            steady = loop.time() - began > _STEADY_SECONDS
            if steady:
                self._broken_in_a_row = 0
                self._backoff.reset()
            if broken is not None:
                self._on_broken(broken)
            self._lost_in_a_row = (
                0 if pooled.connection.usable or steady else 1 + self._lost_in_a_row
            )
            # A lost connection is made again at once, so that a loss is soon known as one. One that
            # is lost again and again is not.
            if self._lost_in_a_row > 1 or (broken is not None and pooled.connection.usable):
                await asyncio.sleep(self._backoff.next())

    async def _connect(self) -> PooledConnection:
        while True:
            try:
                pooled = await self._pool.acquire()
            except CallEnded as ended:
                self._lost = self._lost or self._health is not ReplicaHealth.UNKNOWN
                self._report(ReplicaHealth.UNREACHABLE, ended.status.text)
                await asyncio.sleep(self._reconnect_backoff.next())
            else:
                self._reconnect_backoff.reset()
                return pooled

    async def _watch_connection(self, connection: Http2Connection) -> CallStatus | None:
        """Watch until the connection can't be used any more, or until another look is due.

        Returns the status of a call that broke, None for any other end.
        """
        end, status = await self._watch(connection)
        if end is _WatchEnd.BROKEN:
            return status
        self._report(ReplicaHealth.SERVING)
        try:
            async with asyncio.timeout(RETRY_INTERVAL):
                await connection.wait_ended()
        except TimeoutError:
            return None
        self._lost = True
        return None

    def _on_broken(self, status: CallStatus) -> None:
        # One broken call is normal: servers end connections that are old. Several in a row on a
        # standing connection mean a replica that is unreachable, as behind a proxy.
        self._broken_in_a_row += 1
        self._lost = True
        if self._broken_in_a_row > 1:
            derived = status.source.derived
            cause = status.text if derived else f"its health service answers {status.code}"
            self._report(ReplicaHealth.UNREACHABLE, cause)

    async def _watch(self, connection: Http2Connection) -> tuple[_WatchEnd, CallStatus]:
        timer = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT, self._assume_serving)
        try:
            for service in (SERVICE, ""):
                end, status = await self._watch_service(connection, service)
                if end is not _WatchEnd.UNKNOWN_SERVICE:
                    return end, status
            return _WatchEnd.UNSUPPORTED, status
        finally:
            timer.cancel()

    def _assume_serving(self) -> None:
        if self._health is not ReplicaHealth.NOT_SERVING:
            if self._health is not ReplicaHealth.SERVING:
                self._warn("its health service does not answer: it counts as serving")
            self._report(ReplicaHealth.SERVING)

    async def _watch_service(
        self, connection: Http2Connection, service: str
    ) -> tuple[_WatchEnd, CallStatus]:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            call = connection.start_call(_WATCH, request.SerializeToString(), ())
        except CallEnded as ended:
            return _WatchEnd.BROKEN, ended.status
        try:
            while (message := await call.read()) is not None:
                response = health_pb2.HealthCheckResponse.FromString(message)
                if response.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
                    return _WatchEnd.UNKNOWN_SERVICE, CallStatus("NOT_FOUND")
                serving = response.status == health_pb2.HealthCheckResponse.SERVING
                self._report(ReplicaHealth.SERVING if serving else ReplicaHealth.NOT_SERVING)
        except DecodeError:
            return _WatchEnd.BROKEN, CallStatus("INTERNAL", "a message that is none")
        except CallEnded as ended:
            return self._end_of(ended.status), ended.status
        finally:
            call.cancel()
        return _WatchEnd.BROKEN, CallStatus("UNKNOWN", "the watch ended")

    def _end_of(self, status: CallStatus) -> _WatchEnd:
        if status.code in _BROKEN_CODES:
            return _WatchEnd.BROKEN
        if status.source is StatusSource.TIER and status.code == "NOT_FOUND":
            return _WatchEnd.UNKNOWN_SERVICE
        if status.source.derived or status.code != "UNIMPLEMENTED":
            what = status.text if status.source.derived else status.code
            self._warn(f"its health can't be read ({what}): it counts as serving")
        return _WatchEnd.UNSUPPORTED

    def _report(self, health: ReplicaHealth, cause: str = "") -> None:
        """Call `on_change` if the health is new, or SERVING for the first time after a loss."""
        back = self._lost and health is ReplicaHealth.SERVING
        if back or health is not self._health:
            self._health = health
            self._lost = self._lost and not back
            self._on_change(health, cause)
