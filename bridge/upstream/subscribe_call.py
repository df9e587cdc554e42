"""Subscribe call: one Subscribe stream, and the Reanchor calls for it.

Invariants:
- If a call is closed while heartbeats are missing, its replica is suspect: it has the fewest
  streams by then, and would get the next one.
"""

import asyncio
import base64
import random
from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.sequencer import Heartbeat
from bridge.live.backend import Identity
from bridge.upstream.http2.call import CallEnded
from bridge.upstream.http2.status import CallStatus
from livequery.v1 import livequery_pb2 as pb

from .endpoint import Endpoint
from .health import SERVICE
from .pooled_call import PooledCall
from .protobuf_conversion import cursor_to_pb, effective_query, query_to_pb
from .response_parser import parse_response
from .status_translation import failure_of_status
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

    `message` is the serialized SubscribeRequest. `clock`: seconds, as loop.time.
    """

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        query: LiveQuery,
        identity: Identity,
        message: bytes,
        clock: Callable[[], float],
    ) -> None:
        self.pooled_call = PooledCall(endpoint)
        self._clock = clock
        self._message = message
        self._query = query
        self._identity = identity
        self._started = pb.Started()
        self._last_received = self._clock()

    @property
    def replica(self) -> str:
        """The replica's address, for the log."""
        return self.pooled_call.endpoint.replica.address

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
        return self.pooled_call.leaving

    @property
    def _heartbeats_missing(self) -> bool:
        silence = self._clock() - self._last_received
        return 0 < MISSED_HEARTBEATS * self.heartbeat <= silence

    async def start(self) -> None:
        """Send the request and wait for `started`. Raises Failed."""
        await self.pooled_call.start(_SUBSCRIBE, self._message, self._identity.metadata)
        message = await self.pooled_call.read_first()
        self._last_received = self._clock()
        try:
            started = parse_response(message)
        except DecodeError:
            started = None
        if not isinstance(started, pb.Started):
            raise Failed(
                Kind.BROKEN,
                "the tier did not begin with `started`",
                cause=f"expected `started` first, got {_kind_of(message)}",
            )
        self._started = started

    async def follow(self, take: Callable[[Batch | Heartbeat], None]) -> None:
        """Call `take` with each batch and heartbeat until the stream ends. Raises Failed."""

        def on_message(message: bytes) -> None:
            self._last_received = self._clock()
            response = parse_response(message)
            if isinstance(response, (Batch, Heartbeat)):
                take(response)

        await self.pooled_call.follow(on_message)

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
                    raise failure_of_status(ended.status, self._identity.metadata) from None
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
            self.pooled_call.endpoint.control,
            _REANCHOR,
            request.SerializeToString(),
            metadata,
            max(timeout, 0.001),
        )
        return pb.ReanchorResponse.FromString(answer)

    def close(self) -> None:
        """Cancel the call, which ends the subscription. Idempotent."""
        self.pooled_call.close(suspect=self._heartbeats_missing)


def _kind_of(message: bytes) -> str:
    """Return which member of SubscribeResponse a message has, for the log."""
    try:
        return (
            pb.SubscribeResponse.FromString(message).WhichOneof("message") or "an unknown message"
        )
    except DecodeError:
        return "bytes that are no message"
