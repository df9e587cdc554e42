"""Shared rates: many clients, one rule, a number each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.shared_rate import SharedRate
from bridge.core.token_bucket import TokenBucket
from clocks import Clock
from core_makers import quick


@pytest.fixture
def clock():
    return Clock()


def take_all(rate, full_at=0.0):
    """Take as many tokens as there are; returns how many, and the number kept."""
    count = 0
    while (after := rate.take(full_at)) is not None:
        count, full_at = count + 1, after
    return count, full_at


def test_each_client_has_the_whole_burst_and_then_the_rate(clock):
    rate = SharedRate(rate=50, burst=10, clock=clock)
    (one, at), (other, _) = take_all(rate), take_all(rate)
    assert (one, other) == (10, 10)
    clock.now += 0.1
    assert take_all(rate, at)[0] == 5
    clock.now += 3600
    assert take_all(rate, at)[0] == 10, "a quiet time saves no more than the burst"


def test_rate_0_is_no_limit(clock):
    rate = SharedRate(rate=0, burst=0, clock=clock)
    at = 0.0
    for _ in range(1000):
        at = rate.take(at)
        assert rate.reserve(at)[1] == rate.seconds_until(at, 1000) == 0


# Times and rates that floats have exactly: the two keep time in different ways.
EIGHTHS = st.integers(0, 40).map(lambda eighths: eighths / 8)
STEPS = st.lists(st.tuples(st.sampled_from(["take", "reserve", "ask"]), EIGHTHS), max_size=40)


@quick
@given(st.sampled_from([1, 2, 8]), st.integers(1, 9), STEPS)
def test_a_client_is_allowed_what_a_bucket_of_its_own_would_allow(rate, burst, steps):
    clock, at = Clock(), 0.0
    shared = SharedRate(rate=rate, burst=burst, clock=clock)
    bucket = TokenBucket(rate=rate, burst=burst, clock=clock)
    for step, pause in steps:
        clock.now += pause
        if step == "take":
            after = shared.take(at)
            assert (after is not None) is bucket.take()
            at = at if after is None else after
        elif step == "reserve":
            at, wait = shared.reserve(at)
            assert wait == bucket.reserve()
        assert [shared.seconds_until(at, n) for n in (1, 3, burst + 2)] == [
            bucket.seconds_until(n) for n in (1, 3, burst + 2)
        ]


@quick
@given(st.integers(1, 400), st.integers(1, 2000), st.floats(0, 1e8))
def test_the_whole_burst_can_be_taken_at_any_hour(rate, burst, start):
    clock = Clock()
    clock.now = start
    assert take_all(SharedRate(rate=rate, burst=burst, clock=clock))[0] == burst
