"""The tier over gRPC: `Backend` of the live floor, on HTTP/2 and grpc.aio.

Opening is paced. A first open has someone waiting who sees nothing yet; a re-subscribe has a
window to show meanwhile. So each kind has its own rate and its own line: first opens the larger
one, re-subscribes the smaller one. Neither can starve the other. A second try, at another replica,
takes another turn in its own line.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from google.protobuf.duration_pb2 import Duration

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.live.backend import Identity, ResumeOffer
from livequery.v1 import livequery_pb2 as pb

from .endpoint import Endpoint
from .endpoints import Endpoints
from .protobuf_conversion import offer_to_pb, query_to_pb
from .rate_limiter import RateLimiter
from .subscribe_call import SubscribeCall

MAX_BATCH_DELTAS: Final = 1000
TRIES: Final = 3
"""Replicas tried for one open before the caller is told."""
NO_ANSWER: Final = 2.0
"""Seconds without `started` that speak against a replica: who gave up by then has waited for
nothing, and where another is worth asking nobody waits longer."""
MAX_WAIT: Final = 4.0
"""Seconds an open waits in the queue at most; less than live/ allows for `started`."""
_HEARTBEAT: Final = Duration(seconds=15)


class GrpcBackend:
    """Opens subscriptions at the tier's endpoints.

    Args:
        endpoints: where; not closed with this.
        open_rate: first opens per second, twice as many at once; 0 is no limit.
        resubscribe_rate: later opens per second, as many at once; 0 is no limit.
        clock: seconds, as loop.time.

    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        open_rate: float = 500.0,
        resubscribe_rate: float = 50.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._clock = clock or asyncio.get_running_loop().time
        self._first = RateLimiter(
            rate=open_rate, burst=2 * open_rate, max_wait=MAX_WAIT, clock=clock
        )
        self._again = RateLimiter(
            rate=resubscribe_rate, burst=resubscribe_rate, max_wait=MAX_WAIT, clock=clock
        )

    @property
    def waiting(self) -> int:
        """How many opens wait for their turn."""
        return self._first.waiting + self._again.waiting

    async def pause(self, seconds: float) -> None:
        """Sleep between two tries of one subscription; cut short when a lost tier is back."""
        await self._endpoints.pause(seconds)

    async def subscribe(
        self,
        query: LiveQuery,
        identity: Identity,
        *,
        again: bool = False,
        resume: ResumeOffer | None = None,
    ) -> SubscribeCall:
        """Open a subscription; see `Backend.subscribe`. `again`: the caller had one before.

        A replica that can't be reached is passed over for another at once, if there is one, and one
        that does not answer after NO_ANSWER.
        """
        limiter = self._again if again else self._first
        request = pb.SubscribeRequest(
            query=query_to_pb(query),
            resume=offer_to_pb(resume),
            max_batch_deltas=MAX_BATCH_DELTAS,
            heartbeat_interval=_HEARTBEAT,
        )
        tried: list[Endpoint] = []
        failure: Failed | None = None
        while True:
            try:
                await self._endpoints.pick(tried)
                await limiter.acquire()
                endpoint = await self._endpoints.pick(tried)
            except Failed as nowhere:
                raise failure or nowhere from None
            patience = NO_ANSWER if self._endpoints.spare(endpoint, tried) else None
            try:
                return await self._open(endpoint, request, query, identity, patience)
            except Failed as failed:
                tried.append(endpoint)
                if failed.kind is not Kind.UNAVAILABLE or len(tried) == TRIES:
                    raise
                failure = failed

    async def _open(
        self,
        endpoint: Endpoint,
        request: pb.SubscribeRequest,
        query: LiveQuery,
        identity: Identity,
        patience: float | None,
    ) -> SubscribeCall:
        request.request_id = secrets.token_hex(8)
        ticket = endpoint.breaker.enter()
        began = self._clock()
        sub = SubscribeCall(endpoint=endpoint, query=query, identity=identity, clock=self._clock)
        try:
            async with asyncio.timeout(patience):
                await sub.start(request)
        except TimeoutError:
            await sub.close()
            # No failure for the circuit: a tier that is slow everywhere would be cut off.
            endpoint.breaker.abandoned(ticket)
            endpoint.doubt(sub.lane)
            raise Failed(Kind.UNAVAILABLE, "the tier did not answer in time") from None
        except BaseException as error:
            await sub.close()
            self._judge(endpoint, ticket, sub, error, self._clock() - began)
            raise
        endpoint.breaker.succeeded()
        endpoint.changed()
        return sub

    def _judge(
        self, endpoint: Endpoint, ticket: int, sub: SubscribeCall, error: BaseException, took: float
    ) -> None:
        """Tell the replica's circuit what became of a call that did not start."""
        lost = isinstance(error, Failed) and error.kind in (Kind.UNAVAILABLE, Kind.DEADLINE)
        silent = not isinstance(error, Failed) and took >= NO_ANSWER
        if sub.answered:
            endpoint.breaker.succeeded()
        elif lost or silent:
            endpoint.breaker.failed(ticket)
            if silent:
                endpoint.doubt(sub.lane)
            self._endpoints.missed()
        else:
            endpoint.breaker.abandoned(ticket)
        endpoint.changed()
