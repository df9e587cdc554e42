import asyncio
import json

import pytest

from bridge.core.errors import Failed, Kind
from bridge.core.query_parser import parse_query
from bridge.live.backend import Identity
from bridge.live.backoff import Backoff
from bridge.live.stream_end import EndReason
from fake_client import SOMEBODY
from fake_tier import query
from live_bridge import LiveBridge
from virtual_loop import turns, virtually


def make_bridge(**settings):
    made = LiveBridge(**settings)
    for at, agg_id in enumerate("abcde"):
        made.tier.put(agg_id, at)
    return made


def spellings():
    """Return one query, written in one of the ways that clients may."""
    members = [("entity", "flights"), ("sort", [{"column": "k"}]), ("limit", 3)]
    extras = [
        [],
        [("mode", 0)],
        [("cursor", None)],
        [("cursor", {})],
        [("cursor", {"values": []})],
        [("where", [])],
        [("unknown", 1)],
    ]
    for extra in extras:
        for case in (str.lower, str.upper, str.title):
            pairs = [(case(key), value) for key, value in members + extra]
            yield parse_query(json.dumps(dict(pairs)))
            yield parse_query(json.dumps(dict(reversed(pairs))))


# ---------------------------------------------------------------- sharing


@virtually
async def test_a_thousand_viewers_of_one_query_are_one_subscription_at_the_tier():
    async with make_bridge() as bridge:
        bridge.tier.latency = 0.5
        ways = list(spellings())
        clients = [bridge.client(v1=n % 2 == 0) for n in range(1000)]
        await asyncio.gather(*(c.join(ways[n % len(ways)]) for n, c in enumerate(clients)))
        await turns()
        assert len(bridge.tier.asked) == 1
        assert {c.ids for c in clients} == {"abc"}
        bridge.tier.drop("a")
        await turns()
        assert {c.ids for c in clients} == {"bcd"}
        for client in clients:
            client.leave()


@virtually
async def test_an_opening_that_fails_fails_for_all_who_wait_and_is_not_cached():
    async with make_bridge() as bridge:
        bridge.tier.latency = 0.5
        bridge.tier.refuse.append(Failed(Kind.NOT_FOUND, "no such entity"))
        joins = [asyncio.ensure_future(bridge.client().join(query())) for _ in range(100)]
        answers = await asyncio.gather(*joins, return_exceptions=True)
        assert {answer.kind for answer in answers} == {Kind.NOT_FOUND}
        assert len(bridge.tier.asked) == 1
        assert bridge.hub.subscriptions == 0
        client = await bridge.joined(query())
        assert client.ids == "abc"


# ---------------------------------------------------------------- what was too large

TOO_LARGE = Failed(Kind.TOO_LARGE, "a row is too large", field="row")


async def refused(bridge, asked, identity=SOMEBODY):
    with pytest.raises(Failed) as caught:
        await bridge.client().join(asked, identity)
    return caught.value


@virtually
async def test_a_query_that_is_too_large_is_asked_for_once_a_minute():
    async with make_bridge() as bridge:
        bridge.tier.refuse.extend([TOO_LARGE, TOO_LARGE])
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while loop.time() < begun + 59:
            failure = await refused(bridge, query())
            told = (failure.kind, failure.message, failure.field)
            assert told == (Kind.TOO_LARGE, "a row is too large", "row")
            await asyncio.sleep(2)
        assert len(bridge.tier.asked) == 1
        await asyncio.sleep(2)
        await refused(bridge, query())
        assert len(bridge.tier.asked) == 2
        await asyncio.sleep(61)
        assert (await bridge.joined(query())).ids == "abc", "the row has gone"


@virtually
async def test_a_row_that_grew_too_large_later_is_remembered_too():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.sub.break_off(TOO_LARGE)
        await turns()
        assert client.end.failure.kind is Kind.TOO_LARGE
        await refused(bridge, query())
        assert len(bridge.tier.asked) == 1


@virtually
async def test_another_window_or_scope_is_another_query():
    async with make_bridge() as bridge:
        bridge.tier.refuse.append(TOO_LARGE)
        await refused(bridge, query())
        await bridge.joined(query(limit=2))
        await bridge.joined(query(cursor=[1, "b"]))
        await bridge.joined(query(), Identity(scope=(("tenant", "other"),)))
        assert len(bridge.tier.asked) == 4


@virtually
async def test_a_reanchor_to_a_window_known_to_be_too_large_is_refused():
    async with make_bridge() as bridge:
        bridge.tier.refuse.append(TOO_LARGE)
        await refused(bridge, query(cursor=[1, "b"]))
        client = await bridge.joined(query())
        with pytest.raises(Failed) as caught:
            await client.reanchor(query(cursor=[1, "b"]))
        assert caught.value.kind is Kind.TOO_LARGE
        assert client.ids == "abc"
        assert len(bridge.tier.asked) == 2
        assert not bridge.tier.reanchors


