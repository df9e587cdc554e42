from livequery.v1 import livequery_pb2 as pb
from livetier.engine import subscription as module
from livetier.engine.store import View
from livetier.engine.subscription import Subscription
from tier_client import end_seq

GROUP = [pb.LiveDelta(op=pb.DELTA_OP_UPDATE)] * 2


def opened():
    subscription = Subscription("s", View(plan=None))
    assert subscription.take_reset().epoch == 1
    return subscription


async def test_groups_wait_in_order_and_are_numbered_as_they_are_sent():
    subscription = opened()
    subscription.offer(GROUP)
    subscription.offer(GROUP[:1])
    assert end_seq(subscription) == 3
    batch = subscription.next_batch(subscription.take_group())
    assert (batch.epoch, batch.first_seq, len(batch.deltas)) == (1, 1, 2)
    assert subscription.next_batch(subscription.take_group()).first_seq == 3
    assert not await subscription.ready(0.001)


async def test_a_backlog_over_its_bound_becomes_one_reset_of_the_next_epoch():
    subscription = opened()
    for _ in range(module.BACKLOG):
        subscription.offer(GROUP)
    assert end_seq(subscription) == 0
    reset = subscription.take_reset()
    assert (reset.reason, reset.epoch) == (pb.RESET_REASON_OVERFLOW, 2)


async def test_one_group_may_be_larger_than_the_backlog():
    subscription = opened()
    subscription.offer(GROUP * module.BACKLOG)
    assert not subscription.reset_due
    assert len(subscription.take_group()) == 2 * module.BACKLOG


async def test_a_reset_that_replaces_an_unsent_one_keeps_its_epoch():
    subscription = opened()
    assert subscription.reset(pb.RESET_REASON_REANCHOR, "first") == 2
    assert subscription.reset(pb.RESET_REASON_REANCHOR, "second") == 2
    assert subscription.take_reset().request_id == "second"
    assert subscription.reset(pb.RESET_REASON_REANCHOR, "third") == 3


async def test_a_reset_that_falls_due_while_a_window_is_being_sent_does_not_relabel_it():
    subscription = opened()
    subscription.reset(pb.RESET_REASON_REANCHOR)
    assert subscription.next_batch(GROUP).epoch == 1
    subscription.take_reset()
    assert subscription.next_batch(GROUP).epoch == 2


async def test_groups_that_wait_are_taken_together_while_they_are_few_and_small(monkeypatch):
    monkeypatch.setattr(module, "BATCH_BYTES", 100)
    subscription = opened()
    for size in (1, 2, 3, 1):
        subscription.offer([pb.LiveDelta(row=b"x" * 10)] * size)
    assert len(subscription.take_groups(5)) == 3
    assert len(subscription.take_groups(1)) == 3  # a group is never split
    subscription.offer([pb.LiveDelta(row=b"x" * 95)])
    assert len(subscription.take_groups(1000)) == 1
    assert len(subscription.take_groups(1000)) == 1
