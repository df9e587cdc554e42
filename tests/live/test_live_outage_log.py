"""What the log says of lost calls and of a tier's faults: causes first, counts after."""

import asyncio
import logging

import pytest

from bridge.core.errors import Failed, Kind, StatusSource
from bridge.core.frame_encoding import encode
from bridge.core.op import Op
from bridge.live.fault_log import BURST, INTERVAL, FaultLog
from fake_tier import FakeTier, query
from live_bridge import LiveBridge
from virtual_loop import turns, virtually

REFUSED = "connection refused: nothing listens on that port"


def make_bridge(**settings):
    made = LiveBridge(**settings)
    for at, agg_id in enumerate("abcde"):
        made.tier.put(agg_id, at)
    return made


def lines(caplog, name):
    return [r.getMessage() for r in caplog.records if r.name == f"bridge.live.{name}"]


def down(replica="tier:1"):
    failed = Failed(Kind.UNAVAILABLE, "out of reach", cause=REFUSED)
    failed.replica = replica
    return failed


@virtually
async def test_an_outage_of_60_s_with_500_subscriptions_is_under_50_lines_the_cause_in_the_first(
    caplog,
):
    caplog.set_level(logging.INFO, "bridge")
    async with make_bridge(max_staleness=0.0) as bridge:
        clients = [await bridge.joined(query(limit=number)) for number in range(1, 501)]
        bridge.tier.down = down()
        for sub in list(bridge.tier.subs):
            sub.break_off(down())
        await asyncio.sleep(60)
        bridge.tier.down = None
        await asyncio.sleep(30)
        assert all(client.rows == bridge.tier.window(query(500)) for client in clients[10:])
        told = [r.getMessage() for r in caplog.records]
    assert len(told) < 50, told
    assert told[0] == f"tier tier:1: subscription to flights lost: {REFUSED}"
    assert "500 subscriptions lost, since 10 s" in told[1]
    assert "calls of 500 subscriptions failed" in told[-1]
    assert "over after" in told[-1]


@virtually
async def test_a_tier_that_fails_right_after_its_snapshot_is_spared_and_not_told_line_by_line(
    caplog,
):
    caplog.set_level(logging.INFO, "bridge")
    async with make_bridge(max_staleness=0.0) as bridge:
        client = await bridge.joined(query())
        for _ in range(12 * 20):
            await asyncio.sleep(0.05)
            if bridge.tier.subs:
                bridge.tier.sub.break_off(down())
        # 221 calls in 12 s without a back-off; with one, its sum after n calls grows as 1.6^n.
        assert len(bridge.tier.asked) < 60
        assert len(lines(caplog, "outage_log")) <= 3
        await asyncio.sleep(20)
        assert client.rows == bridge.tier.window(query())
        assert "over after" in lines(caplog, "outage_log")[-1]


@virtually
async def test_two_replicas_are_two_outages(caplog):
    caplog.set_level(logging.INFO, "bridge")
    async with make_bridge() as bridge:
        await bridge.joined(query(1))
        await bridge.joined(query(2))
        first, second = bridge.tier.subs
        first.break_off(down("tier:1"))
        second.break_off(down("tier:2"))
        await turns()
        told = lines(caplog, "outage_log")
    assert [line.partition(": sub")[0] for line in told] == ["tier tier:1", "tier tier:2"]


# ------------------------------------------------------------------ a word to the tier's author


def enter(agg_id, at, row=b"{}", old=-1, **more):
    return encode(Op.ENTER, agg_id, 1, row, old, at, ("x",), **more)


FAULTS = {
    "row not JSON": (
        encode(Op.UPDATE, "a", 9, b"{", 0, 0),
        "unreadable: op=update id='a' old_index=0 new_index=0: a row that is not JSON",
    ),
    "NaN in a cursor": (
        encode(Op.UPDATE, "a", 9, b"{}", 0, 0, (float("nan"),)),
        "unreadable: op=update id='a' old_index=0 new_index=0: a cursor with a number",
    ),
    "wrong index": (
        encode(Op.LEAVE, "c", old_index=1, new_index=-1),
        "splice: op=leave id='c' old_index=1 new_index=-1: expected old_index 2, got 1",
    ),
    "duplicate id": (
        enter("b", 0, b'{"v":1}'),
        "splice: op=enter id='b' old_index=-1 new_index=0: expected an id that is not in the window",
    ),
    "unknown id": (
        encode(Op.UPDATE, "zz", 1, b"{}", 0, 0),
        "splice: op=update id='zz' old_index=0 new_index=0: expected an id that is in the window",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_warning_with_op_id_index_expected_and_got(name, caplog):
    frame, said = FAULTS[name]

    @virtually
    async def play():
        async with make_bridge(tier=FakeTier(epochs=False, numbers=False)) as bridge:
            await bridge.joined(query())
            bridge.tier.sub.send([frame])
            await asyncio.sleep(5)

    play()
    told = [line for line in lines(caplog, "fault_log") if said.split(":")[0] in line]
    assert len(told) == 1
    assert f"the tier's stream of flights: {said}" in told[0]
    assert "{" not in told[0], "no row"


@virtually
async def test_the_same_fault_of_a_query_is_told_once_a_minute_and_all_faults_within_a_rate(caplog):
    log = FaultLog()
    for _ in range(100):
        log.report(query(), "splice", "detail")
    assert len(lines(caplog, "fault_log")) == 1
    for number in range(1, 200):
        log.report(query(number), "unreadable", "detail", b"secret")
    assert len(lines(caplog, "fault_log")) == BURST
    assert "secret" not in caplog.text
    await asyncio.sleep(INTERVAL)
    log.report(query(), "splice", "detail")
    last = lines(caplog, "fault_log")[-1]
    assert last == "the tier's stream of flights: splice: detail (180 others not logged)"
    log.report(query(), "splice", "detail")
    await asyncio.sleep(INTERVAL)
    log.report(query(), "splice", "detail")
    last = lines(caplog, "fault_log")[-1]
    assert last.endswith("detail (1 other not logged)")


# ------------------------------------------------------------------ what viewers are told


def cut(source=StatusSource.STREAM):
    return Failed(Kind.BROKEN, "cut", source=source)


@pytest.mark.parametrize("source", [source for source in StatusSource if source.derived])
@virtually
async def test_a_cut_that_the_next_call_heals_within_a_second_is_not_told(source):
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.sub.break_off(cut(source))
        await asyncio.sleep(3)
        assert [n["type"] for n in client.notices] == ["ready"]
        assert len(bridge.tier.asked) == 2


@pytest.mark.parametrize(
    ("failed", "told_within"),
    [(cut(), 1.1), (cut(StatusSource.CONNECTION), 0.6), (Failed(Kind.UNAVAILABLE, "said"), 0.1)],
)
@virtually
async def test_a_loss_that_lasts_is_told_once_however_often_it_is_tried(failed, told_within):
    """At once if the tier said it; at the first connection that can't be made; or after a second."""
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.down = failed
        bridge.tier.sub.break_off(failed)
        await asyncio.sleep(told_within)
        assert [n["type"] for n in client.notices] == ["ready", "stale"]
        await asyncio.sleep(20)
        bridge.tier.down = None
        await asyncio.sleep(12)
        assert [n["type"] for n in client.notices] == ["ready", "stale", "live"]
