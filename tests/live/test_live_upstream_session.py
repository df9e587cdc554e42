import asyncio

import pytest

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.frame import encode
from bridge.core.op import Op
from bridge.live.stream_end import EndReason
from fake_tier import House, query, turns, virtually


def house(**settings):
    made = House(**settings)
    for at, agg_id in enumerate("abcde"):
        made.tier.put(agg_id, at)
    return made


def now():
    return asyncio.get_running_loop().time()


DOWN = Failed(Kind.UNAVAILABLE, "down")


@virtually
async def test_a_tier_out_of_reach_is_tried_until_the_opening_is_up():
    async with house(open_timeout=10.0) as home:
        home.tier.down = DOWN
        began = now()
        with pytest.raises(Failed) as caught:
            await home.client().join(query())
        assert caught.value.kind is Kind.UNAVAILABLE
        assert now() - began <= 10.01
        assert len(home.tier.asked) > 3


@virtually
async def test_who_has_nothing_yet_stays_in_the_line_of_first_opens():
    async with house() as home:
        home.tier.refuse.extend([DOWN, DOWN])
        await home.joined(query())
        await asyncio.sleep(1)
        home.tier.sub.break_off(DOWN)
        await asyncio.sleep(1)
        assert home.tier.lines == [False, False, False, True]


@virtually
async def test_a_tier_that_never_starts_is_given_up_in_time():
    async with house(open_timeout=10.0) as home:
        home.tier.latency = 1e9
        began = now()
        with pytest.raises(Failed) as caught:
            await home.client().join(query())
        assert caught.value.kind is Kind.DEADLINE
        assert now() - began <= 10.01
        home.tier.latency = 0


@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.BAD_QUERY, Kind.QUOTA, Kind.BROKEN])
@virtually
async def test_what_another_try_would_not_mend_is_told_at_once(kind):
    async with house() as home:
        home.tier.refuse.append(Failed(kind, "no"))
        with pytest.raises(Failed) as caught:
            await home.client().join(query())
        assert caught.value.kind is kind
        assert len(home.tier.asked) == 1


@virtually
async def test_a_snapshot_not_complete_in_time_is_asked_for_anew():
    async with house(snapshot_timeout=10.0) as home:
        home.tier.mute = True
        client = home.client()
        await client.join(query())
        home.tier.mute = False
        began = now()
        while not client.frames:
            await asyncio.sleep(0.1)
        assert 10 <= now() - began < 11
        assert client.ids == "abc"
        assert home.counts.losses == ["snapshot_timeout"]


@virtually
async def test_a_reset_without_its_rows_is_asked_for_anew_after_the_same_patience():
    async with house() as home:
        client = await home.joined(query())
        home.tier.sub.send([encode(Op.RESET)])
        await turns()
        assert client.ids == "abc"
        await asyncio.sleep(11)
        assert home.counts.losses == ["snapshot_timeout"]
        assert client.ids == "abc"


@virtually
async def test_patience_cut_short_by_staleness_is_whole_again_for_the_next_snapshot():
    async with house(max_staleness=5.0) as home:
        await home.joined(query())
        home.tier.down = DOWN
        home.tier.sub.break_off(DOWN)
        await asyncio.sleep(3)
        home.tier.down = None
        await asyncio.sleep(1.9)
        while not home.tier.subs:
            await asyncio.sleep(0.01)
        await turns()
        asked = len(home.tier.asked)
        home.tier.sub.send([encode(Op.RESET)])
        await asyncio.sleep(6)
        assert len(home.tier.asked) == asked


@pytest.mark.parametrize("hangs", [False, True])
@virtually
async def test_a_window_without_its_tier_ends_when_it_is_too_old(hangs):
    async with house(max_staleness=60.0) as home:
        client = await home.joined(query(), v1=True)
        if hangs:
            home.tier.latency = 1e9
        else:
            home.tier.down = DOWN
        home.tier.sub.break_off(DOWN)
        began = now()
        end = await client.viewer.ended
        assert end.reason is EndReason.FAILED
        assert end.failure.row.close_code == 1013
        assert 60 <= now() - began <= 65.1
        assert client.resets == 1
        assert client.ids == "abc"


@virtually
async def test_a_tier_back_in_time_is_never_too_late():
    async with house(max_staleness=60.0) as home:
        client = await home.joined(query(), v1=True)
        for _ in range(3):
            home.tier.down = DOWN
            home.tier.sub.break_off(DOWN)
            await asyncio.sleep(45)
            home.tier.down = None
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
async def test_only_ok_and_refusals_for_good_end_a_stream_that_is_up(kind, over):
    async with house() as home:
        client = await home.joined(query())
        home.tier.sub.break_off(kind and Failed(kind, "over"))
        await asyncio.sleep(1)
        if over is None:
            assert client.end is None
            assert len(home.tier.asked) == 2
        else:
            assert client.end.reason is over
            assert len(home.tier.asked) == 1


