import asyncio

import pytest

from bridge.core.errors import Failed, Kind
from fake_tier import House, query, turns, virtually

THERE = query(cursor=(1, "b"))


def house(**settings):
    made = House(**settings)
    for at, agg_id in enumerate("abcdefgh"):
        made.tier.put(agg_id, at)
    return made


def ops(client, seen=0):
    return [frame["op"] for frame in client.frames[seen:]]


@pytest.mark.parametrize("how", ["in place", "snapshot first", "snapshot later"])
@pytest.mark.parametrize("labelled", [True, False])
@virtually
async def test_a_sole_viewer_slides_in_place(how, labelled):
    async with house() as home:
        home.tier.reanchor, home.tier.labelled = how, labelled
        core = await home.joined(query())
        await core.reanchor(THERE)
        await turns()
        assert len(home.tier.asked) == 1
        assert core.ids == "cde"
        assert ops(core, 4) == ["reset", "enter", "enter", "enter"]
        # Others find it under its new key, and only there.
        assert (await home.joined(THERE)).ids == "cde"
        assert len(home.tier.asked) == 1
        assert (await home.joined(query())).ids == "abc"
        assert len(home.tier.asked) == 2


@virtually
async def test_v1_is_told_a_reanchor_as_a_diff_and_ready():
    async with house() as home:
        v1 = await home.joined(query(), v1=True)
        await v1.reanchor(THERE)
        assert ops(v1, 4) == ["leave", "leave", "enter", "enter"]
        assert [n["type"] for n in v1.notices] == ["ready", "ready"]
        assert v1.ready["resumed"] == "diff"
        v1.whole()


@virtually
async def test_a_sharer_moves_and_the_other_sees_nothing_of_it():
    async with house() as home:
        stays, moves = await home.joined(query()), await home.joined(query(), v1=True)
        seen = len(stays.frames)
        await moves.reanchor(THERE)
        await turns()
        assert moves.ids == "cde"
        assert len(stays.frames) == seen
        assert home.tier.reanchors == []
        assert len(home.tier.asked) == 2


@pytest.mark.parametrize("kind", [Kind.BAD_QUERY, Kind.DENIED, Kind.CONFLICT])
@virtually
async def test_a_refused_reanchor_leaves_the_old_window_where_others_find_it(kind):
    async with house() as home:
        home.tier.reanchor = Failed(kind, "won't")
        client = await home.joined(query(), v1=True)
        with pytest.raises(Failed, match="won't"):
            await client.reanchor(THERE)
        home.tier.drop("a")
        await turns()
        assert client.ids == "bcd"
        assert (await home.joined(query())).ids == "bcd"
        assert len(home.tier.asked) == 1


@pytest.mark.parametrize("kind", [Kind.UNIMPLEMENTED, Kind.NOT_FOUND, Kind.UNAVAILABLE])
@virtually
async def test_where_the_tier_cannot_slide_a_new_subscription_takes_over(kind):
    async with house(linger=0) as home:
        home.tier.reanchor = Failed(kind, "can't")
        client = await home.joined(query(), v1=True)
        await client.reanchor(THERE)
        # Who comes at this very moment does not find the one that is being closed.
        late = await home.joined(query())
        assert (late.ids, late.end) == ("abc", None)
        late.leave()
        await turns()
        assert client.ids == "cde"
        assert client.resets == 1
        assert [sub.query for sub in home.tier.subs] == [THERE]


@pytest.mark.parametrize("how", ["never", "moves, then fails"])
@virtually
async def test_a_reanchor_without_an_answer_ends_at_the_new_window_all_the_same(how):
    async with house(linger=0) as home:
        home.tier.reanchor = how
        client = await home.joined(query(), v1=True)
        await client.reanchor(THERE)
        await turns()
        assert client.ids == "cde"
        assert len(home.tier.subs) == 1


@virtually
async def test_where_neither_way_works_the_old_window_stays_and_is_still_shared():
    async with house(open_timeout=1.0) as home:
        home.tier.reanchor = Failed(Kind.UNIMPLEMENTED, "can't")
        client = await home.joined(query(), v1=True)
        home.tier.down = Failed(Kind.UNAVAILABLE, "down")
        with pytest.raises(Failed):
            await client.reanchor(THERE)
        asked = len(home.tier.asked)
        home.tier.drop("a")
        await turns()
        assert client.ids == "bcd"
        assert (await home.joined(query())).ids == "bcd"
        assert len(home.tier.asked) == asked


@pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.BROKEN, Kind.DEADLINE])
@virtually
async def test_a_window_that_may_yet_move_is_shared_with_nobody(kind):
    async with house(open_timeout=1.0) as home:
        home.tier.reanchor = Failed(kind, "who knows")
        client = await home.joined(query(), v1=True)
        home.tier.down = Failed(Kind.UNAVAILABLE, "down")
        with pytest.raises(Failed):
            await client.reanchor(THERE)
        home.tier.down = None
        pending = home.hub._by_viewer[client.viewer]._reanchor_state.pending
        home.tier.sub._slide(THERE, pending.request_id)
        await turns()
        late = await home.joined(query())
        assert late.ids == "abc"


@pytest.mark.parametrize("labelled", [True, False])
@virtually
async def test_a_newer_reanchor_replaces_one_under_way_and_no_window_is_shown_under_a_wrong_key(
    labelled,
):
    async with house(linger=0) as home:
        home.tier.labelled = labelled
        home.tier.reanchor = "snapshot later"
        client = await home.joined(query(), v1=True)
        await client.reanchor(query(1, cursor=(0, "a")))
        wishes = [query(n % 3 + 1, cursor=(n % 4, "a")) for n in range(6)]
        for q in wishes:
            home.tier.follow(q)
        shown = {tuple(home.tier.window(q)) for q in (*wishes, client.query)}
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
        assert client.rows == home.tier.window(wishes[-1])
        late = await home.joined(wishes[-1])
        assert late.rows == client.rows
        assert len(home.tier.asked) <= (1 if labelled else len(wishes) + 1)


