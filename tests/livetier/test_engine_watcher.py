import asyncio

import pytest

from list_store import ListStore, ListStoreError
from livetier.engine import watcher as module
from livetier.engine.errors import TierError, unavailable
from livetier.engine.watcher import Watcher
from tier_client import leaf, query, shape

STOPPING = unavailable("STOPPING", "the tier is stopping")


class GatedStore(ListStore):
    """Counts its calls; ``first`` and ``read`` wait for their gate, which may be broken."""

    def __init__(self):
        super().__init__("thing", ("id", "size"))
        self.gates = {"first": asyncio.Event(), "read": asyncio.Event()}
        self.entered = {"first": asyncio.Event(), "read": asyncio.Event()}
        self.failures = []
        self.asked = []
        self.waits = 0
        for gate in self.gates.values():
            gate.set()

    async def compile(self, live_query, metadata, /):
        self.asked.append(metadata)
        return await super().compile(live_query, metadata)

    async def first(self, plan, /):
        await self._pass("first")
        return await super().first(plan)

    async def read(self, views, /):
        await self._pass("read")
        assert len({view.plan.key for view in views}) == len(views)
        if self.failures:
            raise self.failures.pop()
        return await super().read(views)

    async def changed(self):
        self.waits += 1
        await super().changed()

    async def _pass(self, name):
        self.entered[name].set()
        await self.gates[name].wait()


@pytest.fixture
async def watched(monkeypatch):
    """A store and a watcher that runs."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    store = GatedStore()
    watcher = Watcher(store)
    await watcher.open()
    running = asyncio.create_task(watcher.run())
    yield store, watcher
    running.cancel()
    await asyncio.wait([running])
    await watcher.close(STOPPING)


async def opened(watcher, live_query, metadata=(), name="s"):
    """Subscribe and take the first window."""
    subscription = await watcher.subscribe(name, live_query, metadata)
    await watcher.snapshot(subscription)
    return subscription


async def group(subscription):
    assert await subscription.ready(5)
    return shape(subscription.take_group())


async def test_a_slow_first_reading_delays_no_other_subscription(watched):
    store, watcher = watched
    subscription = await opened(watcher, query("thing"))
    store.gates["first"].clear()
    slow = asyncio.create_task(watcher.subscribe("slow", query("thing", sort=["size"])))
    await store.entered["first"].wait()
    store.put(id="a", size=1)
    assert await group(subscription) == [("enter", "a", -1, 0)]
    store.gates["first"].set()
    _, rows = await watcher.snapshot(await slow)
    assert [row.id for row in rows] == ["a"]


async def test_a_view_that_opens_during_a_reading_misses_no_commit(watched):
    store, watcher = watched
    await opened(watcher, query("thing"))
    store.gates["read"].clear()
    store.put(id="a", size=1)
    await store.entered["read"].wait()
    late = await watcher.subscribe("late", query("thing", sort=["size"]))
    same = await watcher.subscribe("same", query("thing"))
    store.put(id="b", size=2)
    store.gates["read"].set()
    await watcher.settle()
    for subscription in (late, same):
        _, rows = await watcher.snapshot(subscription)
        assert [row.id for row in rows] == ["a", "b"]
    store.put(id="c", size=3)
    for subscription in (late, same):
        assert await group(subscription) == [("enter", "c", -1, 2)]


async def test_subscriptions_that_open_at_once_with_one_query_share_a_view(watched):
    store, watcher = watched
    store.gates["first"].clear()
    opening = [
        asyncio.create_task(watcher.subscribe(name, query("thing"))) for name in ("one", "two")
    ]
    await store.entered["first"].wait()
    await asyncio.sleep(0)
    store.gates["first"].set()
    one, two = await asyncio.gather(*opening)
    assert one.view is two.view


async def test_a_store_that_cannot_answer_is_read_again_and_loses_nothing(watched):
    store, watcher = watched
    subscription = await opened(watcher, query("thing"))
    store.failures = [ListStoreError("locked")] * 2
    store.put(id="a", size=1)
    assert await group(subscription) == [("enter", "a", -1, 0)]
    assert store.failures == []


async def test_a_bug_in_a_store_ends_all_streams_and_new_ones_go_on(watched, caplog):
    store, watcher = watched
    subscription = await opened(watcher, query("thing"))
    store.failures = [ZeroDivisionError()]
    store.put(id="a", size=1)
    assert await subscription.ready(5)
    assert subscription.failure.reason == "FAILED"
    assert "watching failed" in caplog.text
    other = await opened(watcher, query("thing"), name="other")
    store.put(id="b", size=1)
    assert await group(other) == [("enter", "b", -1, 1)]


async def test_a_store_is_told_the_callers_metadata_at_a_reanchor_too(watched):
    store, watcher = watched
    metadata = (("x-tenant", "one"), ("x-tenant", "two"))
    subscription = await opened(watcher, query("thing"), metadata)
    await watcher.reanchor(subscription, query("thing", limit=3), "tag")
    assert store.asked == [metadata, metadata]


async def test_reanchors_of_one_subscription_take_effect_in_order(watched):
    store, watcher = watched
    subscription = await opened(watcher, query("thing"))
    store.gates["first"].clear()
    reanchors = [
        asyncio.create_task(watcher.reanchor(subscription, query("thing", limit=limit), "tag"))
        for limit in (3, 4)
    ]
    await store.entered["first"].wait()
    store.gates["first"].set()
    await asyncio.gather(*reanchors)
    assert subscription.view.plan.query.limit == 4


async def test_without_subscriptions_no_commit_is_waited_for(watched):
    store, watcher = watched
    await asyncio.sleep(0)
    assert store.waits == 0
    subscription = await opened(watcher, query("thing"))
    await asyncio.sleep(0.01)
    before = store.waits
    assert before > 0
    watcher.unsubscribe(subscription)
    store.put(id="a", size=1)
    await asyncio.sleep(0.01)
    assert store.waits == before


async def test_a_subscription_that_opens_while_the_tier_stops_is_told_so(watched):
    store, watcher = watched
    store.gates["first"].clear()
    opening = asyncio.create_task(watcher.subscribe("s", query("thing", leaf("size", "gt", 1))))
    await store.entered["first"].wait()
    await watcher.close(STOPPING)
    store.gates["first"].set()
    with pytest.raises(TierError) as caught:
        await opening
    assert caught.value is STOPPING
