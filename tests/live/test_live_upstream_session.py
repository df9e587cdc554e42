import asyncio

import pytest

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.frame_encoding import encode
from bridge.core.op import Op
from bridge.live.stream_end import EndReason
from fake_tier import query
from live_bridge import LiveBridge
from virtual_loop import turns, virtually


def make_bridge(**settings):
    made = LiveBridge(**settings)
    for at, agg_id in enumerate("abcde"):
        made.tier.put(agg_id, at)
    return made


def now():
    return asyncio.get_running_loop().time()


DOWN = Failed(Kind.UNAVAILABLE, "down")


@virtually
async def test_a_tier_out_of_reach_is_tried_until_the_opening_is_up():
    async with make_bridge(open_timeout=10.0) as bridge:
        bridge.tier.down = DOWN
        began = now()
        with pytest.raises(Failed) as caught:
            await bridge.client().join(query())
        assert caught.value.kind is Kind.UNAVAILABLE
        assert now() - began <= 10.01
        assert len(bridge.tier.asked) > 3


@virtually
async def test_before_its_first_start_a_session_opens_calls_as_first_calls():
    async with make_bridge() as bridge:
        bridge.tier.refuse.extend([DOWN, DOWN])
        await bridge.joined(query())
        await asyncio.sleep(1)
        bridge.tier.sub.break_off(DOWN)
        await asyncio.sleep(1)
        assert bridge.tier.lines == [False, False, False, True]


@virtually
async def test_a_tier_that_never_starts_is_given_up_in_time():
    async with make_bridge(open_timeout=10.0) as bridge:
        bridge.tier.latency = 1e9
        began = now()
        with pytest.raises(Failed) as caught:
            await bridge.client().join(query())
        assert caught.value.kind is Kind.DEADLINE
        assert now() - began <= 10.01
        bridge.tier.latency = 0


@pytest.mark.parametrize(("with_window", "opened"), [(True, 1), (False, 2)])
@virtually
async def test_a_snapshot_that_takes_7_s_is_waited_for_where_it_is_the_tiers_first_word(
    with_window, opened
):
    async with make_bridge(open_timeout=10.0) as bridge:
        bridge.tier.opens_with_window = with_window
        bridge.tier.latency = 7
        joining = asyncio.create_task(bridge.client().join(query()))
        await asyncio.sleep(7.1)
        assert joining.done() is with_window
        assert len(bridge.tier.asked) == opened
        bridge.tier.latency = 0
        await asyncio.wait([joining])
        joining.exception()


@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.BAD_QUERY, Kind.QUOTA, Kind.BROKEN])
@virtually
async def test_a_failure_that_a_retry_cannot_change_is_told_at_once(kind):
    async with make_bridge() as bridge:
        bridge.tier.refuse.append(Failed(kind, "no"))
        with pytest.raises(Failed) as caught:
            await bridge.client().join(query())
        assert caught.value.kind is kind
        assert len(bridge.tier.asked) == 1


@virtually
async def test_a_snapshot_not_complete_in_time_is_requested_again():
    async with make_bridge(snapshot_timeout=10.0) as bridge:
        bridge.tier.mute = True
        client = bridge.client()
        await client.join(query())
        bridge.tier.mute = False
        began = now()
        while not client.frames:
            await asyncio.sleep(0.1)
        assert 10 <= now() - began < 11
        assert client.ids == "abc"
        assert bridge.counts.losses == ["snapshot_timeout"]


@virtually
async def test_a_reset_without_its_rows_is_requested_again_after_the_same_timeout():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.sub.send([encode(Op.RESET)])
        await turns()
        assert client.ids == "abc"
        await asyncio.sleep(11)
        assert bridge.counts.losses == ["snapshot_timeout"]
        assert client.ids == "abc"


@virtually
async def test_a_snapshot_timeout_cut_short_by_staleness_is_full_again_for_the_next_snapshot():
    async with make_bridge(max_staleness=5.0) as bridge:
        await bridge.joined(query())
        bridge.tier.down = DOWN
        bridge.tier.sub.break_off(DOWN)
        await asyncio.sleep(3)
        bridge.tier.down = None
        await asyncio.sleep(1.9)
        while not bridge.tier.subs:
            await asyncio.sleep(0.01)
        await turns()
        asked = len(bridge.tier.asked)
        bridge.tier.sub.send([encode(Op.RESET)])
        await asyncio.sleep(6)
        assert len(bridge.tier.asked) == asked


@pytest.mark.parametrize("hangs", [False, True])
@virtually
async def test_a_window_without_its_tier_ends_when_it_is_too_old(hangs):
    async with make_bridge(max_staleness=60.0) as bridge:
        client = await bridge.joined(query(), v1=True)
        if hangs:
            bridge.tier.latency = 1e9
        else:
            bridge.tier.down = DOWN
        bridge.tier.sub.break_off(DOWN)
        began = now()
        end = await client.viewer.ended
        assert end.reason is EndReason.FAILED
        assert end.failure.row.close_code == 1013
        assert 60 <= now() - began <= 65.1
        assert client.resets == 1
        assert client.ids == "abc"


@virtually
async def test_a_tier_back_in_time_is_never_too_late():
    async with make_bridge(max_staleness=60.0) as bridge:
        client = await bridge.joined(query(), v1=True)
        for _ in range(3):
            bridge.tier.down = DOWN
            bridge.tier.sub.break_off(DOWN)
            await asyncio.sleep(45)
            bridge.tier.down = None
            await asyncio.sleep(11)
        assert client.end is None
        assert client.resets == 1
        assert client.notices[-1]["type"] == "live"


