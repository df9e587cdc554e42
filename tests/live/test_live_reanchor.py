import asyncio

import pytest

from bridge.core.errors import Failed, Kind
from fake_tier import query
from live_bridge import LiveBridge
from virtual_loop import turns, virtually

THERE = query(cursor=(1, "b"))


def make_bridge(**settings):
    made = LiveBridge(**settings)
    for at, agg_id in enumerate("abcdefgh"):
        made.tier.put(agg_id, at)
    return made


def ops(client, seen=0):
    return [frame["op"] for frame in client.frames[seen:]]


@pytest.mark.parametrize("how", ["in place", "snapshot first", "snapshot later"])
@pytest.mark.parametrize("labelled", [True, False])
@virtually
async def test_a_sole_viewer_is_reanchored_in_place(how, labelled):
    async with make_bridge() as bridge:
        bridge.tier.reanchor, bridge.tier.labelled = how, labelled
        core = await bridge.joined(query())
        await core.reanchor(THERE)
        await turns()
        assert len(bridge.tier.asked) == 1
        assert core.ids == "cde"
        assert ops(core, 4) == ["reset", "enter", "enter", "enter"]
        # Others find it under its new key, and only there.
        assert (await bridge.joined(THERE)).ids == "cde"
        assert len(bridge.tier.asked) == 1
        assert (await bridge.joined(query())).ids == "abc"
        assert len(bridge.tier.asked) == 2


@virtually
async def test_v1_is_told_a_reanchor_as_a_diff_and_ready():
    async with make_bridge() as bridge:
        v1 = await bridge.joined(query(), v1=True)
        await v1.reanchor(THERE)
        assert ops(v1, 4) == ["leave", "leave", "enter", "enter"]
        assert [n["type"] for n in v1.notices] == ["ready", "ready"]
        assert v1.ready["resumed"] == "diff"
        v1.check_rows()


@virtually
async def test_a_viewer_that_shares_its_window_changes_subscription_and_others_see_nothing_of_it():
    async with make_bridge() as bridge:
        stays, moves = await bridge.joined(query()), await bridge.joined(query(), v1=True)
        seen = len(stays.frames)
        await moves.reanchor(THERE)
        await turns()
        assert moves.ids == "cde"
        assert len(stays.frames) == seen
        assert bridge.tier.reanchors == []
        assert len(bridge.tier.asked) == 2


@pytest.mark.parametrize("kind", [Kind.BAD_QUERY, Kind.DENIED, Kind.CONFLICT])
@virtually
async def test_a_refused_reanchor_leaves_the_old_window_where_others_find_it(kind):
    async with make_bridge() as bridge:
        bridge.tier.reanchor = Failed(kind, "won't")
        client = await bridge.joined(query(), v1=True)
        with pytest.raises(Failed, match="won't"):
            await client.reanchor(THERE)
        bridge.tier.drop("a")
        await turns()
        assert client.ids == "bcd"
        assert (await bridge.joined(query())).ids == "bcd"
        assert len(bridge.tier.asked) == 1


@pytest.mark.parametrize("kind", [Kind.UNIMPLEMENTED, Kind.NOT_FOUND, Kind.UNAVAILABLE])
@virtually
async def test_if_the_tier_cannot_reanchor_a_new_subscription_takes_over(kind):
    async with make_bridge(linger=0) as bridge:
        bridge.tier.reanchor = Failed(kind, "can't")
        client = await bridge.joined(query(), v1=True)
        await client.reanchor(THERE)
        # Who comes at this very moment does not find the one that is being closed.
        late = await bridge.joined(query())
        assert (late.ids, late.end) == ("abc", None)
        late.leave()
        await turns()
        assert client.ids == "cde"
        assert client.resets == 1
        assert [sub.query for sub in bridge.tier.subs] == [THERE]


@pytest.mark.parametrize("how", ["never", "moves, then fails"])
@virtually
async def test_a_reanchor_without_an_answer_ends_at_the_new_window_all_the_same(how):
    async with make_bridge(linger=0) as bridge:
        bridge.tier.reanchor = how
        client = await bridge.joined(query(), v1=True)
        await client.reanchor(THERE)
        await turns()
        assert client.ids == "cde"
        assert len(bridge.tier.subs) == 1


