import asyncio
import json

import pytest

from bridge.core.errors import Failed, Kind
from bridge.core.query_parser import parse_query
from bridge.live.backend import Identity
from bridge.live.backoff import Backoff
from bridge.live.stream_end import EndReason
from fake_tier import SOMEBODY, House, query, turns, virtually


def house(**settings):
    made = House(**settings)
    for at, agg_id in enumerate("abcde"):
        made.tier.put(agg_id, at)
    return made


def spellings():
    """One query, written as many ways as a client may."""
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
    async with house() as home:
        home.tier.latency = 0.5
        ways = list(spellings())
        clients = [home.client(v1=n % 2 == 0) for n in range(1000)]
        await asyncio.gather(*(c.join(ways[n % len(ways)]) for n, c in enumerate(clients)))
        await turns()
        assert len(home.tier.asked) == 1
        assert {c.ids for c in clients} == {"abc"}
        home.tier.drop("a")
        await turns()
        assert {c.ids for c in clients} == {"bcd"}
        for client in clients:
            client.leave()


@virtually
async def test_an_opening_that_fails_is_told_to_all_who_wait_and_remembered_by_nobody():
    async with house() as home:
        home.tier.latency = 0.5
        home.tier.refuse.append(Failed(Kind.NOT_FOUND, "no such entity"))
        joins = [asyncio.ensure_future(home.client().join(query())) for _ in range(100)]
        answers = await asyncio.gather(*joins, return_exceptions=True)
        assert {answer.kind for answer in answers} == {Kind.NOT_FOUND}
        assert len(home.tier.asked) == 1
        assert home.hub.subscriptions == 0
        client = await home.joined(query())
        assert client.ids == "abc"


# ---------------------------------------------------------------- what was too large

TOO_LARGE = Failed(Kind.TOO_LARGE, "a row is too large", field="row")


async def refused(home, asked, identity=SOMEBODY):
    with pytest.raises(Failed) as caught:
        await home.client().join(asked, identity)
    return caught.value


@virtually
async def test_a_query_that_is_too_large_is_asked_for_once_a_minute():
    async with house() as home:
        home.tier.refuse.extend([TOO_LARGE, TOO_LARGE])
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while loop.time() < begun + 59:
            failure = await refused(home, query())
            told = (failure.kind, failure.message, failure.field)
            assert told == (Kind.TOO_LARGE, "a row is too large", "row")
            await asyncio.sleep(2)
        assert len(home.tier.asked) == 1
        await asyncio.sleep(2)
        await refused(home, query())
        assert len(home.tier.asked) == 2
        await asyncio.sleep(61)
        assert (await home.joined(query())).ids == "abc", "the row has gone"


@virtually
async def test_a_row_that_grew_too_large_later_is_remembered_too():
    async with house() as home:
        client = await home.joined(query())
        home.tier.sub.break_off(TOO_LARGE)
        await turns()
        assert client.end.failure.kind is Kind.TOO_LARGE
        await refused(home, query())
        assert len(home.tier.asked) == 1


@virtually
async def test_another_window_or_scope_is_another_query():
    async with house() as home:
        home.tier.refuse.append(TOO_LARGE)
        await refused(home, query())
        await home.joined(query(limit=2))
        await home.joined(query(cursor=[1, "b"]))
        await home.joined(query(), Identity(scope=(("tenant", "other"),)))
        assert len(home.tier.asked) == 4


@virtually
async def test_a_window_that_is_too_large_is_not_moved_to():
    async with house() as home:
        home.tier.refuse.append(TOO_LARGE)
        await refused(home, query(cursor=[1, "b"]))
        client = await home.joined(query())
        with pytest.raises(Failed) as caught:
            await client.reanchor(query(cursor=[1, "b"]))
        assert caught.value.kind is Kind.TOO_LARGE
        assert client.ids == "abc"
        assert len(home.tier.asked) == 2
        assert not home.tier.reanchors


