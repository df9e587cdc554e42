"""CallOpener: a call at one of the replicas, whatever its protocol; rate-limited, tried again.

The viewer of a first open sees nothing yet; a re-subscribe has a window to show meanwhile. So each
kind has a queue and a rate of its own: the larger rate for first opens, the smaller one for
re-subscribes. Neither can delay the other. A second attempt, at another replica, takes another
token of its kind.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from bridge.core.errors import Failed, Kind, StatusSource
from bridge.live.backend import ACCEPTED

from .endpoint import Endpoint
from .endpoints import Endpoints
from .pooled_call import PooledCall
from .rate_limiter import RateLimiter

MAX_ATTEMPTS: Final = 3
"""Replicas that one open tries before it fails."""
ANSWER_TIMEOUT: Final = 2.0
"""Seconds for the first word of a replica, where that needs no work of its database."""
MAX_WAIT: Final = 4.0
"""Seconds an open waits in the queue at most; less than live/ allows for `started`."""
_OF_ONE_CALL: Final = (StatusSource.RESPONSE, StatusSource.STREAM)
"""Failures that show nothing about the replica: a page or a reset may be for one query alone."""


class OpeningCall(Protocol):
    """A call that is made, and can be started once."""

    pooled_call: PooledCall

    async def start(self) -> None:
        """Send the request and wait until the tier has started the call. Raises Failed."""

    def close(self) -> None:
        """End it. Idempotent."""


C = TypeVar("C", bound=OpeningCall)


class CallOpener:
    """Opens calls at the tier's endpoints.

    Args:
        endpoints: the replicas; not closed with this.
        open_rate: first opens per second, twice as many at once; 0 is no limit.
        resubscribe_rate: later opens per second, as many at once; 0 is no limit.
        answer_timeout: seconds without an answer after which a replica is suspect; ANSWER_TIMEOUT
            if None. If another replica can be tried, the attempt ends then. A caller that gave up
            earlier shows nothing about the replica.
        clock: seconds, as loop.time.

    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        open_rate: float = 500.0,
        resubscribe_rate: float = 50.0,
        answer_timeout: float | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._answer_timeout = ANSWER_TIMEOUT if answer_timeout is None else answer_timeout
        self.clock = clock or asyncio.get_running_loop().time
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

    async def open(self, make_call: Callable[[Endpoint], C], *, again: bool) -> C:
        """Start a call at a replica. `again`: the caller had one before. Raises Failed.

        If a replica can't be reached, another one is tried at once; if it does not answer, after
        `answer_timeout`.
        """
        limiter = self._resubscribe_limiter if again else self._open_limiter
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
            answer_timeout = self._answer_timeout if alternative else None
            try:
                return await self._start(endpoint, make_call(endpoint), answer_timeout)
            except Failed as failed:
                tried.append(endpoint)
                if failed.kind is not Kind.UNAVAILABLE or len(tried) == MAX_ATTEMPTS:
                    raise
                failure = failed

    async def _start(self, endpoint: Endpoint, call: C, answer_timeout: float | None) -> C:
        ticket = endpoint.breaker.begin()
        began = self.clock()
        try:
            async with asyncio.timeout(answer_timeout):
                await call.start()
        except TimeoutError:
            call.close()
            # Not a failure for the circuit: it would cut off a tier that is slow everywhere.
            endpoint.breaker.record_abandoned(ticket)
            endpoint.suspect(call.pooled_call.pooled)
            raise Failed(Kind.UNAVAILABLE, "the tier did not answer in time") from None
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and call.pooled_call.pooled is not None:
                error.add_note(ACCEPTED)
            if isinstance(error, Failed):
                error.replica = endpoint.replica.address
            call.close()
            self._record_error(endpoint, ticket, call, error, self.clock() - began)
            raise
        endpoint.breaker.record_success()
        endpoint.report_state()
        return call

    def _record_error(
        self,
        endpoint: Endpoint,
        ticket: int,
        call: OpeningCall,
        error: BaseException,
        seconds: float,
    ) -> None:
        """Record in the replica's circuit that a call did not start, after so many seconds."""
        lost = (
            isinstance(error, Failed)
            and error.kind in (Kind.UNAVAILABLE, Kind.DEADLINE)
            and error.source not in _OF_ONE_CALL
        )
        # Before it is sent, a call may wait for a server that allows no stream yet.
        sent = call.pooled_call.pooled is not None
        silent = sent and not isinstance(error, Failed) and seconds >= self._answer_timeout
        if call.pooled_call.answered:
            endpoint.breaker.record_success()
        elif lost or silent:
            endpoint.breaker.record_failure(ticket)
            if silent:
                endpoint.suspect(call.pooled_call.pooled)
            self._endpoints.resolve_soon()
        else:
            endpoint.breaker.record_abandoned(ticket)
        endpoint.report_state()
