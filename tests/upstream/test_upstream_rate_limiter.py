"""Rate limiter: how many calls, in what order, and what a cancelled caller leaves."""

import asyncio

import pytest
from upstream_tier import FakeTime

from bridge.core.errors import Failed, Kind
from bridge.upstream.rate_limiter import RateLimiter


@pytest.fixture
def time():
    return FakeTime()


@pytest.fixture
async def make(time):
    def make(rate=50, burst=1, max_wait=10):
        return RateLimiter(
            rate=rate, burst=burst, max_wait=max_wait, clock=time, call_later=time.later
        )

    return make


class Queue:
    """Callers of one limiter, and the order in which they got a token."""

    def __init__(self, limiter):
        self.limiter = limiter
        self.served = []

    async def join(self, count):
        tasks = [asyncio.create_task(self._one(n)) for n in range(count)]
        await settle()
        return tasks

    async def _one(self, number):
        await self.limiter.acquire()
        self.served.append(number)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def cancel(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_burst_at_once_then_the_rate_in_order(make, time):
    queue = Queue(make(rate=50, burst=10))
    tasks = await queue.join(100)
    assert queue.served == list(range(10))
    assert queue.limiter.waiting == 90
    time.advance(1)
    await settle()
    assert queue.served == list(range(60))
    time.advance(0.8)
    await settle()
    assert queue.served == list(range(100))
    await asyncio.gather(*tasks)


async def test_a_long_quiet_time_saves_no_more_than_the_burst(make, time):
    limiter = make(rate=50, burst=10)
    time.advance(3600)
    queue = Queue(limiter)
    tasks = await queue.join(20)
    assert len(queue.served) == 10
    await cancel(tasks)


async def test_a_cancelled_caller_costs_nobody_a_token(make, time):
    queue = Queue(make(rate=10, burst=1))
    tasks = await queue.join(12)
    await cancel(tasks[1:11])
    time.advance(0.1)
    await settle()
    assert queue.served == [0, 11]
    assert queue.limiter.waiting == 0


async def test_a_token_granted_to_a_caller_cancelled_in_the_same_turn_goes_to_the_next(make, time):
    queue = Queue(make(rate=10, burst=1))
    tasks = await queue.join(3)
    time.advance(0.1)
    tasks[1].cancel()
    await settle()
    assert queue.served == [0, 2]
    tasks = await queue.join(1)
    assert queue.served == [0, 2]
    await cancel(tasks)


async def test_a_caller_that_would_wait_too_long_is_refused_at_once_with_the_wait(make):
    queue = Queue(make(rate=10, burst=1, max_wait=2))
    tasks = await queue.join(21)
    with pytest.raises(Failed) as refused:
        await queue.limiter.acquire()
    assert refused.value.kind is Kind.UNAVAILABLE
    assert refused.value.retry_after == pytest.approx(2.1)
    await cancel(tasks)


async def test_rate_0_is_no_limit(make):
    limiter = make(rate=0)
    for _ in range(1000):
        await limiter.acquire()