@virtually
async def test_what_was_said_before_the_end_is_shown_before_the_end():
    async with house() as home:
        client = await home.joined(query())
        home.tier.drop("a")
        home.tier.sub.break_off(None)
        await client.viewer.ended
        assert client.ids == "bcd"


@virtually
async def test_a_snapshot_broken_off_at_any_row_is_never_shown():
    for row in range(4):
        async with house() as home:
            home.tier.chunk = 1
            client = await home.joined(query(), v1=True)
            shown = []
            client.checks.append(lambda c, shown=shown: shown.append(c.ids))
            home.tier.cuts.extend([row, row, row])
            home.tier.sub.break_off(DOWN)
            home.tier.drop("b")
            await asyncio.sleep(5)
            assert set(shown) == {"abc", "acd"} or set(shown) == {"acd"}
            assert len(home.tier.asked) == 5


@pytest.mark.parametrize("fault", ["lose", "late", "double"])
@virtually
async def test_a_batch_lost_late_or_doubled_never_leaves_a_gap(fault):
    async with house() as home:
        client = await home.joined(query(), v1=True)
        home.tier.sub.fault = fault
        home.tier.drop("a")
        home.tier.drop("b")
        await asyncio.sleep(1)
        client.whole()
        assert client.ids == "cde"
        assert client.resets == 1
        assert len(home.tier.asked) == (1 if fault == "double" else 2)


@virtually
async def test_a_heartbeat_tells_of_a_last_batch_that_was_lost():
    async with house() as home:
        client = await home.joined(query())
        home.tier.sub.fault = "lose"
        home.tier.drop("a")
        home.tier.sub.beat()
        await asyncio.sleep(1)
        assert client.ids == "bcd"


@virtually
async def test_a_tier_that_promised_heartbeats_and_falls_silent_is_given_up():
    async with house() as home:
        home.tier.heartbeat = 15.0
        await home.joined(query())
        for _ in range(5):
            await asyncio.sleep(15)
            home.tier.sub.beat()
        assert len(home.tier.asked) == 1
        await asyncio.sleep(44.9)
        assert not home.counts.losses
        await asyncio.sleep(0.2)
        assert home.counts.losses == ["silence"]
        await asyncio.sleep(1)
        assert len(home.tier.asked) == 2


@virtually
async def test_silence_and_impatience_at_the_same_moment_are_one_loss():
    async with house(snapshot_timeout=9.0) as home:
        home.tier.heartbeat, home.tier.mute = 3.0, True
        client = home.client()
        await client.join(query())
        home.tier.mute = False
        await asyncio.sleep(10)
        assert client.ids == "abc"
        assert len(home.counts.losses) == 1


@virtually
async def test_a_row_that_is_no_json_stays_off_the_screen_and_is_asked_for_ever_more_rarely():
    async with house() as home:
        client = await home.joined(query())
        bad = Batch((encode(Op.UPDATE, "a", 2, b"{", 0, 0),))
        times = []
        for _ in range(12):
            home.tier.sub.raw(bad)
            asked = len(home.tier.asked)
            began = now()
            while len(home.tier.asked) == asked or not home.tier.subs:
                await asyncio.sleep(0.05)
            await turns()
            times.append(now() - began)
        assert client.ids == "abc"
        assert set(home.counts.losses) == {"unreadable"}
        assert max(times) > 1


@virtually
async def test_trouble_after_a_long_calm_is_mended_quickly():
    async with house() as home:
        client = await home.joined(query())
        for _ in range(40):
            home.tier.sub.bare()
            await asyncio.sleep(0.2)
            assert len(home.tier.subs) == 1, "waits as if trouble had never ceased"
            await asyncio.sleep(60)
        assert client.resets == 1


@virtually
async def test_a_call_lost_after_a_long_calm_is_opened_quickly():
    async with house() as home:
        await home.joined(query())
        for _ in range(40):
            home.tier.sub.break_off(DOWN)
            await asyncio.sleep(0.2)
            assert len(home.tier.subs) == 1, "waits as if it had never been up"
            await asyncio.sleep(60)


@virtually
async def test_an_adapter_that_breaks_ends_its_viewers_honestly():
    async with house() as home:
        client = await home.joined(query())
        home.tier.sub.read = None
        home.tier.sub.raw("no batch at all")
        await turns()
        assert client.end.failure.kind is Kind.BROKEN
        assert home.hub.subscriptions == 0
        client.leave()