@pytest.mark.parametrize(
    ("kind", "over"),
    [
        (None, EndReason.COMPLETED),
        (Kind.DENIED, EndReason.FAILED),
        (Kind.NOT_FOUND, EndReason.FAILED),
        (Kind.BAD_QUERY, EndReason.FAILED),
        (Kind.UNIMPLEMENTED, EndReason.FAILED),
        (Kind.UNAVAILABLE, None),
        (Kind.BROKEN, None),
        (Kind.QUOTA, None),
        (Kind.DEADLINE, None),
    ],
)
@virtually
async def test_only_ok_and_permanent_refusals_end_a_stream_that_is_up(kind, over):
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.sub.break_off(kind and Failed(kind, "over"))
        await asyncio.sleep(1)
        if over is None:
            assert client.end is None
            assert len(bridge.tier.asked) == 2
        else:
            assert client.end.reason is over
            assert len(bridge.tier.asked) == 1


@virtually
async def test_what_was_sent_before_the_end_is_shown_before_the_end():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.drop("a")
        bridge.tier.sub.break_off(None)
        await client.viewer.ended
        assert client.ids == "bcd"


@virtually
async def test_a_snapshot_broken_off_at_any_row_is_never_shown():
    for row in range(4):
        async with make_bridge() as bridge:
            bridge.tier.chunk = 1
            client = await bridge.joined(query(), v1=True)
            shown = []
            client.checks.append(lambda c, shown=shown: shown.append(c.ids))
            bridge.tier.cuts.extend([row, row, row])
            bridge.tier.sub.break_off(DOWN)
            bridge.tier.drop("b")
            await asyncio.sleep(5)
            assert set(shown) == {"abc", "acd"} or set(shown) == {"acd"}
            assert len(bridge.tier.asked) == 5


@pytest.mark.parametrize("fault", ["lose", "late", "double"])
@virtually
async def test_a_batch_lost_late_or_doubled_never_leaves_a_gap(fault):
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.sub.fault = fault
        bridge.tier.drop("a")
        bridge.tier.drop("b")
        await asyncio.sleep(1)
        client.check_rows()
        assert client.ids == "cde"
        assert client.resets == 1
        assert len(bridge.tier.asked) == (1 if fault == "double" else 2)


@virtually
async def test_a_heartbeat_tells_of_a_last_batch_that_was_lost():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.sub.fault = "lose"
        bridge.tier.drop("a")
        bridge.tier.sub.beat()
        await asyncio.sleep(1)
        assert client.ids == "bcd"


@virtually
async def test_a_tier_that_promised_heartbeats_and_falls_silent_is_given_up():
    async with make_bridge() as bridge:
        bridge.tier.heartbeat = 15.0
        await bridge.joined(query())
        for _ in range(5):
            await asyncio.sleep(15)
            bridge.tier.sub.beat()
        assert len(bridge.tier.asked) == 1
        await asyncio.sleep(44.9)
        assert not bridge.counts.losses
        await asyncio.sleep(0.2)
        assert bridge.counts.losses == ["silence"]
        await asyncio.sleep(1)
        assert len(bridge.tier.asked) == 2


@virtually
async def test_silence_and_snapshot_timeout_at_the_same_moment_are_one_loss():
    async with make_bridge(snapshot_timeout=9.0) as bridge:
        bridge.tier.heartbeat, bridge.tier.mute = 3.0, True
        client = bridge.client()
        await client.join(query())
        bridge.tier.mute = False
        await asyncio.sleep(10)
        assert client.ids == "abc"
        assert len(bridge.counts.losses) == 1


@virtually
async def test_a_row_that_is_no_json_is_never_shown_and_is_requested_ever_more_rarely():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bad = Batch((encode(Op.UPDATE, "a", 2, b"{", 0, 0),))
        times = []
        for _ in range(12):
            bridge.tier.sub.raw(bad)
            asked = len(bridge.tier.asked)
            began = now()
            while len(bridge.tier.asked) == asked or not bridge.tier.subs:
                await asyncio.sleep(0.05)
            await turns()
            times.append(now() - began)
        assert client.ids == "abc"
        assert set(bridge.counts.losses) == {"unreadable"}
        assert max(times) > 1


@virtually
async def test_a_resync_after_a_long_stable_time_is_retried_quickly():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        for _ in range(40):
            bridge.tier.sub.bare()
            await asyncio.sleep(0.2)
            assert len(bridge.tier.subs) == 1, "waits as if trouble had never ceased"
            await asyncio.sleep(60)
        assert client.resets == 1


@virtually
async def test_a_call_lost_after_a_long_stable_time_is_opened_quickly():
    async with make_bridge() as bridge:
        await bridge.joined(query())
        for _ in range(40):
            bridge.tier.sub.break_off(DOWN)
            await asyncio.sleep(0.2)
            assert len(bridge.tier.subs) == 1, "waits as if it had never been up"
            await asyncio.sleep(60)


@virtually
async def test_an_adapter_that_raises_ends_its_viewers_as_failed():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.sub.read = None
        bridge.tier.sub.raw("no batch at all")
        await turns()
        assert client.end.failure.kind is Kind.BROKEN
        assert bridge.hub.subscriptions == 0
        client.leave()
