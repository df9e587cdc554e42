"""Turns: how many, in what order, and what becomes of those who leave."""

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
    def pace(rate=50, burst=1, patience=10):
        return RateLimiter(rate=rate, burst=burst, patience=patience, clock=time, later=time.later)

    return pace


class Line:
    """Callers in a line, and in what order they were let in."""

    def __init__(self, pace):
        self.pace = pace
        self.served = []

    async def join(self, count):
        tasks = [asyncio.create_task(self._one(n)) for n in range(count)]
        await settle()
        return tasks

    async def _one(self, number):
        await self.pace.turn()
        self.served.append(number)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def leave(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_burst_at_once_then_the_rate_in_order(make, time):
    line = Line(make(rate=50, burst=10))
    tasks = await line.join(100)
    assert line.served == list(range(10))
    assert line.pace.waiting == 90
    time.advance(1)
    await settle()
    assert line.served == list(range(60))
    time.advance(0.8)
    await settle()
    assert line.served == list(range(100))
    await asyncio.gather(*tasks)


async def test_a_long_quiet_time_saves_no_more_than_the_burst(make, time):
    pace = make(rate=50, burst=10)
    time.advance(3600)
    line = Line(pace)
    tasks = await line.join(20)
    assert len(line.served) == 10
    await leave(tasks)


async def test_who_leaves_the_line_costs_nobody_a_turn(make, time):
    line = Line(make(rate=10, burst=1))
    tasks = await line.join(12)
    await leave(tasks[1:11])
    time.advance(0.1)
    await settle()
    assert line.served == [0, 11]
    assert line.pace.waiting == 0


async def test_a_turn_given_to_one_who_leaves_in_the_same_tick_goes_to_the_next(make, time):
    line = Line(make(rate=10, burst=1))
    tasks = await line.join(3)
    time.advance(0.1)
    tasks[1].cancel()
    await settle()
    assert line.served == [0, 2]
    tasks = await line.join(1)
    assert line.served == [0, 2]
    await leave(tasks)


async def test_who_would_wait_too_long_is_told_at_once_how_long(make):
    line = Line(make(rate=10, burst=1, patience=2))
    tasks = await line.join(21)
    with pytest.raises(Failed) as refused:
        await line.pace.turn()
    assert refused.value.kind is Kind.UNAVAILABLE
    assert refused.value.retry_after == pytest.approx(2.1)
    await leave(tasks)


async def test_rate_0_is_no_limit(make):
    pace = make(rate=0)
    for _ in range(1000):
        await pace.turn()
