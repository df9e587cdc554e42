"""Subscribe call: one Subscribe stream, and the Reanchor calls for it.

Invariants:
- Every way out of here cancels the call.
- Messages are passed on as they arrive, without a task in between. Timeouts are the caller's.
- If a call is closed while heartbeats are missing, its replica is suspect: it has the fewest
  streams by then, and would get the next one.
"""

import asyncio
import base64
import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Final

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

from .connection_pool import PooledConnection
from .endpoint import Endpoint
from .health import SERVICE
from .protobuf_conversion import cursor_to_pb, effective_query, query_to_pb
from .response_parser import parse_response
from .status_translation import failure_of_status, is_from_tier
from .unary_call import call_unary

_SUBSCRIBE: Final = f"/{SERVICE}/Subscribe"
_REANCHOR: Final = f"/{SERVICE}/Reanchor"
REANCHOR_ATTEMPTS: Final = 3
REANCHOR_TIMEOUT: Final = 3.0
MISSED_HEARTBEATS: Final = 2
"""Heartbeats missing at the close of a call that make its replica suspect."""

_UNREADABLE: Final = CallStatus("INTERNAL", "a message that is none")


class SubscribeCall:
    """A Subscribe call on a connection of an endpoint; `close` gives its place back.

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
        self.pooled: PooledConnection | None = None
        """The connection that it was sent on; kept after `close`."""
        self._closed = False
        self._query = query
        self._identity = identity
        self._started = pb.Started()
        self._last_received = self._clock()
        self.answered = False
        """Whether the tier itself has sent anything, even if only an error."""

    @property
    def id(self) -> str:
        """The tier's name for the subscription."""
        return self._started.subscription_id

    @property
    def route(self) -> bytes:
        """The tier's routing information for Reanchor; empty if there is none."""
        return self._started.route

    @property
    def resumed(self) -> bool:
        """Whether the tier goes on from the offered position."""
        return self._started.resumed

    @property
    def effective(self) -> LiveQuery | None:
        """The query as the tier runs it; None if it did not say."""
        if not self._started.HasField("effective_query"):
            return None
        return effective_query(self._query, self._started.effective_query)

    @property
    def heartbeat(self) -> float:
        """Seconds between the heartbeats that the tier promised; 0 if it promised none."""
        promised = self._started.heartbeat_interval
        return max(promised.seconds + promised.nanos / 1e9, 0.0)

    @property
    def leaving(self) -> bool:
        """Whether the tier has announced the end of the connection."""
        return self.pooled is not None and self.pooled.connection.going_away

    @property
    def _heartbeats_missing(self) -> bool:
        silence = self._clock() - self._last_received
        return 0 < MISSED_HEARTBEATS * self.heartbeat <= silence

    async def start(self, request: pb.SubscribeRequest) -> None:
        """Send the request and wait for `started`. Raises Failed."""
        message = request.SerializeToString()
        if len(message) > MAX_MESSAGE:
            raise self._failed(CallStatus("RESOURCE_EXHAUSTED", "Sent message larger than max"))
        try:
            self.pooled = await self._endpoint.pool.acquire()
            self._call = self.pooled.connection.start_call(
                _SUBSCRIBE, message, self._identity.metadata
            )
        except CallEnded as ended:
            raise self._failed(ended.status) from None
        started = await self._read_first()
        if not isinstance(started, pb.Started):
            raise Failed(Kind.BROKEN, "the tier did not begin with `started`")
        self._started = started

    async def follow(self, take: Callable[[Batch | Heartbeat], None]) -> None:
        """Call `take` with each batch and heartbeat until the stream ends. Raises Failed."""
        if self._call is None:
            raise Failed(Kind.UNAVAILABLE, "the call was cut")

        def on_message(message: bytes) -> None:
            self._last_received = self._clock()
            response = parse_response(message)
            if isinstance(response, (Batch, Heartbeat)):
                take(response)

        with self._translated_errors():
            await self._call.follow(on_message)

    async def _read_first(self) -> Batch | Heartbeat | pb.Started | None:
        if self._call is None:
            raise Failed(Kind.UNAVAILABLE, "the call was cut")
        with self._translated_errors():
            message = await self._call.read()
            if message is None:
                raise Failed(Kind.UNAVAILABLE, "the tier ended the stream before it began")
            self.answered = True
            self._last_received = self._clock()
            return parse_response(message)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except CallEnded as ended:
            raise self._failed(ended.status) from None
        except DecodeError:
            raise self._failed(_UNREADABLE) from None

    def _failed(self, status: CallStatus) -> Failed:
        self.answered = self.answered or is_from_tier(status)
        return failure_of_status(status)

    async def reanchor(self, query: LiveQuery, was: LiveQuery, request_id: str) -> LiveQuery | None:
        """Slide the window; see `UpstreamCall.reanchor`.

        Retried, under the same request id, only if the tier could not be reached.
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
        attempts_left = REANCHOR_ATTEMPTS
        while True:
            attempts_left -= 1
            try:
                response = await self._reanchor(request, deadline - clock())
            except CallEnded as ended:
                if not attempts_left or ended.status.code != "UNAVAILABLE":
                    raise failure_of_status(ended.status) from None
            except DecodeError:
                raise failure_of_status(_UNREADABLE) from None
            else:
                if not response.HasField("effective_query"):
                    return None
                return effective_query(query, response.effective_query)
            await asyncio.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - a spread

    async def _reanchor(self, request: pb.ReanchorRequest, timeout: float) -> pb.ReanchorResponse:  # noqa: ASYNC109 - gRPC's deadline, which the tier gets as well
        route = base64.urlsafe_b64encode(request.route).decode().rstrip("=")
        metadata = (*self._identity.metadata, *((("livequery-route", route),) if route else ()))
        answer = await call_unary(
            self._endpoint.control,
            _REANCHOR,
            request.SerializeToString(),
            metadata,
            max(timeout, 0.001),
        )
        return pb.ReanchorResponse.FromString(answer)

    async def close(self) -> None:
        """Cancel the call, which ends the subscription. Idempotent."""
        if self._call is not None:
            self._call.cancel()
        if self.pooled is not None and not self._closed:
            if self._heartbeats_missing:
                self._endpoint.suspect(self.pooled)
            self._endpoint.pool.release(self.pooled)
        self._closed = True