@virtually
async def test_where_neither_way_works_the_old_window_stays_and_is_still_shared():
    async with make_bridge(open_timeout=1.0) as bridge:
        bridge.tier.reanchor = Failed(Kind.UNIMPLEMENTED, "can't")
        client = await bridge.joined(query(), v1=True)
        bridge.tier.down = Failed(Kind.UNAVAILABLE, "down")
        with pytest.raises(Failed):
            await client.reanchor(THERE)
        asked = len(bridge.tier.asked)
        bridge.tier.drop("a")
        await turns()
        assert client.ids == "bcd"
        assert (await bridge.joined(query())).ids == "bcd"
        assert len(bridge.tier.asked) == asked


@pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.BROKEN, Kind.DEADLINE])
@virtually
async def test_a_window_that_may_yet_move_is_shared_with_nobody(kind):
    async with make_bridge(open_timeout=1.0) as bridge:
        bridge.tier.reanchor = Failed(kind, "who knows")
        client = await bridge.joined(query(), v1=True)
        bridge.tier.down = Failed(Kind.UNAVAILABLE, "down")
        with pytest.raises(Failed):
            await client.reanchor(THERE)
        bridge.tier.down = None
        pending = bridge.hub._by_viewer[client.viewer]._reanchor_state.pending
        bridge.tier.sub._move(THERE, pending.request_id)
        await turns()
        late = await bridge.joined(query())
        assert late.ids == "abc"


@pytest.mark.parametrize("labelled", [True, False])
@virtually
async def test_a_newer_reanchor_replaces_one_under_way_and_no_window_is_shown_under_a_wrong_key(
    labelled,
):
    async with make_bridge(linger=0) as bridge:
        bridge.tier.labelled = labelled
        bridge.tier.reanchor = "snapshot later"
        client = await bridge.joined(query(), v1=True)
        await client.reanchor(query(1, cursor=(0, "a")))
        wishes = [query(n % 3 + 1, cursor=(n % 4, "a")) for n in range(6)]
        for q in wishes:
            bridge.tier.follow(q)
        shown = {tuple(bridge.tier.window(q)) for q in (*wishes, client.query)}
        client.checks.append(
            lambda c: shown.__contains__(tuple(c.rows)) or pytest.fail(str(c.rows))
        )
        task = None
        for q in wishes:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
            task = asyncio.ensure_future(client.reanchor(q))
            await asyncio.sleep(0.2)
        await task
        await asyncio.sleep(1)
        assert client.rows == bridge.tier.window(wishes[-1])
        late = await bridge.joined(wishes[-1])
        assert late.rows == client.rows
        assert len(bridge.tier.asked) <= (1 if labelled else len(wishes) + 1)


@virtually
async def test_a_call_lost_during_a_reanchor_is_opened_with_the_query_that_its_window_then_has():
    """The tier accepted for a call that is gone. That says nothing of the call that replaced it."""
    async with make_bridge(linger=0) as bridge:
        bridge.tier.labelled = False
        bridge.tier.reanchor_latency = 1.0
        client = await bridge.joined(query(), v1=True)
        moving = asyncio.ensure_future(client.reanchor(THERE))
        await turns()
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(2)
        assert moving.done(), "it need not wait for what can't come"
        for sub in bridge.tier.subs:
            sub.snapshot()  # a reset of the tier's own
        await moving
        await turns()
        assert client.ids == "cde"
        assert (await bridge.joined(THERE)).ids == "cde"


@pytest.mark.parametrize("labelled", [True, False])
@virtually
async def test_the_answer_to_a_reanchor_that_was_replaced_is_not_taken_for_the_newer_ones(labelled):
    async with make_bridge(linger=0) as bridge:
        bridge.tier.labelled, bridge.tier.reanchor = labelled, "snapshot later"
        client = await bridge.joined(query(1), v1=True)
        if labelled:
            await client.reanchor(query(1, cursor=(0, "a")))
        shown = []
        client.checks.append(lambda c: shown.append(c.ids))
        old = asyncio.ensure_future(client.reanchor(query(3, cursor=(2, "c"))))
        await turns()
        old.cancel()
        await asyncio.wait([old])
        await client.reanchor(query(2, cursor=(4, "e")))
        assert client.ids == "fg"
        assert (await bridge.joined(query(2, cursor=(4, "e")))).ids == "fg"
        await asyncio.sleep(2)
        assert client.ids == "fg"
        assert set(shown) <= {"def", "fg"}


