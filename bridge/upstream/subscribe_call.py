"""GrpcSub: one Subscribe call.

Every path out of here cancels the call. Its messages are handed on as they come, without a task
between; timeouts are the follower's. A call that is closed with heartbeats missing speaks against
its replica: having the fewest streams by then, it would be sent the next one. grpc reports a call
that was cut on our side (its channel closed) as CancelledError, as if the task had been cancelled:
only a task that really is may see that.
"""

import asyncio
import base64
import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.sequencer import Heartbeat
from bridge.live.backend import Identity
from bridge.upstream.http2.call import Call, CallEnded
from bridge.upstream.http2.status import CallStatus
from bridge.upstream.http2.stream_buffer import MAX_MESSAGE
from livequery.v1 import livequery_pb2 as pb

from .endpoint import Endpoint, PooledConnection
from .health import SERVICE
from .protobuf_conversion import cursor_to_pb, effective_query, query_to_pb
from .response_parser import parse_response
from .status_translation import failure_of_status, is_from_tier, status_of_rpc_error

_SUBSCRIBE: Final = f"/{SERVICE}/Subscribe"
_REANCHOR: Final = f"/{SERVICE}/Reanchor"
REANCHOR_TRIES: Final = 3
REANCHOR_TIMEOUT: Final = 3.0
MISSED_HEARTBEATS: Final = 2
"""Promised heartbeats that a call lacks when it is closed, for its replica to be doubted."""


class SubscribeCall:
    """One Subscribe call, on a lane of an endpoint's; `close` gives its place back.

    `clock`: seconds, as loop.time.
    """

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        query: LiveQuery,
        identity: Identity,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._call: Call | None = None
        self.lane: PooledConnection | None = None
        """The connection it was sent on; kept after `close`."""
        self._closed = False
        self._query = query
        self._identity = identity
        self._started = pb.Started()
        self._heard = self._clock()
        self.answered = False
        """Whether the tier itself has said anything, if only a refusal."""

    @property
    def id(self) -> str:
        """The tier's name for the subscription."""
        return self._started.subscription_id

    @property
    def route(self) -> bytes:
        """What the tier finds it by."""
        return self._started.route

    @property
    def resumed(self) -> bool:
        """Whether the tier says that it goes on where a lost one was left."""
        return self._started.resumed

    @property
    def effective(self) -> LiveQuery | None:
        """The query as the tier runs it."""
        if not self._started.HasField("effective_query"):
            return None
        return effective_query(self._query, self._started.effective_query)

    @property
    def heartbeat(self) -> float:
        """Seconds between the heartbeats that the tier promised; 0 where it promised none."""
        promised = self._started.heartbeat_interval
        return max(promised.seconds + promised.nanos / 1e9, 0.0)

    @property
    def leaving(self) -> bool:
        """Whether the tier has said that the connection will go."""
        return self.lane is not None and self.lane.connection.leaving

    @property
    def _silent(self) -> bool:
        """Whether the tier has not kept what it promised."""
        return 0 < MISSED_HEARTBEATS * self.heartbeat <= self._clock() - self._heard

    async def start(self, request: pb.SubscribeRequest) -> None:
        """Send the request and wait for `started`. Raises Failed."""
        message = request.SerializeToString()
        if len(message) > MAX_MESSAGE:
            raise self._failed(CallStatus("RESOURCE_EXHAUSTED", "Sent message larger than max"))
        try:
            self.lane = await self._endpoint.lane()
            self._call = self.lane.connection.call(_SUBSCRIBE, message, self._identity.metadata)
        except CallEnded as ended:
            raise self._failed(ended.status) from None
        started = await self._first()
        if not isinstance(started, pb.Started):
            raise Failed(Kind.BROKEN, "the tier did not begin with `started`")
        self._started = started

    async def follow(self, take: Callable[[Batch | Heartbeat], None]) -> None:
        """Hand each batch and heartbeat to `take` until the stream's end. Raises Failed."""
        if self._call is None:
            raise Failed(Kind.UNAVAILABLE, "the call was cut")

        def hand_over(message: bytes) -> None:
            self._heard = self._clock()
            news = parse_response(message)
            if isinstance(news, (Batch, Heartbeat)):
                take(news)

        with self._failures():
            await self._call.follow(hand_over)

    async def _first(self) -> Batch | Heartbeat | pb.Started | None:
        if self._call is None:
            raise Failed(Kind.UNAVAILABLE, "the call was cut")
        with self._failures():
            message = await self._call.read()
            if message is None:
                raise Failed(Kind.UNAVAILABLE, "the tier ended the stream before it began")
            self.answered = True
            self._heard = self._clock()
            return parse_response(message)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except CallEnded as ended:
            raise self._failed(ended.status) from None
        except DecodeError:
            raise self._failed(CallStatus("INTERNAL", "a message that is none")) from None

    def _failed(self, status: CallStatus) -> Failed:
        self.answered = self.answered or is_from_tier(status)
        return failure_of_status(status)

    async def reanchor(self, query: LiveQuery, was: LiveQuery, request_id: str) -> LiveQuery | None:
        """Slide the window; see `Sub.reanchor`.

        Asked again, under the same request id, only when the tier could not be reached.
        """
        request = pb.ReanchorRequest(
            subscription_id=self.id,
            route=self._started.route,
            query=query_to_pb(was),
            cursor=cursor_to_pb(query.cursor),
            limit=query.limit if query.limit != was.limit else 0,
            request_id=request_id,
        )
        clock = asyncio.get_running_loop().time
        deadline = clock() + REANCHOR_TIMEOUT
        tries = REANCHOR_TRIES
        while True:
            tries -= 1
            try:
                response = await self._reanchor(request, deadline - clock())
            except grpc.aio.AioRpcError as error:
                if not tries or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise failure_of_status(status_of_rpc_error(error)) from None
            else:
                if not response.HasField("effective_query"):
                    return None
                return effective_query(query, response.effective_query)
            await asyncio.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - a spread

    async def _reanchor(self, request: pb.ReanchorRequest, timeout: float) -> pb.ReanchorResponse:  # noqa: ASYNC109 - gRPC's deadline, which the tier is told
        method = self._endpoint.control.unary_unary(
            _REANCHOR,
            request_serializer=pb.ReanchorRequest.SerializeToString,
            response_deserializer=pb.ReanchorResponse.FromString,
        )
        route = base64.urlsafe_b64encode(request.route).decode().rstrip("=")
        metadata = (*self._identity.metadata, *((("livequery-route", route),) if route else ()))
        call = method(request, metadata=metadata, timeout=max(timeout, 0.001))
        try:
            return await call
        except asyncio.CancelledError:
            raise_if_cancelled()
            raise Failed(Kind.UNAVAILABLE, "the call was cut") from None
        finally:
            call.cancel()

    async def close(self) -> None:
        """Cancel the call, which is the unsubscribe. Idempotent."""
        if self._call is not None:
            self._call.cancel()
        if self.lane is not None and not self._closed:
            if self._silent:
                self._endpoint.doubt(self.lane)
            self._endpoint.release(self.lane)
        self._closed = True


def raise_if_cancelled() -> None:
    """Raise CancelledError in a task that was told to end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
