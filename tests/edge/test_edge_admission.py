"""Admission: how many streams may be open, and how fast new ones come. The clock is the test's."""

import itertools
import json

import aiohttp
import pytest

from bridge.core.errors import Failed, Kind
from bridge.web.accept_limiter import MAX_RETRY_AFTER, AcceptLimiter
from bridge.web.admission import Admission, StreamLimits
from clients import QUERY, SseClient
from clocks import Clock


@pytest.fixture
def clock():
    return Clock()


def arrive(limiter, count):
    """So many arrive at once; returns (how many are admitted, the delays of the others)."""
    delays = [limiter.admit() for _ in range(count)]
    return delays.count(0.0), [wait for wait in delays if wait]


def test_a_burst_is_admitted_at_once_and_then_as_many_as_the_rate_allows(clock):
    limiter = AcceptLimiter(rate=500, burst=1000, clock=clock)
    assert arrive(limiter, 5000)[0] == 1000
    for _ in range(10):
        clock.now += 0.1
        assert arrive(limiter, 5000)[0] == 50
    clock.now += 3600
    assert arrive(limiter, 5000)[0] == 1000


def test_each_refused_client_gets_a_retry_time_of_its_own(clock):
    limiter = AcceptLimiter(rate=500, burst=1000, clock=clock)
    _, delays = arrive(limiter, 5000)
    assert len(set(delays)) == 4000
    assert all(b - a == pytest.approx(1 / 500) for a, b in itertools.pairwise(delays))
    assert delays[-1] == pytest.approx(8)
    _, delays = arrive(limiter, 50_000)
    assert max(delays) <= MAX_RETRY_AFTER


def test_a_crowd_that_returns_when_it_should_is_admitted_at_the_second_try(clock):
    limiter = AcceptLimiter(rate=500, burst=1000, clock=clock)
    _, delays = arrive(limiter, 5000)
    for _, group in itertools.groupby(delays, key=lambda wait: int(wait) + 1):
        count = len(list(group))
        clock.now += 1
        assert arrive(limiter, count)[0] >= count - 1


def test_without_a_rate_all_are_admitted(clock):
    assert arrive(AcceptLimiter(rate=0, burst=0, clock=clock), 5000) == (5000, [])


def test_a_refusal_for_another_reason_spends_no_token(clock):
    admission = Admission(StreamLimits(per_address=1, rate=1), clock=clock)
    admission.admit("a")
    for _ in range(10):
        with pytest.raises(Failed) as refused:
            admission.admit("a")
        assert refused.value.kind is Kind.QUOTA
    admission.admit("b")
    with pytest.raises(Failed) as refused:
        admission.admit("c")
    assert refused.value.kind is Kind.UNAVAILABLE
    assert admission.open == 2, "a refused one is not counted as open"


async def test_a_client_over_the_rate_gets_503_and_retry_after(start_bridge, tier, http):
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
    with pytest.raises(aiohttp.WSServerHandshakeError) as upgrade:
        await http.ws_connect(bridge.base + "/ws")
    assert upgrade.value.status == 503, "before the upgrade, as all limits of connections"
    url = bridge.base + "?soft=1&query=" + json.dumps(QUERY)
    async with http.get(url) as soft:
        assert soft.status == 200
        assert (await soft.text()).startswith("retry: ")
    for client in clients:
        client.close()
