"""Backend: opens subscriptions at the tier over gRPC; implements `Backend` of bridge/live.

Opening is rate-limited. The viewer of a first open sees nothing yet; a re-subscribe has a window to
show meanwhile. So each kind has a queue and a rate of its own: the larger rate for first opens, the
smaller one for re-subscribes. Neither can delay the other. A second attempt, at another replica,
takes another token of its kind.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from google.protobuf.duration_pb2 import Duration

from bridge.core.errors import Failed, Kind, StatusSource
from bridge.core.query import LiveQuery
from bridge.core.schema import Schema
from bridge.live.backend import Identity, ResumeOffer
from livequery.v1 import livequery_pb2 as pb

from .describe_call import describe
from .endpoint import Endpoint
from .endpoints import Endpoints
from .protobuf_conversion import offer_to_pb, query_to_pb
from .rate_limiter import RateLimiter
from .subscribe_call import SubscribeCall

MAX_BATCH_DELTAS: Final = 1000
MAX_ATTEMPTS: Final = 3
"""Replicas that one open tries before it fails."""
ANSWER_TIMEOUT: Final = 2.0
"""Seconds without `started` after which a replica is suspect. If another replica can be tried, the
attempt ends then. A caller that gave up earlier shows nothing about the replica."""
MAX_WAIT: Final = 4.0
"""Seconds an open waits in the queue at most; less than live/ allows for `started`."""
DESCRIBE_TIMEOUT: Final = 5.0
"""Seconds that a Describe may take, at all replicas that are asked."""
_OF_ONE_CALL: Final = (StatusSource.RESPONSE, StatusSource.STREAM)
"""Failures that show nothing about the replica: a page or a reset may be for one query alone."""
_HEARTBEAT: Final = Duration(seconds=15)


class GrpcBackend:
    """Opens subscriptions at the tier's endpoints.

    Args:
        endpoints: the replicas; not closed with this.
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
        self._open_limiter = RateLimiter(
            rate=open_rate, burst=2 * open_rate, max_wait=MAX_WAIT, clock=clock
        )
        self._resubscribe_limiter = RateLimiter(
            rate=resubscribe_rate, burst=resubscribe_rate, max_wait=MAX_WAIT, clock=clock
        )

    @property
    def waiting(self) -> int:
        """Number of opens that wait for a token."""
        return self._open_limiter.waiting + self._resubscribe_limiter.waiting

    async def pause(self, seconds: float) -> None:
        """Sleep between two attempts of one subscription; shorter if a lost tier is back."""
        await self._endpoints.wait_before_retry(seconds)

    async def subscribe(
        self,
        query: LiveQuery,
        identity: Identity,
        *,
        again: bool = False,
        resume: ResumeOffer | None = None,
    ) -> SubscribeCall:
        """Open a subscription; see `Backend.subscribe`. `again`: the caller had one before.

        If a replica can't be reached, another one is tried at once; if it does not answer, after
        ANSWER_TIMEOUT.
        """
        limiter = self._resubscribe_limiter if again else self._open_limiter
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
            except Failed as none_left:
                raise failure or none_left from None
            alternative = self._endpoints.has_alternative(endpoint, tried)
            answer_timeout = ANSWER_TIMEOUT if alternative else None
            try:
                return await self._open(endpoint, request, query, identity, answer_timeout)
            except Failed as failed:
                tried.append(endpoint)
                if failed.kind is not Kind.UNAVAILABLE or len(tried) == MAX_ATTEMPTS:
                    raise
                failure = failed

    async def describe(self, identity: Identity) -> Schema:
        """Ask what this caller may ask for; see `Backend.describe`.

        If a replica can't be reached, another one is tried.
        """
        tried: list[Endpoint] = []
        try:
            async with asyncio.timeout(DESCRIBE_TIMEOUT):
                await self._open_limiter.acquire()
                while True:
                    endpoint = await self._endpoints.pick(tried)
                    try:
                        return await describe(endpoint, identity)
                    except Failed as failed:
                        tried.append(endpoint)
                        alternative = self._endpoints.has_alternative(endpoint, tried)
                        if failed.kind is not Kind.UNAVAILABLE or not alternative:
                            raise
        except TimeoutError:
            raise Failed(Kind.DEADLINE, "the tier did not answer in time") from None

    async def _open(
        self,
        endpoint: Endpoint,
        request: pb.SubscribeRequest,
        query: LiveQuery,
        identity: Identity,
        answer_timeout: float | None,
    ) -> SubscribeCall:
        request.request_id = secrets.token_hex(8)
        ticket = endpoint.breaker.begin()
        began = self._clock()
        call = SubscribeCall(endpoint=endpoint, query=query, identity=identity, clock=self._clock)
        try:
            async with asyncio.timeout(answer_timeout):
                await call.start(request)
        except TimeoutError:
            await call.close()
            # Not a failure for the circuit: it would cut off a tier that is slow everywhere.
            endpoint.breaker.record_abandoned(ticket)
            endpoint.suspect(call.pooled)
            raise Failed(Kind.UNAVAILABLE, "the tier did not answer in time") from None
        except BaseException as error:
            await call.close()
            self._record_error(endpoint, ticket, call, error, self._clock() - began)
            raise
        endpoint.breaker.record_success()
        endpoint.report_state()
        return call

    def _record_error(
        self,
        endpoint: Endpoint,
        ticket: int,
        call: SubscribeCall,
        error: BaseException,
        seconds: float,
    ) -> None:
        """Record in the replica's circuit that a call did not start, after so many seconds."""
        lost = (
            isinstance(error, Failed)
            and error.kind in (Kind.UNAVAILABLE, Kind.DEADLINE)
            and error.source not in _OF_ONE_CALL
        )
        silent = not isinstance(error, Failed) and seconds >= ANSWER_TIMEOUT
        if call.answered:
            endpoint.breaker.record_success()
        elif lost or silent:
            endpoint.breaker.record_failure(ticket)
            if silent:
                endpoint.suspect(call.pooled)
            self._endpoints.resolve_soon()
        else:
            endpoint.breaker.record_abandoned(ticket)
        endpoint.report_state()