@virtually
async def test_a_window_too_large_to_be_slid_to_says_nothing_of_the_one_before():
    async with house() as home:
        client = await home.joined(query())
        home.tier.reanchor_latency = 1.0
        sliding = asyncio.ensure_future(client.reanchor(query(cursor=[1, "b"])))
        await turns()
        home.tier.sub.break_off(TOO_LARGE)
        await asyncio.wait([sliding])
        sliding.exception()
        assert (await home.joined(query())).ids == "abc"


@virtually
async def test_without_sharing_what_one_was_told_is_nobody_elses():
    async with house(sharing=False) as home:
        home.tier.refuse.append(TOO_LARGE)
        await refused(home, query())
        await home.joined(query())


@virtually
async def test_two_scopes_are_two_subscriptions():
    async with house() as home:
        for tenant in ("one", "two"):
            await home.joined(query(), Identity(scope=(("tenant", tenant),)))
        assert len(home.tier.asked) == 2


@virtually
async def test_scopes_are_pairs_and_not_joined_text():
    async with house() as home:
        await home.joined(query(), Identity(scope=(("a", "b"), ("c", "d"))))
        await home.joined(query(), Identity(scope=(("a", "bcd"),)))
        assert len(home.tier.asked) == 2


@virtually
async def test_kinds_of_number_are_kept_apart_in_keys():
    async with house() as home:
        for value in (1, 1.0, True):
            where = [{"column": "k", "op": "gte", "value": value}]
            await home.joined(query(where=where))
        assert len(home.tier.asked) == 3


@virtually
async def test_without_sharing_each_viewer_has_a_subscription_of_its_own():
    async with house(sharing=False) as home:
        clients = [await home.joined(query()) for _ in range(3)]
        assert len(home.tier.asked) == 3
        clients[0].leave()
        await turns()
        assert len(home.tier.subs) == 2


# ---------------------------------------------------------------- linger and leaving


@virtually
async def test_a_subscription_lingers_after_its_last_viewer_and_is_found_again():
    async with house(linger=5.0) as home:
        (await home.joined(query())).leave()
        await asyncio.sleep(4.9)
        again = await home.joined(query())
        assert again.ids == "abc"
        assert len(home.tier.asked) == 1
        again.leave()
        await asyncio.sleep(5.1)
        assert not home.tier.subs
        assert home.hub.subscriptions == 0


@virtually
async def test_without_a_linger_a_subscription_ends_with_its_last_viewer():
    async with house(linger=0) as home:
        (await home.joined(query())).leave()
        await turns()
        assert not home.tier.subs


@virtually
async def test_a_call_lost_while_nobody_holds_it_is_not_opened_on_behalf_of_who_left():
    async with house(linger=5.0) as home:
        (await home.joined(query(), Identity(metadata=(("authorization", "gone"),)))).leave()
        home.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(2)
        assert len(home.tier.asked) == 1
        assert home.hub.subscriptions == 0


@virtually
async def test_a_lost_call_is_opened_on_behalf_of_the_freshest_holder():
    def who(name):
        return Identity(metadata=(("authorization", name),))

    async with house() as home:
        clients = {name: await home.joined(query(), who(name)) for name in "xyz"}
        clients["z"].leave()
        home.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        assert [identity for _, identity in home.tier.asked] == [who("x"), who("y")]
        clients["y"].leave()
        home.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        assert home.tier.asked[-1][1] == who("x")


@virtually
async def test_a_credential_refused_midway_gives_way_to_another_holders():
    async with house() as home:
        names = [Identity(metadata=(("authorization", name),)) for name in "xy"]
        clients = [await home.joined(query(), name) for name in names]
        home.tier.sub.break_off(Failed(Kind.UNAUTHENTICATED, "expired"))
        await asyncio.sleep(1)
        home.tier.sub.break_off(Failed(Kind.UNAUTHENTICATED, "expired"))
        await asyncio.sleep(1)
        assert home.tier.asked[1][1] == names[1]
        assert [client.end.failure.kind for client in clients] == [Kind.UNAUTHENTICATED] * 2


