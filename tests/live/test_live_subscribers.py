"""On whose identity the next upstream call is made."""

from bridge.live.backend import Identity
from bridge.live.subscribers import Subscribers

FIRST, OLD, NEW = (Identity(metadata=(("token", name),)) for name in ("first", "old", "new"))


def test_the_next_call_uses_the_latest_identity_of_those_that_are_subscribed():
    subscribers = Subscribers(FIRST)
    assert subscribers.latest_identity() == FIRST
    subscribers.add("a", OLD)
    subscribers.add("b", NEW)
    assert subscribers.latest_identity() == NEW
    assert subscribers.remove("b")
    assert not subscribers.remove("b")
    assert subscribers.latest_identity() == OLD
    assert subscribers.is_only("a")
    assert not subscribers.is_only("b")


def test_a_renewed_identity_is_the_latest():
    subscribers = Subscribers(FIRST)
    subscribers.add("a", OLD)
    subscribers.add("b", OLD)
    subscribers.add("a", NEW)
    assert subscribers.latest_identity() == NEW
    assert len(subscribers) == 2


def test_a_rejected_identity_is_not_used_while_a_subscriber_has_another():
    subscribers = Subscribers(FIRST)
    subscribers.add("a", OLD)
    subscribers.add("b", NEW)
    assert subscribers.reject(NEW), "there is another"
    assert subscribers.latest_identity() == OLD
    assert not subscribers.reject(OLD)
