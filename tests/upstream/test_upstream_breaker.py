"""The circuit breaker, on a clock that stands until it is told."""

import pytest
from upstream_tier import FakeTime

from bridge.upstream.breaker import FAILURES, Breaker


@pytest.fixture
def clock():
    return FakeTime()


@pytest.fixture
def breaker(clock):
    return Breaker(clock=clock, uniform=lambda low, _: low)


def fail(breaker, times=1):
    for _ in range(times):
        breaker.failed(breaker.enter())


def test_it_opens_after_so_many_failures_in_a_row_and_not_before(breaker):
    fail(breaker, FAILURES - 1)
    assert breaker.admits
    breaker.succeeded()
    fail(breaker, FAILURES - 1)
    assert breaker.admits
    fail(breaker)
    assert breaker.open
    assert not breaker.admits
    assert breaker.wait == 1.0


def test_half_open_it_admits_one_call_at_a_time(breaker, clock):
    fail(breaker, FAILURES)
    clock.advance(1.0)
    assert breaker.open
    assert breaker.admits
    ticket = breaker.enter()
    assert not breaker.admits
    assert breaker.wait > 0
    breaker.abandoned(ticket)
    assert breaker.admits
    breaker.enter()
    breaker.succeeded()
    assert not breaker.open
    assert breaker.admits


def test_each_opening_is_longer_up_to_ten_seconds_and_success_begins_anew(breaker, clock):
    fail(breaker, FAILURES)
    waits = []
    for _ in range(6):
        waits.append(breaker.wait)
        clock.advance(breaker.wait)
        fail(breaker)
    assert waits == [1, 2, 4, 8, 10, 10]
    clock.advance(10)
    breaker.enter()
    breaker.succeeded()
    fail(breaker, FAILURES)
    assert breaker.wait == 1


def test_the_wait_is_spread(clock):
    waits = []
    for share in (0, 0.5, 1):
        breaker = Breaker(clock=clock, uniform=lambda low, high, s=share: low + (high - low) * s)
        fail(breaker, FAILURES)
        waits.append(breaker.wait)
    assert waits == [1, 1.5, 2]


def test_a_crowd_that_fails_together_opens_it_once(breaker, clock):
    tickets = [breaker.enter() for _ in range(100)]
    for ticket in tickets:
        breaker.failed(ticket)
    assert breaker.wait == 1
    clock.advance(1)
    assert breaker.admits


def test_late_news_does_not_take_the_probes_place(breaker, clock):
    late = breaker.enter()
    fail(breaker, FAILURES)
    clock.advance(1)
    breaker.enter()
    breaker.abandoned(late)
    breaker.failed(late)
    assert not breaker.admits
    assert breaker.wait == 1.0


def test_a_late_success_closes_it(breaker):
    breaker.enter()
    fail(breaker, FAILURES)
    breaker.succeeded()
    assert breaker.admits
    assert not breaker.open


def test_a_sign_of_life_ends_the_wait_but_proves_nothing(breaker):
    fail(breaker, FAILURES)
    breaker.retry_now()
    assert breaker.open
    assert breaker.admits
    breaker.enter()
    assert not breaker.admits


def test_a_sign_of_life_leaves_a_closed_one_closed(breaker):
    breaker.retry_now()
    assert not breaker.open