@virtually
async def test_a_join_cancelled_at_any_moment_leaves_nothing():
    for moment in range(12):
        async with house(linger=0) as home:
            home.tier.latency = 0.001 if moment % 2 else 0
            client = home.client()
            joining = asyncio.ensure_future(client.join(query()))
            await turns(moment)
            joining.cancel()
            await asyncio.wait([joining])
            client.leave()
            await asyncio.sleep(0.1)
            assert home.hub.subscriptions == 0
            assert not home.tier.subs


@virtually
async def test_a_reanchor_cancelled_at_any_moment_leaves_a_window_that_lives():
    for how in ("in place", "snapshot first", "snapshot later", Failed(Kind.UNIMPLEMENTED, "")):
        for moment in range(14):
            async with house(linger=0) as home:
                home.tier.reanchor = how
                client = await home.joined(query(), v1=True)
                moving = asyncio.ensure_future(client.reanchor(query(cursor=(1, "b"))))
                await turns(moment)
                moving.cancel()
                await asyncio.wait([moving])
                await asyncio.sleep(2)
                await client.reanchor(query(2, cursor=(2, "c")))
                await asyncio.sleep(1)
                assert client.ids == "de"
                client.whole()
                assert len(home.tier.subs) == 1
                client.leave()


# ---------------------------------------------------------------- the end


@virtually
async def test_closing_the_hub_tells_viewers_that_it_drains_and_leaves_no_call():
    async with house() as home:
        client = await home.joined(query())
        waiting = asyncio.ensure_future(_fails(home))
        await turns()
        await home.hub.close()
        assert client.end.reason is EndReason.DRAINED
        assert client.end.failure.kind is Kind.DRAINING
        assert (await waiting).row.retryable
        with pytest.raises(Failed, match="draining"):
            await home.client().join(query())


async def _fails(home):
    home.tier.latency = 2.0
    with pytest.raises(Failed) as caught:
        await home.client().join(query(limit=4))
    return caught.value


@virtually
async def test_every_stream_ends_for_one_reason_that_is_counted_once():
    async with house() as home:
        clients = [await home.joined(query()) for _ in range(4)]
        for client, reason in zip(
            clients, (EndReason.CLIENT_GONE, EndReason.EXPIRED), strict=False
        ):
            client.leave(reason)
            client.leave(EndReason.FAILED)
        home.tier.sub.break_off(None)
        await turns()
        assert {c.end.reason for c in clients[2:]} == {EndReason.COMPLETED}
        for client in clients:
            client.leave()
        counted = sorted(reason.value for reason in home.counts.reasons)
        assert counted == ["client_gone", "completed", "completed", "expired"]
        assert home.counts.viewers == 0


@virtually
async def test_history_beyond_its_bounds_is_forgotten_the_longest_unused_first(monkeypatch):
    monkeypatch.setattr("bridge.live.history_limiter.HISTORY_BYTES", 40_000)
    async with house() as home:
        old = await home.joined(query(limit=2))
        new = await home.joined(query(limit=3))
        for n in range(300):
            home.tier.put("a", -1 - n % 2)
        await turns()
        subscriptions = {c: home.hub._by_viewer[c.viewer] for c in (old, new)}
        subscriptions[old].window.changed_at -= 100
        before = {c: s.window.log.size for c, s in subscriptions.items()}
        await asyncio.sleep(6)
        assert sum(s.window.log.size for s in subscriptions.values()) <= 40_000
        assert (
            before[old] - subscriptions[old].window.log.size
            > before[new] - subscriptions[new].window.log.size
        )
        home.tier.drop("a")
        await turns()
        assert old.rows == home.tier.window(old.query)


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
