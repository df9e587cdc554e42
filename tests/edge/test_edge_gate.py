"""The gate: how many may come in, and how fast. The clock is the test's."""

import itertools
import json

import pytest

from bridge.core.errors import Failed, Kind
from bridge.web.accept_limiter import MAX_RETRY_AFTER, AcceptLimiter
from bridge.web.admission import Admission
from clients import QUERY, SseClient


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def come(limiter, count):
    """So many come at once; returns (how many are in, what the others were told)."""
    told = [limiter.admit() for _ in range(count)]
    return told.count(0.0), [wait for wait in told if wait]


def test_a_burst_comes_in_at_once_and_then_as_many_as_the_rate_says(clock):
    limiter = AcceptLimiter(rate=500, burst=1000, clock=clock)
    assert come(limiter, 5000)[0] == 1000
    for _ in range(10):
        clock.now += 0.1
        assert come(limiter, 5000)[0] == 50
    clock.now += 3600
    assert come(limiter, 5000)[0] == 1000


def test_each_who_is_turned_away_has_a_moment_of_its_own(clock):
    limiter = AcceptLimiter(rate=500, burst=1000, clock=clock)
    _, told = come(limiter, 5000)
    assert len(set(told)) == 4000
    assert all(b - a == pytest.approx(1 / 500) for a, b in itertools.pairwise(told))
    assert told[-1] == pytest.approx(8)
    _, told = come(limiter, 50_000)
    assert max(told) <= MAX_RETRY_AFTER


def test_a_crowd_that_comes_when_it_was_told_is_in_at_the_second_try(clock):
    limiter = AcceptLimiter(rate=500, burst=1000, clock=clock)
    _, told = come(limiter, 5000)
    for _, group in itertools.groupby(told, key=lambda wait: int(wait) + 1):
        count = len(list(group))
        clock.now += 1
        assert come(limiter, count)[0] >= count - 1


def test_without_a_rate_all_come_in(clock):
    assert come(AcceptLimiter(rate=0, burst=0, clock=clock), 5000) == (5000, [])


def test_who_is_refused_for_another_reason_takes_nobodys_turn(clock):
    admission = Admission(most=0, most_per_ip=1, rate=1, clock=clock)
    admission.admit("a")
    for _ in range(10):
        with pytest.raises(Failed) as refused:
            admission.admit("a")
        assert refused.value.kind is Kind.QUOTA
    admission.admit("b")
    with pytest.raises(Failed) as refused:
        admission.admit("c")
    assert refused.value.kind is Kind.UNAVAILABLE
    assert admission.open == 2, "who is turned away holds no place"


async def test_who_comes_too_fast_is_told_503_and_when_to_come_back(start_bridge, tier, http):
    tier.rows = ["a"]
    bridge = await start_bridge(accept_rate="1")
    clients = []
    for _ in range(2):
        clients.append(SseClient(await http.post(bridge.base, data=json.dumps(QUERY))))
        await clients[-1].frames(2)
    async with http.post(bridge.base, data=json.dumps(QUERY)) as refused:
        assert refused.status == 503
        assert 1 <= int(refused.headers["Retry-After"]) <= 2
        assert (await refused.json())["detail"] == "too many clients at once"
    async with http.get(bridge.base + "/ws") as refused:
        assert refused.status == 503, "before the upgrade, as all limits of connections"
    url = bridge.base + "?soft=1&query=" + json.dumps(QUERY)
    async with http.get(url) as soft:
        assert soft.status == 200
        assert (await soft.text()).startswith("retry: ")
    for client in clients:
        client.close()
