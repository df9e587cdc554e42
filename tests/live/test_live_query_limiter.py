"""QueryLimiter: what it counts is what the hub holds, whatever clients do, and nothing stays."""

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.errors import Failed, Kind
from bridge.live.backend import Identity
from bridge.live.query_limits import QueryLimits
from fake_tier import query
from live_bridge import LiveBridge
from virtual_loop import run_virtually, virtually

SCOPE = (("x-tenant", "t"),)
PEOPLE = [
    Identity(SCOPE, SCOPE, holder, address) for holder in ("h1", "h2") for address in ("a1", "a2")
]


def counts(hub):
    """Return what the limiter should have counted, from the hub's own maps."""
    queries, subscriptions = Counter(), Counter()
    for subscription in hub._all:
        identities = list(subscription.subscribers._identities.values())
        keys = {key for identity in identities for key in identity.counted_as}
        queries.update(keys or hub.limiter._lingering.get(subscription, ()))
        for identity in identities:
            subscriptions.update(identity.counted_as)
    return queries, subscriptions


def check(hub):
    limiter = hub.limiter
    assert (limiter._queries, limiter._subscriptions) == counts(hub)
    assert set(limiter._lingering) == set(hub._linger_timers)
    assert len(limiter._held) + limiter.lingering == hub.subscriptions


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), sharing=st.booleans())
def test_whatever_clients_do_the_counts_are_those_of_the_hub(seed, sharing):
    run_virtually(lambda: live(random.Random(seed), sharing=sharing))


async def live(rng, *, sharing):
    limits = QueryLimits(
        queries=6,
        lingering=3,
        queries_per_holder=4,
        queries_per_address=5,
        subscriptions_per_holder=6,
        subscriptions_per_address=7,
    )
    async with LiveBridge(linger=1.0, sharing=sharing, limits=limits) as bridge:
        bridge.tier.put("a", 1)
        clients = []
        for _ in range(60):
            await act(rng, bridge, clients)
            check(bridge.hub)
            assert bridge.hub.subscriptions <= 6
            assert bridge.hub.limiter.lingering <= 3
        for client in clients:
            client.leave()
        await asyncio.sleep(2)
        check(bridge.hub)
        limiter = bridge.hub.limiter
        assert not any((limiter._queries, limiter._subscriptions, limiter._held))


async def act(rng, bridge, clients):
    step, who = rng.random(), rng.choice(PEOPLE)
    try:
        if step < 0.45 or not clients:
            client = bridge.client(v1=True)
            await client.join(query(rng.randint(1, 8)), who)
            clients.append(client)
        elif step < 0.65:
            clients.pop(rng.randrange(len(clients))).leave()
        elif step < 0.8:
            bridge.hub.update_identity(rng.choice(clients).viewer, who)
        elif step < 0.95:
            client = rng.choice(clients)
            await client.reanchor(query(rng.randint(1, 8)), who)
        else:
            await asyncio.sleep(rng.random() * 2)
    except Failed as failure:
        if failure.kind not in (Kind.QUOTA, Kind.UNAVAILABLE):
            raise


@virtually
async def test_the_oldest_lingering_query_of_the_client_itself_makes_room():
    limits = QueryLimits(queries_per_holder=2)
    async with LiveBridge(linger=60, limits=limits) as bridge:
        other = await bridge.client().join(query(9), PEOPLE[2])
        other.leave()
        for limit in (1, 2, 3):
            client = await bridge.client().join(query(limit), PEOPLE[0])
            client.leave()
        left = {subscription.query.limit for subscription in bridge.hub._all}
        assert left == {9, 2, 3}
        held = [await bridge.client().join(query(limit), PEOPLE[0]) for limit in (4, 5)]
        with pytest.raises(Failed) as refused:
            await bridge.client().join(query(6), PEOPLE[0])
        assert refused.value.limit == "queries_per_identity"
        assert {subscription.query.limit for subscription in bridge.hub._all} == {9, 4, 5}
        for client in held:
            client.leave()


@virtually
async def test_nobody_is_counted_without_a_holder_and_an_address():
    limits = QueryLimits(queries_per_holder=1, queries_per_address=1, subscriptions_per_address=1)
    async with LiveBridge(limits=limits) as bridge:
        clients = [await bridge.client().join(query(limit), Identity()) for limit in (1, 2, 3)]
        assert not bridge.hub.limiter._queries
        for client in clients:
            client.leave()