@virtually
async def test_a_call_lost_during_a_reanchor_is_opened_at_the_anchor_that_its_window_then_has():
    """The tier's yes to a call that is gone says nothing of the call that took its place."""
    async with house(linger=0) as home:
        home.tier.labelled = False
        home.tier.reanchor_latency = 1.0
        client = await home.joined(query(), v1=True)
        moving = asyncio.ensure_future(client.reanchor(THERE))
        await turns()
        home.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(2)
        assert moving.done(), "it need not wait for what can't come"
        for sub in home.tier.subs:
            sub.snapshot()  # a reset of the tier's own
        await moving
        await turns()
        assert client.ids == "cde"
        assert (await home.joined(THERE)).ids == "cde"


@pytest.mark.parametrize("labelled", [True, False])
@virtually
async def test_the_answer_to_a_reanchor_that_was_replaced_is_not_taken_for_the_newer_ones(labelled):
    async with house(linger=0) as home:
        home.tier.labelled, home.tier.reanchor = labelled, "snapshot later"
        client = await home.joined(query(1), v1=True)
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
        assert (await home.joined(query(2, cursor=(4, "e")))).ids == "fg"
        await asyncio.sleep(2)
        assert client.ids == "fg"
        assert set(shown) <= {"def", "fg"}


@pytest.mark.parametrize("limit", [1, 3, 5])
@virtually
async def test_a_reset_of_the_tiers_own_during_a_refused_reanchor_changes_nothing(limit):
    async with house() as home:
        home.tier.labelled = False
        home.tier.reanchor, home.tier.reanchor_latency = Failed(Kind.BAD_QUERY, "won't"), 1.0
        home.tier.forgets = True
        client = await home.joined(query(), v1=True)
        moving = asyncio.ensure_future(client.reanchor(query(limit, cursor=(1, "b"))))
        await turns()
        home.tier.sub.snapshot()
        await turns()
        home.tier.put("0", -1)
        await asyncio.wait([moving])
        assert moving.exception().kind is Kind.BAD_QUERY
        await turns()
        assert client.ids == "0ab"
        assert (await home.joined(query())).ids == "0ab"
        home.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        assert [q for q, _ in home.tier.asked] == [query()] * 2


@virtually
async def test_a_reanchor_without_an_answer_is_over_with_the_call_it_was_asked_of():
    async with house(open_timeout=1.0, linger=0) as home:
        home.tier.labelled, home.tier.reanchor = False, "never"
        client = await home.joined(query(), v1=True)
        moving = asyncio.ensure_future(client.reanchor(THERE))
        await asyncio.sleep(1)
        home.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        home.tier.down = Failed(Kind.UNAVAILABLE, "down")
        await asyncio.wait([moving])
        moving.exception()
        home.tier.down = None
        home.tier.sub.snapshot()  # a reset of the tier's own
        await turns()
        home.tier.sub.break_off(Failed(Kind.UNAVAILABLE, "lost"))
        await asyncio.sleep(1)
        assert client.ids == "abc"


@virtually
async def test_a_larger_window_slid_to_survives_a_reset_of_the_tiers_own():
    async with house() as home:
        home.tier.most = 5
        client = await home.joined(query(1), v1=True)
        await client.reanchor(query(4))
        home.tier.sub.snapshot(reanchor=False)
        await turns()
        assert client.ids == "abcd"


@virtually
async def test_the_tiers_own_limit_counts_even_when_told_after_the_window():
    async with house() as home:
        home.tier.most, home.tier.reanchor, home.tier.forgets = 3, "snapshot first", True
        client = await home.joined(query(1, cursor=(6, "g")), v1=True)
        await client.reanchor(query(5))
        home.tier.put("0", -1)
        await turns()
        assert client.ids == "0ab"
        assert "missing_leave" in home.counts.repairs


@virtually
async def test_a_reanchor_to_where_it_is_gives_core_the_window_anew_and_v1_its_ready():
    async with house() as home:
        core, v1 = await home.joined(query()), await home.joined(query(), v1=True)
        await core.reanchor(query())
        await v1.reanchor(query())
        assert ops(core, 4) == ["reset", "enter", "enter", "enter"]
        assert len(v1.frames) == 4
        assert [n["type"] for n in v1.notices] == ["ready", "ready"]
        assert len(home.tier.asked) == 1


@virtually
async def test_a_viewer_behind_is_moved_too_and_lands_on_the_new_window():
    for v1 in (True, False):
        async with house(stall=0) as home:
            client = await home.joined(query(), v1=v1)
            await home.joined(query())
            client.sink.taking = False
            for n in range(1500):
                home.tier.put("a", -1 - n % 2)
                await turns(2)
            await client.reanchor(THERE)
            home.tier.drop("c")
            await turns()
            client.sink.take()
            await asyncio.sleep(0.1)
            client.whole()
            assert client.ids == "def"
            assert client.resets == (1 if v1 else 2)


@virtually
async def test_leaving_during_a_reanchor_leaves_nothing():
    for how in ("in place", "never", Failed(Kind.UNIMPLEMENTED, "can't")):
        async with house(linger=0) as home:
            home.tier.reanchor, home.tier.reanchor_latency = how, 0.5
            client = await home.joined(query())
            moving = asyncio.ensure_future(client.reanchor(THERE))
            await turns()
            client.leave()
            await asyncio.wait([moving])
            moving.exception()
            await asyncio.sleep(20)
            assert home.hub.subscriptions == 0
            assert not home.tier.subs
