"""A lost call and its resume: when a position is offered, and what each answer leads to."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind, StatusSource
from bridge.core.frame_encoding import RESET, encode
from bridge.core.op import Op
from bridge.core.sequencer import CallPosition, Heartbeat
from bridge.live.backend import ResumeOffer
from bridge.live.stream_end import EndReason
from fake_client import resume
from fake_tier import FakeTier, query
from live_bridge import LiveBridge
from virtual_loop import run_virtually, turns, virtually

DOWN = Failed(Kind.UNAVAILABLE, "down")
THERE = query(cursor=(1, "b"))
LIES = ("from before", "from beyond", "unnumbered", "in an older epoch", "renamed", "resets")


def make_bridge(grants="yes", **settings):
    made = LiveBridge(**settings)
    made.tier.grants = grants
    for at, agg_id in enumerate("abcde"):
        made.tier.put(agg_id, at)
    return made


def said(client, seen=0):
    return [(frame["op"], frame.get("agg_id", "")) for frame in client.frames[seen:]]


def states_told(client, seen=1):
    return [notice["type"] for notice in client.notices[seen:]]


async def lose(bridge, failure=DOWN, *, lost=0):
    """Break the call off, and wait until there is another."""
    asked = len(bridge.tier.asked)
    bridge.tier.sub.break_off(failure, lost=lost)
    while len(bridge.tier.asked) == asked or not bridge.tier.subs:
        await asyncio.sleep(0.01)
    await turns()


def offered(bridge):
    """Return the resume offer of the last call."""
    return bridge.tier.offers[-1]


# ---------------------------------------------------------------- granted


@virtually
async def test_a_granted_resume_is_told_as_live_without_a_frame():
    async with make_bridge() as bridge:
        core, v1 = await bridge.joined(query()), await bridge.joined(query(), v1=True)
        await lose(bridge)
        assert bridge.counts.granted == [True]
        assert bridge.counts.resets == ["subscribed"], "no window was taken"
        assert states_told(v1) == ["stale", "live"]
        assert len(core.frames) == len(v1.frames) == 4
        assert bridge.subscription.live
        bridge.tier.drop("a")
        await turns()
        assert core.ids == v1.ids == "bcd"


@virtually
async def test_what_was_missed_follows_and_nothing_else():
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.sub.hold()
        bridge.tier.drop("b")
        bridge.tier.put("c", -1)
        bridge.tier.sub.break_off(DOWN, lost=2)
        bridge.tier.drop("a")
        await asyncio.sleep(1)
        assert said(client, 4) == [
            *(("leave", "b"), ("enter", "d")),
            ("move", "c"),
            *(("leave", "a"), ("enter", "e")),
        ]
        client.check_rows()
        assert bridge.counts.repairs == []


@virtually
async def test_a_resume_offer_is_the_position_where_the_call_ended():
    async with make_bridge() as bridge:
        await bridge.joined(query())
        bridge.tier.sub.snapshot()
        bridge.tier.drop("b")
        await lose(bridge)
        # Two snapshots of reset and three rows, a leave and an enter; b was the sixth change.
        assert offered(bridge) == ResumeOffer(
            "sub-1", b"to sub-1", CallPosition(2, 10, f"{1_700_000_000_006}-0")
        )
        await lose(bridge)
        assert offered(bridge).position == CallPosition(2, 10, f"{1_700_000_000_006}-0")
        assert offered(bridge).route == b"to sub-2", "of the call that was lost"


CUT = Failed(Kind.BROKEN, "cut", source=StatusSource.STREAM)
PAGE = Failed(Kind.BROKEN, "a page", source=StatusSource.RESPONSE)


@virtually
async def test_after_a_derived_status_the_position_is_offered_again_and_again():
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.refuse.extend([PAGE, PAGE])
        await lose(bridge, CUT)
        await asyncio.sleep(10)
        assert bridge.tier.offers == [None, *[offered(bridge)] * 3]
        assert offered(bridge).id == "sub-1"
        await lose(bridge, CUT)
        assert bridge.counts.granted == [True, True]
        assert client.resets == 1
        assert client.end is None


@virtually
async def test_a_tier_that_breaks_off_at_an_offer_is_asked_without_one():
    async with make_bridge() as bridge:
        await bridge.joined(query())
        bridge.tier.refuse.append(CUT)
        await lose(bridge, CUT)
        await asyncio.sleep(10)
        first, offer, last = bridge.tier.offers
        assert (first, offer.id, last) == (None, "sub-1", None)


@virtually
async def test_positions_of_clients_outlive_a_resume():
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.put("a", 0)
        await turns()
        back = await bridge.client(v1=True, resume=resume(client), rows=client.rows).join(query())
        back.leave()
        await lose(bridge)
        bridge.tier.drop("b")
        await turns()
        again = await bridge.client(v1=True, resume=resume(client), rows=client.rows).join(query())
        await turns()
        assert client.ready["resumed"] == "snapshot"
        assert again.ready["resumed"] == "replay"
        assert again.ids == "acd"


@virtually
async def test_an_announced_loss_that_is_resumed_is_not_told():
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.sub.leaving = True
        await lose(bridge)
        await asyncio.sleep(5)
        assert states_told(client) == []


@virtually
async def test_no_viewer_ends_for_staleness_once_the_tier_has_resumed():
    async with make_bridge(max_staleness=5.0) as bridge:
        client = await bridge.joined(query())
        await lose(bridge)
        await asyncio.sleep(60)
        bridge.tier.sub.break_off(DOWN)
        await asyncio.sleep(4)
        assert client.end is None
        assert bridge.counts.losses == ["unavailable"] * 2, "and no snapshot was waited for"


@virtually
async def test_a_streamed_query_is_resumed_too():
    async with make_bridge() as bridge:
        client = await bridge.joined(query(mode=1))
        bridge.tier.sub.send([encode(Op.MATCH, "z", 1, b'{"v":1}', stream_id="9-0")])
        await lose(bridge)
        assert offered(bridge).position.stream_id == "9-0"
        bridge.tier.sub.send([encode(Op.UNMATCH, "z", 2, stream_id="9-1")])
        await turns()
        assert said(client, 4) == [("match", "z"), ("unmatch", "z")]


@virtually
async def test_a_reset_after_a_resume_is_a_reset_of_the_tiers_own():
    async with make_bridge("resets") as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.sub.hold()
        bridge.tier.drop("a")
        await lose(bridge, lost=1)
        assert bridge.counts.resets == ["subscribed", "tier"]
        assert client.resets == 1
        assert client.ids == "bcd"


@pytest.mark.parametrize("labelled", [True, False])
@virtually
async def test_a_resumed_call_can_be_reanchored(labelled):
    async with make_bridge() as bridge:
        bridge.tier.labelled = labelled
        client = await bridge.joined(query(), v1=True)
        await lose(bridge)
        await client.reanchor(THERE)
        await turns()
        assert client.ids == "cde"
        assert len(bridge.tier.asked) == 2, "in place"
        assert bridge.counts.resets == ["subscribed", "reanchor"]


# ---------------------------------------------------------------- whether to offer


def silent(bridge):
    """Let the tier send nothing, though it promised heartbeats."""


TROUBLES = {
    "gap": lambda bridge: bridge.tier.sub.raw(Batch(first_seq=99)),
    "unreadable": lambda bridge: bridge.tier.sub.send([encode(Op.UPDATE, "a", 2, b"{", 0, 0)]),
    "bare_reset": lambda bridge: bridge.tier.sub.bare(),
    "epoch_without_reset": lambda bridge: bridge.tier.sub.raw(
        Batch((encode(Op.UPDATE, "a", 2, b"{}", 0, 0),), epoch=9)
    ),
    "snapshot_timeout": lambda bridge: bridge.tier.sub.send([RESET]),
    "silence": silent,
}


@pytest.mark.parametrize("cause", TROUBLES)
@virtually
async def test_of_all_resyncs_only_silence_leaves_a_resume_offer(cause):
    async with make_bridge() as bridge:
        bridge.tier.heartbeat = 5.0 if cause == "silence" else 0.0
        await bridge.joined(query())
        TROUBLES[cause](bridge)
        while len(bridge.tier.asked) == 1:
            await asyncio.sleep(0.1)
        assert bridge.counts.losses == [cause]
        assert (offered(bridge) is not None) is (cause == "silence")


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
async def test_a_call_that_ends_is_resumed_unless_it_broke_on_a_message(kind, offers):
    async with make_bridge() as bridge:
        await bridge.joined(query())
        await lose(bridge, Failed(kind, "over"))
        assert (offered(bridge) is not None) is offers


@virtually
async def test_a_tier_that_does_not_number_is_offered_nothing():
    async with LiveBridge(tier=FakeTier(numbers=False)) as bridge:
        await bridge.joined(query())
        await lose(bridge)
        assert offered(bridge) is None


@virtually
async def test_a_tier_that_gave_its_subscription_no_id_is_offered_nothing():
    async with make_bridge() as bridge:
        await bridge.joined(query())
        bridge.tier.sub.id = ""
        await lose(bridge)
        assert offered(bridge) is None


@virtually
async def test_nothing_is_offered_while_a_snapshot_is_under_way():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.sub.send([RESET])
        await turns()
        await lose(bridge)
        assert offered(bridge) is None
        assert client.ids == "abc"


@pytest.mark.parametrize("grants", ["yes", ""])
@virtually
async def test_nor_then_is_a_position_that_the_window_has_left_behind(grants):
    async with make_bridge() as bridge:
        await bridge.joined(query())
        bridge.tier.sub.break_off(DOWN)
        bridge.tier.grants = grants
        await asyncio.sleep(1)
        assert offered(bridge) is not None
        bridge.tier.drop("a")
        bridge.tier.sub.send([RESET])
        await turns()
        await lose(bridge)
        assert offered(bridge) is None


@virtually
async def test_a_window_moved_elsewhere_is_not_offered_for_the_query_that_is_asked():
    """A tier that moves the window, and then refuses to."""
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        real = bridge.tier.sub.reanchor

        async def move_and_refuse(*how):
            bridge.tier.reanchor = "snapshot first"
            await real(*how)
            raise Failed(Kind.DENIED, "no")

        bridge.tier.sub.reanchor = move_and_refuse
        with pytest.raises(Failed):
            await client.reanchor(THERE)
        await lose(bridge)
        assert bridge.tier.asked[-1][0] == query()
        assert offered(bridge) is None
        assert client.ids == "abc"


GROUPS = {
    "splice": [encode(Op.LEAVE, "a", old_index=2, new_index=-1, stream_id="9-0")],
    "stale_version": [encode(Op.UPDATE, "a", 1, b'{"v":1}', 0, 0, stream_id="9-0")],
    "missing_leave": [encode(Op.ENTER, "x", 1, b'{"v":1}', -1, 0, stream_id="9-0")],
}


@pytest.mark.parametrize("repair", GROUPS)
@virtually
async def test_after_a_repair_of_unknown_cause_nothing_is_offered_until_a_snapshot(repair):
    async with make_bridge() as bridge:
        bridge.tier.put("a", 0)
        await bridge.joined(query())
        bridge.tier.sub.send(GROUPS[repair])
        await lose(bridge)
        assert bridge.counts.repairs == [repair]
        assert (offered(bridge) is not None) is (repair == "missing_leave")
        await lose(bridge)
        assert offered(bridge) is not None, "the window is complete again"


@virtually
async def test_a_reanchored_window_is_offered_for_its_own_query_once_it_is_complete():
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        await client.reanchor(THERE)
        await lose(bridge)
        assert bridge.tier.asked[-1][0] == THERE
        assert bridge.counts.granted == [True]
        bridge.tier.drop("c")
        await turns()
        assert client.ids == "de"


@pytest.mark.parametrize("how", ["no answer", "no label", "no window"])
@virtually
async def test_nothing_is_offered_of_a_call_that_may_have_moved_elsewhere(how):
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.labelled = how != "no label"
        bridge.tier.reanchor = {"no answer": "never", "no window": "snapshot later"}.get(
            how, "in place"
        )
        moving = asyncio.ensure_future(client.reanchor(THERE))
        await turns()
        await lose(bridge)
        assert offered(bridge) is None
        await asyncio.sleep(5)
        await moving
        assert client.ids == "cde"


# ---------------------------------------------------------------- the answers


@virtually
async def test_a_position_is_offered_until_a_tier_is_reached():
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.down = DOWN
        bridge.tier.sub.break_off(DOWN)
        await asyncio.sleep(20)
        bridge.tier.drop("a")
        bridge.tier.down = None
        await asyncio.sleep(11)
        assert len(bridge.tier.offers) > 4
        assert None not in bridge.tier.offers[1:]
        assert said(client, 4) == [("leave", "a"), ("enter", "d")]


@virtually
async def test_a_resumed_call_that_is_lost_at_once_is_resumed_again():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        for _ in range(5):
            await lose(bridge)
        assert bridge.counts.granted == [True] * 5
        assert client.resets == 1


@virtually
async def test_granting_and_ending_is_tried_ever_more_rarely_and_after_two_seconds_quickly():
    async with make_bridge() as bridge:
        await bridge.joined(query())
        began = asyncio.get_running_loop().time()
        for _ in range(25):
            await lose(bridge)
        assert asyncio.get_running_loop().time() - began > 20
        await asyncio.sleep(2)
        bridge.tier.sub.break_off(DOWN)
        await asyncio.sleep(0.2)
        assert bridge.tier.subs


@virtually
async def test_a_refused_position_is_offered_again_until_another_snapshot_is_complete():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.grants = ""
        bridge.tier.cuts.append(1)
        bridge.tier.sub.break_off(DOWN)
        await asyncio.sleep(2)
        first, second = bridge.tier.offers[1:]
        assert first == second
        assert bridge.counts.granted == [False, False]
        await lose(bridge)
        assert offered(bridge) != first
        assert client.resets == 1


@pytest.mark.parametrize("lie", ["from beyond", "unnumbered", "in an older epoch", "renamed"])
@virtually
async def test_a_tier_that_grants_what_it_does_not_keep_is_asked_without_an_offer(lie):
    async with make_bridge(lie) as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.sub.snapshot()  # the second epoch
        await turns()
        bridge.tier.sub.break_off(DOWN)
        bridge.tier.drop("a")
        bridge.tier.drop("b")
        await asyncio.sleep(2)
        assert [offer is not None for offer in bridge.tier.offers] == [False, True, False]
        # Of what has another name nothing is known, not even its epoch.
        cause = "epoch_without_reset" if lie == "renamed" else "gap"
        assert bridge.counts.losses == ["unavailable", cause]
        assert client.ids == "cde"
        assert client.resets == 1
        bridge.tier.grants = "yes"
        await lose(bridge)
        assert bridge.counts.granted[-1], "a complete window may be resumed again"


@virtually
async def test_a_heartbeat_tells_of_what_a_resumed_call_left_out():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.sub.hold()
        await lose(bridge)
        bridge.tier.sub.raw(Heartbeat(1, 4))
        await turns()
        assert len(bridge.tier.asked) == 2, "nothing beyond what was applied"
        bridge.tier.drop("a")
        bridge.tier.sub.fault = None
        bridge.tier.sub._queue.clear()
        bridge.tier.sub.raw(Heartbeat(1, 6))
        await asyncio.sleep(1)
        assert bridge.counts.losses == ["unavailable", "gap"]
        assert client.ids == "bcd"


@virtually
async def test_a_resumed_call_that_falls_silent_is_replaced_without_an_offer():
    async with make_bridge() as bridge:
        await bridge.joined(query())
        bridge.tier.heartbeat = 5.0
        await lose(bridge)
        assert bridge.counts.granted == [True]
        await asyncio.sleep(17)
        assert bridge.counts.losses == ["unavailable", "silence"]
        assert offered(bridge) is None


@virtually
async def test_a_resume_that_nobody_asked_for_is_no_snapshot():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.sub.bare()
        bridge.tier.grants = "unasked"
        await asyncio.sleep(0.2)
        assert not bridge.subscription.live
        bridge.tier.grants = ""
        bridge.tier.drop("a")
        await asyncio.sleep(1)
        assert bridge.counts.losses == ["bare_reset", "no_snapshot"]
        assert bridge.counts.granted == []
        assert client.ids == "bcd"


@pytest.mark.parametrize("kind", [Kind.NOT_FOUND, Kind.CONFLICT, Kind.BAD_QUERY, Kind.DENIED])
@virtually
async def test_a_permanent_refusal_counts_only_if_nothing_was_offered(kind):
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.refuse.append(Failed(kind, "no such subscription"))
        bridge.tier.sub.break_off(DOWN)
        await asyncio.sleep(1)
        assert client.end is None
        assert [offer is not None for offer in bridge.tier.offers] == [False, True, False]
        bridge.tier.refuse.extend([Failed(kind, "no"), Failed(kind, "no")])
        bridge.tier.sub.break_off(DOWN)
        await asyncio.sleep(1)
        assert client.end.reason is EndReason.FAILED
        assert client.end.failure.kind is kind


@pytest.mark.parametrize("kind", [Kind.DEADLINE, Kind.BROKEN])
@virtually
async def test_a_tier_that_fails_on_an_offer_is_asked_without_one(kind):
    async with make_bridge() as bridge:
        await bridge.joined(query())
        bridge.tier.refuse.append(Failed(kind, "stumbled"))
        bridge.tier.sub.break_off(DOWN)
        await asyncio.sleep(1)
        assert [offer is not None for offer in bridge.tier.offers] == [False, True, False]


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
        async with make_bridge() as bridge:
            tier = bridge.tier
            clients = [await bridge.joined(query(), v1=v1) for v1 in (False, True)]
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
                    client.check_rows()
                    assert client.rows == tier.window(query()), grants
                    assert client.resets == 1
                if all(grants == "yes" for grants, _, _ in losses):
                    # All that the tier ever sent, once, and in its order.
                    deltas = [delta for batch in tier.sub.sent for delta in batch.deltas]
                    ops = [(delta.op, delta.agg_id) for delta in deltas]
                    for client in clients:
                        assert [(Op[op.upper()], i) for op, i in said(client)] == ops
                    assert bridge.counts.resets == ["subscribed"]

    run_virtually(play)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.lists(CHANGES, max_size=4), st.integers(0, 6)), min_size=1, max_size=5)
)
def test_a_granted_resume_brings_exactly_what_is_missing(bursts):
    """As above, with a tier that grants truly, so that every example tests a granted resume."""

    async def play():
        async with make_bridge() as bridge:
            tier = bridge.tier
            clients = [await bridge.joined(query(), v1=v1) for v1 in (False, True)]
            for burst, lost in bursts:
                tier.sub.hold()
                for rows in burst:
                    tier.change(rows)
                await lose(bridge, lost=lost)
            deltas = [delta for batch in tier.sub.sent for delta in batch.deltas]
            for client in clients:
                assert said(client) == [(Op(d.op).name.lower(), d.agg_id) for d in deltas]
                client.check_rows()
                assert client.rows == tier.window(query())
            assert bridge.counts.granted == [True] * len(bursts)
            assert bridge.counts.resets == ["subscribed"]
            assert bridge.counts.repairs == []

    run_virtually(play)
