import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.token_bucket import TokenBucket
from clocks import Clock
from core_makers import quick


@pytest.fixture
def clock():
    return Clock()


def take_all(bucket):
    count = 0
    while bucket.take():
        count += 1
    return count


def test_the_burst_can_be_taken_at_once_and_then_the_rate(clock):
    bucket = TokenBucket(rate=50, burst=10, clock=clock)
    assert take_all(bucket) == 10
    clock.now += 0.1
    assert take_all(bucket) == 5


def test_a_long_quiet_time_saves_no_more_than_the_burst(clock):
    bucket = TokenBucket(rate=50, burst=10, clock=clock)
    clock.now += 3600
    assert take_all(bucket) == 10


def test_a_refused_take_costs_nothing(clock):
    bucket = TokenBucket(rate=10, burst=1, clock=clock)
    take_all(bucket)
    assert [bucket.take() for _ in range(5)] == [False] * 5
    assert bucket.seconds_until() == pytest.approx(0.1)


def test_the_wait_for_several_tokens_counts_those_there_are(clock):
    bucket = TokenBucket(rate=10, burst=5, clock=clock)
    assert bucket.seconds_until(5) == 0
    assert bucket.seconds_until(7) == pytest.approx(0.2)
    assert take_all(bucket) == 5


def test_a_token_given_back_can_be_taken_at_once(clock):
    bucket = TokenBucket(rate=10, burst=1, clock=clock)
    assert bucket.take()
    bucket.give_back()
    assert bucket.take()
    assert not bucket.take()


def test_more_given_back_than_the_burst_is_lost(clock):
    bucket = TokenBucket(rate=10, burst=2, clock=clock)
    for _ in range(5):
        bucket.give_back()
    assert take_all(bucket) == 2


def test_tokens_reserved_in_advance_are_covered_one_after_the_other(clock):
    bucket = TokenBucket(rate=10, burst=2, clock=clock)
    waits = [bucket.reserve() for _ in range(5)]
    assert waits == pytest.approx([0, 0, 0.1, 0.2, 0.3])
    clock.now += 0.3
    assert not bucket.take()
    clock.now += 0.1
    assert bucket.take()


def test_rate_0_is_no_limit(clock):
    bucket = TokenBucket(rate=0, burst=0, clock=clock)
    assert all(bucket.take() for _ in range(1000))
    assert bucket.reserve() == bucket.seconds_until(1000) == 0


@quick
@given(
    st.integers(1, 1000),
    st.integers(1, 100),
    st.floats(0, 1e5),
    st.lists(st.floats(0, 5), max_size=5),
)
def test_a_caller_that_waits_as_long_as_it_was_told_finds_a_token(rate, burst, start, pauses):
    clock = Clock()
    clock.now = start
    bucket = TokenBucket(rate=rate, burst=burst, clock=clock)
    for pause in pauses:
        take_all(bucket)
        clock.now += pause
        clock.now += bucket.seconds_until()
        assert bucket.take()