@pytest.mark.parametrize("limit", [1, 3, 5])
@virtually
async def test_a_reset_of_the_tiers_own_during_a_refused_reanchor_changes_nothing(limit):
    async with make_bridge() as bridge:
        bridge.tier.labelled = False
        bridge.tier.reanchor, bridge.tier.reanchor_latency = Failed(Kind.BAD_QUERY, "won't"), 1.0
        bridge.tier.forgets = True
        client = await bridge.joined(query(), v1=True)
        moving = asyncio.ensure_future(client.reanchor(query(limit, cursor=(1, "b"))))
        await turns()
        bridge.tier.sub.snapshot()
        await turns()
        bridge.tier.put("0", -1)
        await asyncio.wait([moving])
        assert moving.exception().kind is Kind.BAD_QUERY
        await turns()
        assert client.ids == "0ab"
        assert (await bridge.joined(query())).ids == "0ab"
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        assert [q for q, _ in bridge.tier.asked] == [query()] * 2


@virtually
async def test_a_reanchor_without_an_answer_is_over_with_the_call_it_was_asked_of():
    async with make_bridge(open_timeout=1.0, linger=0) as bridge:
        bridge.tier.labelled, bridge.tier.reanchor = False, "never"
        client = await bridge.joined(query(), v1=True)
        moving = asyncio.ensure_future(client.reanchor(THERE))
        await asyncio.sleep(1)
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        bridge.tier.down = Failed(Kind.UNAVAILABLE, "down")
        await asyncio.wait([moving])
        moving.exception()
        bridge.tier.down = None
        bridge.tier.sub.snapshot()  # a reset of the tier's own
        await turns()
        bridge.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        assert client.ids == "abc"


@virtually
async def test_a_larger_window_after_a_reanchor_survives_a_reset_of_the_tiers_own():
    async with make_bridge() as bridge:
        bridge.tier.most = 5
        client = await bridge.joined(query(1), v1=True)
        await client.reanchor(query(4))
        bridge.tier.sub.snapshot(reanchor=False)
        await turns()
        assert client.ids == "abcd"


@virtually
async def test_the_tiers_own_limit_counts_even_when_told_after_the_window():
    async with make_bridge() as bridge:
        bridge.tier.most, bridge.tier.reanchor, bridge.tier.forgets = 3, "snapshot first", True
        client = await bridge.joined(query(1, cursor=(6, "g")), v1=True)
        await client.reanchor(query(5))
        bridge.tier.put("0", -1)
        await turns()
        assert client.ids == "0ab"
        assert "missing_leave" in bridge.counts.repairs


@virtually
async def test_a_reanchor_to_where_it_is_gives_core_the_window_anew_and_v1_its_ready():
    async with make_bridge() as bridge:
        core, v1 = await bridge.joined(query()), await bridge.joined(query(), v1=True)
        await core.reanchor(query())
        await v1.reanchor(query())
        assert ops(core, 4) == ["reset", "enter", "enter", "enter"]
        assert len(v1.frames) == 4
        assert [n["type"] for n in v1.notices] == ["ready", "ready"]
        assert len(bridge.tier.asked) == 1


@virtually
async def test_a_viewer_behind_is_moved_too_and_lands_on_the_new_window():
    for v1 in (True, False):
        async with make_bridge(stall=0) as bridge:
            client = await bridge.joined(query(), v1=v1)
            await bridge.joined(query())
            client.sink.taking = False
            for n in range(1500):
                bridge.tier.put("a", -1 - n % 2)
                await turns(2)
            await client.reanchor(THERE)
            bridge.tier.drop("c")
            await turns()
            client.sink.take()
            await asyncio.sleep(0.1)
            client.check_rows()
            assert client.ids == "def"
            assert client.resets == (1 if v1 else 2)


@virtually
async def test_leaving_during_a_reanchor_leaves_nothing():
    for how in ("in place", "never", Failed(Kind.UNIMPLEMENTED, "can't")):
        async with make_bridge(linger=0) as bridge:
            bridge.tier.reanchor, bridge.tier.reanchor_latency = how, 0.5
            client = await bridge.joined(query())
            moving = asyncio.ensure_future(client.reanchor(THERE))
            await turns()
            client.leave()
            await asyncio.wait([moving])
            moving.exception()
            await asyncio.sleep(20)
            assert bridge.hub.subscriptions == 0
            assert not bridge.tier.subs
