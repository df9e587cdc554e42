"""When a lost call is opened again, and how long that is tried."""

import pytest

from bridge.core.errors import Failed, Kind
from bridge.live.retry_policy import DOUBT_INTERVAL, STABLE_AFTER, RetryPolicy
from bridge.live.settings import LiveSettings
from clocks import Clock

FOREVER = float("inf")


def policy(**settings):
    clock = Clock(100.0)
    return RetryPolicy(LiveSettings(**settings), clock), clock


def test_before_the_first_start_the_deadline_counts_from_the_beginning():
    retry, clock = policy(open_timeout=10, started_timeout=4)
    assert (retry.time_left(), retry.started_timeout()) == (10, 4)
    clock.now += 8
    retry.on_lost()
    assert (retry.time_left(), retry.started_timeout()) == (2, 2)


def test_once_started_the_deadline_counts_from_the_first_loss_until_the_window_is_current():
    retry, clock = policy(max_staleness=60, snapshot_timeout=10)
    retry.started = True
    assert (retry.time_left(), retry.snapshot_timeout()) == (FOREVER, 10)
    retry.on_lost()
    clock.now += 55
    retry.on_lost()
    assert (retry.time_left(), retry.snapshot_timeout()) == (5, 5)
    clock.now += 10
    assert (retry.time_left(), retry.snapshot_timeout()) == (-5, 0)
    retry.on_current()
    assert (retry.time_left(), retry.snapshot_timeout()) == (FOREVER, 10)


def test_without_a_bound_of_staleness_there_is_no_deadline_after_a_loss():
    retry, clock = policy(max_staleness=0)
    retry.started = True
    retry.on_lost()
    clock.now += 10**6
    assert retry.time_left() == FOREVER


@pytest.mark.parametrize("kind", Kind)
def test_before_the_first_start_only_a_tier_out_of_reach_is_tried_again(kind):
    retry, _ = policy()
    assert retry.worth_retrying(Failed(kind, "no")) is (kind in {Kind.UNAVAILABLE, Kind.DEADLINE})
    retry.started = True
    assert retry.worth_retrying(Failed(kind, "no"))


@pytest.mark.parametrize(
    ("wait", "stable_after"), [("wait_after_loss", STABLE_AFTER), ("wait_after_resync", 10.0)]
)
def test_a_call_that_was_stable_starts_the_backoff_anew(wait, stable_after):
    retry, clock = policy(backoff_first=0.001, backoff_factor=10, backoff_most=10.0)
    assert max(getattr(retry, wait)(live=False) for _ in range(50)) > 1
    retry.on_current()
    clock.now += stable_after
    assert max(getattr(retry, wait)(live=True) for _ in range(50)) > 1, "not yet stable"
    clock.now += 0.1
    assert max(getattr(retry, wait)(live=False) for _ in range(50)) > 1, "its window was incomplete"
    assert getattr(retry, wait)(live=True) <= 0.001


def test_a_call_in_doubt_is_replaced_a_second_after_it_was_opened_at_the_earliest():
    retry, clock = policy()
    retry.on_opening()
    retry.on_current()
    clock.now += 0.3
    assert retry.wait_after_doubt() == pytest.approx(DOUBT_INTERVAL - 0.3)
    clock.now += STABLE_AFTER
    assert 0 <= retry.wait_after_doubt() <= 0.1, "it was stable"


def test_doubts_that_replacements_do_not_cure_are_acted_upon_ever_more_rarely():
    retry, clock = policy(backoff_first=0.001, backoff_factor=10, backoff_most=10.0)
    waits = []
    for _ in range(50):
        retry.on_opening()
        retry.on_current()
        clock.now += 0.05
        waits.append(retry.wait_after_doubt())
    assert min(waits) >= DOUBT_INTERVAL - 0.06
    assert max(waits) > 2


def test_a_call_that_fails_right_after_its_snapshot_was_never_up():
    retry, clock = policy(backoff_first=0.1, backoff_factor=1.6, backoff_most=10.0)
    waits = []
    for _ in range(60):
        retry.on_current()
        clock.now += 0.01
        waits.append(retry.wait_after_loss(live=True))
    assert max(waits) > 5, "the back-off grows to ten seconds"


def test_a_loss_that_the_tier_announced_is_no_trouble_however_soon():
    retry, _ = policy(backoff_first=0.001, backoff_factor=10, backoff_most=10.0)
    assert max(retry.wait_after_loss(live=False) for _ in range(50)) > 1
    retry.on_current()
    assert retry.wait_after_loss(live=True, announced=True) <= 0.001
