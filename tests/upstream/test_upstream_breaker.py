"""The circuit breaker, on a fake clock."""

import pytest
from upstream_tier import FakeTime

from bridge.upstream.breaker import FAILURE_THRESHOLD, Breaker


@pytest.fixture
def clock():
    return FakeTime()


@pytest.fixture
def breaker(clock):
    return Breaker(clock=clock, uniform=lambda low, _: low)


def fail(breaker, times=1):
    for _ in range(times):
        breaker.record_failure(breaker.begin())


def test_it_opens_after_so_many_failures_in_a_row_and_not_before(breaker):
    fail(breaker, FAILURE_THRESHOLD - 1)
    assert breaker.allows_call
    breaker.record_success()
    fail(breaker, FAILURE_THRESHOLD - 1)
    assert breaker.allows_call
    fail(breaker)
    assert breaker.open
    assert not breaker.allows_call
    assert breaker.retry_after == 1.0


def test_half_open_it_admits_one_call_at_a_time(breaker, clock):
    fail(breaker, FAILURE_THRESHOLD)
    clock.advance(1.0)
    assert breaker.open
    assert breaker.allows_call
    ticket = breaker.begin()
    assert not breaker.allows_call
    assert breaker.retry_after > 0
    breaker.record_abandoned(ticket)
    assert breaker.allows_call
    breaker.begin()
    breaker.record_success()
    assert not breaker.open
    assert breaker.allows_call


def test_each_opening_is_longer_up_to_ten_seconds_until_a_success(breaker, clock):
    fail(breaker, FAILURE_THRESHOLD)
    waits = []
    for _ in range(6):
        waits.append(breaker.retry_after)
        clock.advance(breaker.retry_after)
        fail(breaker)
    assert waits == [1, 2, 4, 8, 10, 10]
    clock.advance(10)
    breaker.begin()
    breaker.record_success()
    fail(breaker, FAILURE_THRESHOLD)
    assert breaker.retry_after == 1


def test_the_wait_is_spread(clock):
    waits = []
    for share in (0, 0.5, 1):
        breaker = Breaker(clock=clock, uniform=lambda low, high, s=share: low + (high - low) * s)
        fail(breaker, FAILURE_THRESHOLD)
        waits.append(breaker.retry_after)
    assert waits == [1, 1.5, 2]


def test_a_crowd_that_fails_together_opens_it_once(breaker, clock):
    tickets = [breaker.begin() for _ in range(100)]
    for ticket in tickets:
        breaker.record_failure(ticket)
    assert breaker.retry_after == 1
    clock.advance(1)
    assert breaker.allows_call


def test_a_late_result_does_not_end_the_half_open_trial(breaker, clock):
    late = breaker.begin()
    fail(breaker, FAILURE_THRESHOLD)
    clock.advance(1)
    breaker.begin()
    breaker.record_abandoned(late)
    breaker.record_failure(late)
    assert not breaker.allows_call
    assert breaker.retry_after == 1.0


def test_a_late_success_closes_it(breaker):
    breaker.begin()
    fail(breaker, FAILURE_THRESHOLD)
    breaker.record_success()
    assert breaker.allows_call
    assert not breaker.open


def test_a_sign_of_life_ends_the_wait_but_proves_nothing(breaker):
    fail(breaker, FAILURE_THRESHOLD)
    breaker.retry_now()
    assert breaker.open
    assert breaker.allows_call
    breaker.begin()
    assert not breaker.allows_call


def test_a_sign_of_life_leaves_a_closed_one_closed(breaker):
    breaker.retry_now()
    assert not breaker.open
