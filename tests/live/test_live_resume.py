"""A call lost and gone on from: when a position is offered, and what comes of each answer."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.frame import RESET, encode
from bridge.core.op import Op
from bridge.core.sequencer import CallPosition, Heartbeat
from bridge.live.backend import ResumeOffer
from bridge.live.stream_end import EndReason
from fake_tier import FakeTier, House, query, resume, run_virtually, turns, virtually

DOWN = Failed(Kind.UNAVAILABLE, "down")
THERE = query(cursor=(1, "b"))
LIES = ("from before", "from beyond", "unnumbered", "in an older epoch", "renamed", "resets")


def house(grants="yes", **settings):
    made = House(**settings)
    made.tier.grants = grants
    for at, agg_id in enumerate("abcde"):
        made.tier.put(agg_id, at)
    return made


def said(client, seen=0):
    return [(frame["op"], frame.get("agg_id", "")) for frame in client.frames[seen:]]


def states_told(client, seen=1):
    return [notice["type"] for notice in client.notices[seen:]]


async def lose(home, failure=DOWN, *, lost=0):
    """Break the call off, and wait until there is another."""
    asked = len(home.tier.asked)
    home.tier.sub.break_off(failure, lost=lost)
    while len(home.tier.asked) == asked or not home.tier.subs:
        await asyncio.sleep(0.01)
    await turns()


def offered(home):
    """What the last call was asked to go on from."""
    return home.tier.offers[-1]


# ---------------------------------------------------------------- granted


@virtually
async def test_a_granted_position_is_told_as_live_without_a_frame():
    async with house() as home:
        core, v1 = await home.joined(query()), await home.joined(query(), v1=True)
        await lose(home)
        assert home.counts.granted == [True]
        assert home.counts.resets == ["subscribed"], "no window was taken"
        assert states_told(v1) == ["stale", "live"]
        assert len(core.frames) == len(v1.frames) == 4
        assert home.subscription.live
        home.tier.drop("a")
        await turns()
        assert core.ids == v1.ids == "bcd"


@virtually
async def test_what_was_missed_follows_and_nothing_else():
    async with house() as home:
        client = await home.joined(query(), v1=True)
        home.tier.sub.hold()
        home.tier.drop("b")
        home.tier.put("c", -1)
        home.tier.sub.break_off(DOWN, lost=2)
        home.tier.drop("a")
        await asyncio.sleep(1)
        assert said(client, 4) == [
            *(("leave", "b"), ("enter", "d")),
            ("move", "c"),
            *(("leave", "a"), ("enter", "e")),
        ]
        client.whole()
        assert home.counts.repairs == []


@virtually
async def test_what_is_offered_is_where_the_call_was_left():
    async with house() as home:
        await home.joined(query())
        home.tier.sub.snapshot()
        home.tier.drop("b")
        await lose(home)
        # Two snapshots of reset and three rows, a leave and an enter; b was the sixth change.
        assert offered(home) == ResumeOffer(
            "sub-1", b"to sub-1", CallPosition(2, 10, f"{1_700_000_000_006}-0")
        )
        await lose(home)
        assert offered(home).position == CallPosition(2, 10, f"{1_700_000_000_006}-0")
        assert offered(home).route == b"to sub-2", "of the call that was lost"


@virtually
async def test_positions_of_clients_outlive_a_resume():
    async with house() as home:
        client = await home.joined(query(), v1=True)
        home.tier.put("a", 0)
        await turns()
        back = await home.client(v1=True, resume=resume(client), rows=client.rows).join(query())
        back.leave()
        await lose(home)
        home.tier.drop("b")
        await turns()
        again = await home.client(v1=True, resume=resume(client), rows=client.rows).join(query())
        await turns()
        assert client.ready["resumed"] == "snapshot"
        assert again.ready["resumed"] == "replay"
        assert again.ids == "acd"


@virtually
async def test_a_loss_that_was_announced_and_gone_on_from_is_told_to_nobody():
    async with house() as home:
        client = await home.joined(query(), v1=True)
        home.tier.sub.leaving = True
        await lose(home)
        await asyncio.sleep(5)
        assert states_told(client) == []


@virtually
async def test_nobody_is_let_go_for_staleness_once_the_tier_goes_on():
    async with house(max_staleness=5.0) as home:
        client = await home.joined(query())
        await lose(home)
        await asyncio.sleep(60)
        home.tier.sub.break_off(DOWN)
        await asyncio.sleep(4)
        assert client.end is None
        assert home.counts.losses == ["unavailable"] * 2, "and no snapshot was waited for"


@virtually
async def test_a_streamed_set_goes_on_too():
    async with house() as home:
        client = await home.joined(query(mode=1))
        home.tier.sub.send([encode(Op.MATCH, "z", 1, b'{"v":1}', stream_id="9-0")])
        await lose(home)
        assert offered(home).position.stream_id == "9-0"
        home.tier.sub.send([encode(Op.UNMATCH, "z", 2, stream_id="9-1")])
        await turns()
        assert said(client, 4) == [("match", "z"), ("unmatch", "z")]


@virtually
async def test_a_reset_after_a_resume_is_a_reset_of_the_tiers_own():
    async with house("resets") as home:
        client = await home.joined(query(), v1=True)
        home.tier.sub.hold()
        home.tier.drop("a")
        await lose(home, lost=1)
        assert home.counts.resets == ["subscribed", "tier"]
        assert client.resets == 1
        assert client.ids == "bcd"


@pytest.mark.parametrize("labelled", [True, False])
@virtually
async def test_a_call_that_goes_on_can_be_slid(labelled):
    async with house() as home:
        home.tier.labelled = labelled
        client = await home.joined(query(), v1=True)
        await lose(home)
        await client.reanchor(THERE)
        await turns()
        assert client.ids == "cde"
        assert len(home.tier.asked) == 2, "in place"
        assert home.counts.resets == ["subscribed", "reanchor"]


# ---------------------------------------------------------------- whether to offer


def silent(home):
    """Say nothing; the tier has promised to."""


TROUBLES = {
    "gap": lambda home: home.tier.sub.raw(Batch(first_seq=99)),
    "unreadable": lambda home: home.tier.sub.send([encode(Op.UPDATE, "a", 2, b"{", 0, 0)]),
    "bare_reset": lambda home: home.tier.sub.bare(),
    "epoch_without_reset": lambda home: home.tier.sub.raw(
        Batch((encode(Op.UPDATE, "a", 2, b"{}", 0, 0),), epoch=9)
    ),
    "snapshot_timeout": lambda home: home.tier.sub.send([RESET]),
    "silence": silent,
}


@pytest.mark.parametrize("cause", TROUBLES)
@virtually
async def test_of_what_makes_a_call_useless_only_silence_leaves_something_to_offer(cause):
    async with house() as home:
        home.tier.heartbeat = 5.0 if cause == "silence" else 0.0
        await home.joined(query())
        TROUBLES[cause](home)
        while len(home.tier.asked) == 1:
            await asyncio.sleep(0.1)
        assert home.counts.losses == [cause]
        assert (offered(home) is not None) is (cause == "silence")


@pytest.mark.parametrize(
    ("kind", "offers"),
    [
        (Kind.UNAVAILABLE, True),
        (Kind.DEADLINE, True),
        (Kind.QUOTA, True),
        (Kind.BROKEN, False),
    ],
)
@virtually
async def test_a_call_that_ends_is_gone_on_from_unless_it_broke_on_a_message(kind, offers):
    async with house() as home:
        await home.joined(query())
        await lose(home, Failed(kind, "over"))
        assert (offered(home) is not None) is offers


@virtually
async def test_a_tier_that_does_not_number_is_offered_nothing():
    async with House(tier=FakeTier(numbers=False)) as home:
        await home.joined(query())
        await lose(home)
        assert offered(home) is None


@virtually
async def test_a_tier_that_gave_its_subscription_no_name_is_offered_nothing():
    async with house() as home:
        await home.joined(query())
        home.tier.sub.id = ""
        await lose(home)
        assert offered(home) is None


@virtually
async def test_nothing_is_offered_while_a_snapshot_is_under_way():
    async with house() as home:
        client = await home.joined(query())
        home.tier.sub.send([RESET])
        await turns()
        await lose(home)
        assert offered(home) is None
        assert client.ids == "abc"


@pytest.mark.parametrize("grants", ["yes", ""])
@virtually
async def test_nor_then_is_a_position_that_the_window_has_left_behind(grants):
    async with house() as home:
        await home.joined(query())
        home.tier.sub.break_off(DOWN)
        home.tier.grants = grants
        await asyncio.sleep(1)
        assert offered(home) is not None
        home.tier.drop("a")
        home.tier.sub.send([RESET])
        await turns()
        await lose(home)
        assert offered(home) is None


@virtually
async def test_a_window_slid_elsewhere_is_not_offered_for_the_query_that_is_asked():
    """A tier that slides the window and then says that it will not."""
    async with house() as home:
        client = await home.joined(query(), v1=True)
        real = home.tier.sub.reanchor

        async def slide_and_refuse(*how):
            home.tier.reanchor = "snapshot first"
            await real(*how)
            raise Failed(Kind.DENIED, "no")

        home.tier.sub.reanchor = slide_and_refuse
        with pytest.raises(Failed):
            await client.reanchor(THERE)
        await lose(home)
        assert home.tier.asked[-1][0] == query()
        assert offered(home) is None
        assert client.ids == "abc"


GROUPS = {
    "splice": [encode(Op.LEAVE, "a", old_index=2, new_index=-1, stream_id="9-0")],
    "stale_version": [encode(Op.UPDATE, "a", 1, b'{"v":1}', 0, 0, stream_id="9-0")],
    "missing_leave": [encode(Op.ENTER, "x", 1, b'{"v":1}', -1, 0, stream_id="9-0")],
}


@pytest.mark.parametrize("repair", GROUPS)
@virtually
async def test_a_repair_of_which_the_cause_is_unknown_casts_doubt_until_a_whole_window(repair):
    async with house() as home:
        home.tier.put("a", 0)
        await home.joined(query())
        home.tier.sub.send(GROUPS[repair])
        await lose(home)
        assert home.counts.repairs == [repair]
        assert (offered(home) is not None) is (repair == "missing_leave")
        await lose(home)
        assert offered(home) is not None, "the window is whole again"


@virtually
async def test_a_slid_window_is_offered_at_its_own_anchor_once_it_is_whole():
    async with house() as home:
        client = await home.joined(query(), v1=True)
        await client.reanchor(THERE)
        await lose(home)
        assert home.tier.asked[-1][0] == THERE
        assert home.counts.granted == [True]
        home.tier.drop("c")
        await turns()
        assert client.ids == "de"


@pytest.mark.parametrize("how", ["no answer", "no label", "no window"])
@virtually
async def test_nothing_is_offered_of_a_call_that_may_have_slid_elsewhere(how):
    async with house() as home:
        client = await home.joined(query(), v1=True)
        home.tier.labelled = how != "no label"
        home.tier.reanchor = {"no answer": "never", "no window": "snapshot later"}.get(
            how, "in place"
        )
        moving = asyncio.ensure_future(client.reanchor(THERE))
        await turns()
        await lose(home)
        assert offered(home) is None
        await asyncio.sleep(5)
        await moving
        assert client.ids == "cde"


# ---------------------------------------------------------------- the answers


@virtually
async def test_a_position_is_offered_until_a_tier_is_reached():
    async with house() as home:
        client = await home.joined(query(), v1=True)
        home.tier.down = DOWN
        home.tier.sub.break_off(DOWN)
        await asyncio.sleep(20)
        home.tier.drop("a")
        home.tier.down = None
        await asyncio.sleep(11)
        assert len(home.tier.offers) > 4
        assert None not in home.tier.offers[1:]
        assert said(client, 4) == [("leave", "a"), ("enter", "d")]


@virtually
async def test_a_resumed_call_that_is_lost_at_once_is_gone_on_from_again():
    async with house() as home:
        client = await home.joined(query())
        for _ in range(5):
            await lose(home)
        assert home.counts.granted == [True] * 5
        assert client.resets == 1


@virtually
async def test_granting_and_ending_is_tried_ever_more_rarely_and_after_two_seconds_quickly():
    async with house() as home:
        await home.joined(query())
        began = asyncio.get_running_loop().time()
        for _ in range(25):
            await lose(home)
        assert asyncio.get_running_loop().time() - began > 20
        await asyncio.sleep(2)
        home.tier.sub.break_off(DOWN)
        await asyncio.sleep(0.2)
        assert home.tier.subs


@virtually
async def test_a_refused_position_is_offered_again_while_no_other_window_is_whole():
    async with house() as home:
        client = await home.joined(query())
        home.tier.grants = ""
        home.tier.cuts.append(1)
        home.tier.sub.break_off(DOWN)
        await asyncio.sleep(2)
        first, second = home.tier.offers[1:]
        assert first == second
        assert home.counts.granted == [False, False]
        await lose(home)
        assert offered(home) != first
        assert client.resets == 1


@pytest.mark.parametrize("lie", ["from beyond", "unnumbered", "in an older epoch", "renamed"])
@virtually
async def test_a_tier_that_grants_what_it_does_not_keep_is_asked_plainly(lie):
    async with house(lie) as home:
        client = await home.joined(query(), v1=True)
        home.tier.sub.snapshot()  # the second epoch
        await turns()
        home.tier.sub.break_off(DOWN)
        home.tier.drop("a")
        home.tier.drop("b")
        await asyncio.sleep(2)
        assert [offer is not None for offer in home.tier.offers] == [False, True, False]
        # Of what has another name nothing is known, not even its epoch.
        cause = "epoch_without_reset" if lie == "renamed" else "gap"
        assert home.counts.losses == ["unavailable", cause]
        assert client.ids == "cde"
        assert client.resets == 1
        home.tier.grants = "yes"
        await lose(home)
        assert home.counts.granted[-1], "a whole window may be gone on from again"


@virtually
async def test_a_heartbeat_tells_of_what_a_resumed_call_left_out():
    async with house() as home:
        client = await home.joined(query())
        home.tier.sub.hold()
        await lose(home)
        home.tier.sub.raw(Heartbeat(1, 4))
        await turns()
        assert len(home.tier.asked) == 2, "nothing beyond what was applied"
        home.tier.drop("a")
        home.tier.sub.fault = None
        home.tier.sub._queue.clear()
        home.tier.sub.raw(Heartbeat(1, 6))
        await asyncio.sleep(1)
        assert home.counts.losses == ["unavailable", "gap"]
        assert client.ids == "bcd"


@virtually
async def test_a_call_that_goes_on_and_falls_silent_is_asked_for_plainly():
    async with house() as home:
        await home.joined(query())
        home.tier.heartbeat = 5.0
        await lose(home)
        assert home.counts.granted == [True]
        await asyncio.sleep(17)
        assert home.counts.losses == ["unavailable", "silence"]
        assert offered(home) is None


@virtually
async def test_a_resume_that_nobody_asked_for_is_no_snapshot():
    async with house() as home:
        client = await home.joined(query())
        home.tier.sub.bare()
        home.tier.grants = "unasked"
        await asyncio.sleep(0.2)
        assert not home.subscription.live
        home.tier.grants = ""
        home.tier.drop("a")
        await asyncio.sleep(1)
        assert home.counts.losses == ["bare_reset", "no_snapshot"]
        assert home.counts.granted == []
        assert client.ids == "bcd"


@pytest.mark.parametrize("kind", [Kind.NOT_FOUND, Kind.CONFLICT, Kind.BAD_QUERY, Kind.DENIED])
@virtually
async def test_a_refusal_for_good_may_be_of_the_position_and_is_believed_only_without(kind):
    async with house() as home:
        client = await home.joined(query())
        home.tier.refuse.append(Failed(kind, "no such subscription"))
        home.tier.sub.break_off(DOWN)
        await asyncio.sleep(1)
        assert client.end is None
        assert [offer is not None for offer in home.tier.offers] == [False, True, False]
        home.tier.refuse.extend([Failed(kind, "no"), Failed(kind, "no")])
        home.tier.sub.break_off(DOWN)
        await asyncio.sleep(1)
        assert client.end.reason is EndReason.FAILED
        assert client.end.failure.kind is kind


@pytest.mark.parametrize("kind", [Kind.DEADLINE, Kind.BROKEN])
@virtually
async def test_a_tier_that_stumbles_over_a_position_is_asked_plainly(kind):
    async with house() as home:
        await home.joined(query())
        home.tier.refuse.append(Failed(kind, "stumbled"))
        home.tier.sub.break_off(DOWN)
        await asyncio.sleep(1)
        assert [offer is not None for offer in home.tier.offers] == [False, True, False]


# ---------------------------------------------------------------- any history, cut anywhere

CHANGES = st.lists(
    st.tuples(st.sampled_from("abcdefg"), st.none() | st.integers(0, 6)), min_size=1, max_size=3
)
LOSS = st.tuples(
    st.sampled_from(("yes", "", *LIES)), st.integers(0, 4), st.lists(CHANGES, max_size=3)
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(CHANGES, max_size=4), min_size=1, max_size=4), st.data())
def test_wherever_a_call_is_cut_and_whatever_is_answered_clients_land_on_the_tiers_window(
    bursts, data
):
    losses = [data.draw(LOSS) for _ in bursts]

    async def play():
        async with house() as home:
            tier = home.tier
            clients = [await home.joined(query(), v1=v1) for v1 in (False, True)]
            for burst, (grants, lost, missed) in zip(bursts, losses, strict=True):
                tier.sub.hold()
                for rows in burst:
                    tier.change(rows)
                tier.grants = "yes"  # whatever it will say: the sub is kept
                sub = tier.sub
                sub.break_off(DOWN, lost=lost)
                tier.grants = grants
                for rows in missed:
                    tier.change(rows)
                while not tier.subs:
                    await asyncio.sleep(0.01)
                await turns()
                for each in tier.subs:
                    each.heal()
                await asyncio.sleep(30)
                for client in clients:
                    client.whole()
                    assert client.rows == tier.window(query()), grants
                    assert client.resets == 1
                if all(grants == "yes" for grants, _, _ in losses):
                    # All that the tier ever sent, once, and in its order.
                    deltas = [delta for batch in tier.sub.sent for delta in batch.deltas]
                    ops = [(delta.op, delta.agg_id) for delta in deltas]
                    for client in clients:
                        assert [(Op[op.upper()], i) for op, i in said(client)] == ops
                    assert home.counts.resets == ["subscribed"]

    run_virtually(play)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.lists(CHANGES, max_size=4), st.integers(0, 6)), min_size=1, max_size=5)
)
def test_a_granted_resume_brings_exactly_what_is_missing(bursts):
    """As above with an honest tier, so that every example says something of it."""

    async def play():
        async with house() as home:
            tier = home.tier
            clients = [await home.joined(query(), v1=v1) for v1 in (False, True)]
            for burst, lost in bursts:
                tier.sub.hold()
                for rows in burst:
                    tier.change(rows)
                await lose(home, lost=lost)
            deltas = [delta for batch in tier.sub.sent for delta in batch.deltas]
            for client in clients:
                assert said(client) == [(Op(d.op).name.lower(), d.agg_id) for d in deltas]
                client.whole()
                assert client.rows == tier.window(query())
            assert home.counts.granted == [True] * len(bursts)
            assert home.counts.resets == ["subscribed"]
            assert home.counts.repairs == []

    run_virtually(play)
