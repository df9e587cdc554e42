"""RateByKey: each key has its rate, and a key that is quiet costs nothing."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.rate_by_key import RateByKey
from bridge.core.token_bucket import TokenBucket
from clocks import Clock


def test_each_key_has_a_burst_and_a_rate_of_its_own():
    clock = Clock()
    rates = RateByKey(rate=10, burst=20, clock=clock)
    for key in "ab":
        assert [rates.take(key) for _ in range(21)] == [0.0] * 20 + [0.1]
    clock.now += 0.1
    assert (rates.take("a"), rates.take("b"), rates.take("a") > 0) == (0.0, 0.0, True)


def test_keys_are_forgotten_once_their_buckets_are_full():
    clock = Clock()
    rates = RateByKey(rate=10, burst=20, clock=clock)
    for number in range(10_000):
        rates.take(number)
    clock.now += 2.1
    rates.take("a")
    assert len(rates) <= 10_001
    clock.now += 2.1
    rates.take("a")
    assert len(rates) == 1


def test_rate_0_is_no_limit():
    rates = RateByKey(rate=0, burst=0, clock=Clock())
    assert not any(rates.take("a") for _ in range(1000))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=200))
def test_forgetting_changes_no_answer(steps):
    clock = Clock()
    rates = RateByKey(rate=2, burst=4, clock=clock)
    buckets = {key: TokenBucket(rate=2, burst=4, clock=clock) for key in "abc"}
    for key, pause in steps:
        clock.now += pause
        assert (rates.take(key) == 0.0) is buckets[key].take()


def test_what_was_taken_just_before_a_turn_of_the_generations_is_not_forgotten():
    clock = Clock()
    rates = RateByKey(rate=1, burst=2, clock=clock)
    clock.now += 1.9
    assert [rates.take("a") for _ in range(3)] == [0.0, 0.0, 1.0]
    for _ in range(3):
        clock.now += 0.3
        assert rates.take("a") > 0