@virtually
async def test_a_reanchor_in_place_that_is_too_large_does_not_cache_the_query_before():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.reanchor_latency = 1.0
        reanchoring = asyncio.ensure_future(client.reanchor(query(cursor=[1, "b"])))
        await turns()
        bridge.tier.sub.break_off(TOO_LARGE)
        await asyncio.wait([reanchoring])
        reanchoring.exception()
        assert (await bridge.joined(query())).ids == "abc"


@virtually
async def test_without_sharing_a_failure_is_not_cached_for_others():
    async with make_bridge(sharing=False) as bridge:
        bridge.tier.refuse.append(TOO_LARGE)
        await refused(bridge, query())
        await bridge.joined(query())


@virtually
async def test_two_scopes_are_two_subscriptions():
    async with make_bridge() as bridge:
        for tenant in ("one", "two"):
            await bridge.joined(query(), Identity(scope=(("tenant", tenant),)))
        assert len(bridge.tier.asked) == 2


@virtually
async def test_scopes_are_pairs_and_not_joined_text():
    async with make_bridge() as bridge:
        await bridge.joined(query(), Identity(scope=(("a", "b"), ("c", "d"))))
        await bridge.joined(query(), Identity(scope=(("a", "bcd"),)))
        assert len(bridge.tier.asked) == 2


@virtually
async def test_kinds_of_number_are_kept_apart_in_keys():
    async with make_bridge() as bridge:
        for value in (1, 1.0, True):
            where = [{"column": "k", "op": "gte", "value": value}]
            await bridge.joined(query(where=where))
        assert len(bridge.tier.asked) == 3


@virtually
async def test_without_sharing_each_viewer_has_a_subscription_of_its_own():
    async with make_bridge(sharing=False) as bridge:
        clients = [await bridge.joined(query()) for _ in range(3)]
        assert len(bridge.tier.asked) == 3
        clients[0].leave()
        await turns()
        assert len(bridge.tier.subs) == 2


# ---------------------------------------------------------------- linger and leaving


@virtually
async def test_a_subscription_lingers_after_its_last_viewer_and_is_found_again():
    async with make_bridge(linger=5.0) as bridge:
        (await bridge.joined(query())).leave()
        await asyncio.sleep(4.9)
        again = await bridge.joined(query())
        assert again.ids == "abc"
        assert len(bridge.tier.asked) == 1
        again.leave()
        await asyncio.sleep(5.1)
        assert not bridge.tier.subs
        assert bridge.hub.subscriptions == 0


@virtually
async def test_a_subscription_that_nobody_was_shown_does_not_linger():
    async with make_bridge(linger=5.0) as bridge:
        bridge.tier.mute = True  # started, and no window
        client = await bridge.joined(query())
        assert bridge.hub.subscriptions == 1
        client.leave()
        await turns()
        assert bridge.hub.subscriptions == 0
        assert not bridge.tier.subs


@virtually
async def test_without_a_linger_a_subscription_ends_with_its_last_viewer():
    async with make_bridge(linger=0) as bridge:
        (await bridge.joined(query())).leave()
        await turns()
        assert not bridge.tier.subs


@virtually
async def test_a_call_lost_during_the_linger_is_not_opened_again():
    async with make_bridge(linger=5.0) as bridge:
        (await bridge.joined(query(), Identity(metadata=(("authorization", "gone"),)))).leave()
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(2)
        assert len(bridge.tier.asked) == 1
        assert bridge.hub.subscriptions == 0


@virtually
async def test_a_lost_call_is_opened_with_the_latest_identity_of_a_subscriber():
    def who(name):
        return Identity(metadata=(("authorization", name),))

    async with make_bridge() as bridge:
        clients = {name: await bridge.joined(query(), who(name)) for name in "xyz"}
        clients["z"].leave()
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        assert [identity for _, identity in bridge.tier.asked] == [who("x"), who("y")]
        clients["y"].leave()
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        assert bridge.tier.asked[-1][1] == who("x")


@virtually
async def test_a_credential_refused_midway_is_replaced_by_another_subscribers():
    async with make_bridge() as bridge:
        names = [Identity(metadata=(("authorization", name),)) for name in "xy"]
        clients = [await bridge.joined(query(), name) for name in names]
        bridge.tier.sub.break_off(Failed(Kind.UNAUTHENTICATED, "expired"))
        await asyncio.sleep(1)
        bridge.tier.sub.break_off(Failed(Kind.UNAUTHENTICATED, "expired"))
        await asyncio.sleep(1)
        assert bridge.tier.asked[1][1] == names[1]
        assert [client.end.failure.kind for client in clients] == [Kind.UNAUTHENTICATED] * 2


