"""The tier over gRPC: `Backend` and `Sub` of the live floor, on grpc.aio.

A call that is dropped without cancel() never dies, so every path out of here cancels. A call's
messages are read by one task; timeouts are the reader's, on its side of `read`.
"""

import base64
import secrets
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from bridge.core.delta import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.intake import Beat
from bridge.core.query import LiveQuery
from bridge.live.backend import Identity
from livequery.v1 import livequery_pb2 as pb

from .endpoints import Endpoint, Endpoints, Lane
from .status import translate
from .translate import batch_from_pb, beat_from_pb, cursor_to_pb, effective, query_to_pb

MAX_BATCH_DELTAS = 1000
HEARTBEAT = Duration(seconds=15)
_SERVICE = pb.DESCRIPTOR.services_by_name["LiveQueryService"].full_name
_SUBSCRIBE = f"/{_SERVICE}/Subscribe"
_REANCHOR = f"/{_SERVICE}/Reanchor"


class GrpcBackend:
    """Opens subscriptions at the tier's endpoints."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    async def subscribe(self, query: LiveQuery, identity: Identity) -> "GrpcSub":
        """Open a subscription; see `Backend.subscribe`."""
        endpoint = self._endpoints.pick()
        lane = endpoint.lane()
        request = pb.SubscribeRequest(
            query=query_to_pb(query),
            request_id=secrets.token_hex(8),
            max_batch_deltas=MAX_BATCH_DELTAS,
            heartbeat_interval=HEARTBEAT,
        )
        method = lane.channel.unary_stream(
            _SUBSCRIBE,
            request_serializer=pb.SubscribeRequest.SerializeToString,
            response_deserializer=pb.SubscribeResponse.FromString,
        )
        sub = GrpcSub(method(request, metadata=identity.metadata), endpoint, lane, query, identity)
        try:
            await sub.start()
        except BaseException as error:
            if isinstance(error, Failed) and error.kind is Kind.UNAVAILABLE:
                self._endpoints.failed(endpoint)
            await sub.close()
            raise
        return sub


class GrpcSub:
    """One Subscribe call."""

    def __init__(
        self,
        call: grpc.aio.UnaryStreamCall[Any, pb.SubscribeResponse],
        endpoint: Endpoint,
        lane: Lane,
        query: LiveQuery,
        identity: Identity,
    ) -> None:
        self._call = call
        self._endpoint = endpoint
        self._lane: Lane | None = lane
        self._query = query
        self._identity = identity
        self._started = pb.Started()

    @property
    def id(self) -> str:
        """The tier's name for the subscription."""
        return self._started.subscription_id

    @property
    def effective(self) -> LiveQuery | None:
        """The query as the tier runs it."""
        if not self._started.HasField("effective_query"):
            return None
        return effective(self._query, self._started.effective_query)

    @property
    def heartbeat(self) -> float:
        """Seconds between the heartbeats that the tier promised."""
        interval = self._started.heartbeat_interval
        return max(interval.seconds + interval.nanos / 1e9, 0.0)

    async def start(self) -> None:
        """Wait for `started`. Raises Failed."""
        response = await self._next()
        if response is None:
            raise Failed(Kind.UNAVAILABLE, "the tier ended the stream before it began")
        if response.WhichOneof("message") != "started":
            raise Failed(Kind.BROKEN, "the tier did not begin with `started`")
        self._started = response.started

    async def read(self) -> Batch | Beat | None:
        """Wait for the next batch or heartbeat; None at the stream's end. Raises Failed."""
        while (response := await self._next()) is not None:
            kind = response.WhichOneof("message")
            if kind == "batch":
                return batch_from_pb(response.batch)
            if kind == "heartbeat":
                return beat_from_pb(response.heartbeat)
        return None

    async def _next(self) -> pb.SubscribeResponse | None:
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise translate(error) from None
        return response if isinstance(response, pb.SubscribeResponse) else None

    async def reanchor(self, query: LiveQuery, was: LiveQuery, request_id: str) -> LiveQuery | None:
        """Slide the window; see `Sub.reanchor`."""
        method = self._endpoint.control.unary_unary(
            _REANCHOR,
            request_serializer=pb.ReanchorRequest.SerializeToString,
            response_deserializer=pb.ReanchorResponse.FromString,
        )
        request = pb.ReanchorRequest(
            subscription_id=self.id,
            route=self._started.route,
            query=query_to_pb(was),
            cursor=cursor_to_pb(query.cursor),
            limit=query.limit if query.limit != was.limit else 0,
            request_id=request_id,
        )
        route = base64.urlsafe_b64encode(self._started.route).decode().rstrip("=")
        metadata = (*self._identity.metadata, *((("livequery-route", route),) if route else ()))
        call = method(request, metadata=metadata)
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            raise translate(error) from None
        finally:
            call.cancel()
        if not response.HasField("effective_query"):
            return None
        return effective(query, response.effective_query)

    async def close(self) -> None:
        """Cancel the call, which is the unsubscribe. Idempotent."""
        self._call.cancel()
        if self._lane is not None:
            self._endpoint.release(self._lane)
            self._lane = None