@virtually
async def test_a_subscribe_cancelled_at_any_moment_leaves_nothing():
    for moment in range(12):
        async with make_bridge(linger=0) as bridge:
            bridge.tier.latency = 0.001 if moment % 2 else 0
            client = bridge.client()
            joining = asyncio.ensure_future(client.join(query()))
            await turns(moment)
            joining.cancel()
            await asyncio.wait([joining])
            client.leave()
            await asyncio.sleep(0.1)
            assert bridge.hub.subscriptions == 0
            assert not bridge.tier.subs


@virtually
async def test_a_reanchor_cancelled_at_any_moment_leaves_a_window_that_lives():
    for how in ("in place", "snapshot first", "snapshot later", Failed(Kind.UNIMPLEMENTED, "")):
        for moment in range(14):
            async with make_bridge(linger=0) as bridge:
                bridge.tier.reanchor = how
                client = await bridge.joined(query(), v1=True)
                moving = asyncio.ensure_future(client.reanchor(query(cursor=(1, "b"))))
                await turns(moment)
                moving.cancel()
                await asyncio.wait([moving])
                await asyncio.sleep(2)
                await client.reanchor(query(2, cursor=(2, "c")))
                await asyncio.sleep(1)
                assert client.ids == "de"
                client.check_rows()
                assert len(bridge.tier.subs) == 1
                client.leave()


# ---------------------------------------------------------------- the end


@virtually
async def test_closing_the_hub_ends_viewers_as_drained_and_leaves_no_call():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        waiting = asyncio.ensure_future(_fails(bridge))
        await turns()
        await bridge.hub.close()
        assert client.end.reason is EndReason.DRAINED
        assert client.end.failure.kind is Kind.DRAINING
        assert (await waiting).row.retryable
        with pytest.raises(Failed, match="draining"):
            await bridge.client().join(query())


async def _fails(bridge):
    bridge.tier.latency = 2.0
    with pytest.raises(Failed) as caught:
        await bridge.client().join(query(limit=4))
    return caught.value


@virtually
async def test_every_stream_ends_for_one_reason_that_is_counted_once():
    async with make_bridge() as bridge:
        clients = [await bridge.joined(query()) for _ in range(4)]
        for client, reason in zip(
            clients, (EndReason.CLIENT_GONE, EndReason.EXPIRED), strict=False
        ):
            client.leave(reason)
            client.leave(EndReason.FAILED)
        bridge.tier.sub.break_off(None)
        await turns()
        assert {c.end.reason for c in clients[2:]} == {EndReason.COMPLETED}
        for client in clients:
            client.leave()
        counted = sorted(reason.value for reason in bridge.counts.reasons)
        assert counted == ["client_gone", "completed", "completed", "expired"]
        assert bridge.counts.viewers == 0


@virtually
async def test_history_beyond_its_bound_is_dropped_from_the_longest_unchanged_log_first(
    monkeypatch,
):
    monkeypatch.setattr("bridge.live.history_limiter.HISTORY_BYTES", 40_000)
    async with make_bridge() as bridge:
        old = await bridge.joined(query(limit=2))
        new = await bridge.joined(query(limit=3))
        for n in range(300):
            bridge.tier.put("a", -1 - n % 2)
        await turns()
        subscriptions = {c: bridge.hub._by_viewer[c.viewer] for c in (old, new)}
        subscriptions[old].window.changed_at -= 100
        before = {c: s.window.log.size for c, s in subscriptions.items()}
        await asyncio.sleep(6)
        assert sum(s.window.log.size for s in subscriptions.values()) <= 40_000
        assert (
            before[old] - subscriptions[old].window.log.size
            > before[new] - subscriptions[new].window.log.size
        )
        bridge.tier.drop("a")
        await turns()
        assert old.rows == bridge.tier.window(old.query)


# ---------------------------------------------------------------- back-off


def test_backoff_stays_within_bounds_that_grow_to_a_limit_and_begins_anew():
    bounds = []
    backoff = Backoff(first=0.1, factor=2, most=1, uniform=lambda a, b: bounds.append((a, b)) or b)
    for _ in range(6):
        backoff.next()
    backoff.reset()
    backoff.next()
    assert bounds == [(0, b) for b in (0.1, 0.2, 0.4, 0.8, 1, 1, 0.1)]


def test_backoff_waits_are_spread():
    backoff = Backoff(first=1, factor=1, most=1)
    waits = [backoff.next() for _ in range(200)]
    assert all(0 <= wait <= 1 for wait in waits)
    assert max(waits) - min(waits) > 0.5
