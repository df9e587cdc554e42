"""Doubt: a call that lost deltas, or brings old ones only, is replaced, and the windows are exact."""

import asyncio
import random
from itertools import pairwise

import pytest

from bridge.core.frame_encoding import RESET
from bridge.core.op import Op
from fake_tier import FakeTier, query
from live_bridge import LiveBridge
from virtual_loop import turns, virtually

IDS = "abcdefgh"


def now():
    return asyncio.get_running_loop().time()


class LossyTier(FakeTier):
    """A tier whose losses no number tells. `opened_at`: the time of every subscribe."""

    def __init__(self):
        super().__init__(epochs=False, numbers=False)
        self.opened_at = []

    async def subscribe(self, *query, **more):
        self.opened_at.append(now())
        return await super().subscribe(*query, **more)

    def change_any(self, rng):
        agg_id = rng.choice(IDS)
        if rng.random() < 0.3:
            self.drop(agg_id)
        else:
            self.put(agg_id, rng.randrange(8))

    def lose_any(self, rng):
        for sub in self.subs:
            sub.fault = "lose"
        self.change_any(rng)
        for sub in self.subs:
            sub.fault = None


def make_bridge(tier=None):
    bridge = LiveBridge(tier=tier or LossyTier())
    for at, agg_id in enumerate(IDS):
        bridge.tier.put(agg_id, at)
    return bridge


def splices(bridge):
    return bridge.counts.repairs.count("splice")


def enter(bridge, agg_id, at):
    """Let the tier say what contradicts the window: a second enter of a row, at another place."""
    row = next(row for row in bridge.tier._rows(query()) if row[1] == agg_id)
    bridge.tier.sub.send([bridge.tier._delta(Op.ENTER, row, -1, at, "")])


async def burst(bridge, rng, clients):
    """Change the tables, lose some of the deltas, and go on until that shows, or is past."""
    tier = bridge.tier
    for _ in range(rng.randrange(1, 31)):
        tier.lose_any(rng)
        if rng.random() < 0.3:
            tier.change_any(rng)
        await asyncio.sleep(rng.choice([0, 0, 0.01, 0.05]))
    before = splices(bridge)
    for _ in range(200):
        await turns()
        if splices(bridge) > before or all(c.rows == tier.window(query()) for c in clients):
            return
        tier.change_any(rng)
    raise AssertionError("the loss never showed")


@pytest.mark.parametrize("seed", range(4))
@virtually
async def test_two_seconds_after_a_burst_of_which_deltas_were_lost_every_window_is_exact(seed):
    random.seed(seed)  # back-off draws from it
    rng = random.Random(seed)
    async with make_bridge() as bridge:
        clients = [await bridge.joined(query(), v1=v1) for v1 in (True, False)]
        for _ in range(50):
            await burst(bridge, rng, clients)
            await asyncio.sleep(2)
            for client in clients:
                client.check_rows()
                assert client.rows == bridge.tier.window(query())
        assert [client.resets for client in clients] == [1, 1]
        assert [notice["type"] for notice in clients[0].notices] == ["ready"]
        assert len(bridge.tier.opened_at) > 10
        assert min(b - a for a, b in pairwise(bridge.tier.opened_at)) >= 0.999
        assert set(bridge.counts.losses) == {"splice"}


@virtually
async def test_the_repair_is_sent_at_once_and_the_call_in_doubt_goes_on_until_it_is_replaced():
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        enter(bridge, "a", 2)
        await turns()
        assert client.ids == "bca", "the repair"
        bridge.tier.drop("h")
        bridge.tier.put("b", 1)
        await turns()
        assert dict(client.rows)["b"] == 2
        assert len(bridge.tier.opened_at) == 1
        await asyncio.sleep(1.05)
        assert len(bridge.tier.opened_at) == 2
        client.check_rows()
        assert client.ids == "abc"
        assert client.resets == 1
        await asyncio.sleep(30)
        assert len(bridge.tier.opened_at) == 2, "the doubt is past"


@virtually
async def test_a_missing_leave_is_no_doubt():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        bridge.tier.forgets = True
        bridge.tier.put("z", -1)
        await asyncio.sleep(30)
        assert client.ids == "zab"
        assert bridge.counts.repairs == ["missing_leave"]
        assert len(bridge.tier.opened_at) == 1


@virtually
async def test_a_snapshot_of_the_tiers_own_takes_the_doubt_away():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        enter(bridge, "a", 2)
        await asyncio.sleep(0.5)
        bridge.tier.sub.snapshot(reanchor=False)
        await asyncio.sleep(30)
        assert client.ids == "abc"
        assert len(bridge.tier.opened_at) == 1


@virtually
async def test_a_reset_in_doubt_without_its_rows_is_given_up_when_the_doubt_is_due():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        enter(bridge, "a", 2)
        await turns()
        bridge.tier.sub.send([RESET])
        await asyncio.sleep(1.5)
        assert client.ids == "abc"
        assert len(bridge.tier.opened_at) == 2


@virtually
async def test_a_tier_that_contradicts_itself_for_ever_is_asked_ever_more_rarely():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        until = now() + 120
        while now() < until:
            if bridge.tier.subs:
                enter(bridge, "a", 2)
            await asyncio.sleep(0.05)
        opened_at = bridge.tier.opened_at
        assert min(b - a for a, b in pairwise(opened_at)) >= 0.999
        assert len(opened_at) < 80
        assert client.resets == 1
        assert client.end is None


@virtually
async def test_a_call_in_doubt_that_lingers_is_not_replaced():
    async with make_bridge() as bridge:
        client = await bridge.joined(query())
        client.leave()
        enter(bridge, "a", 2)
        await asyncio.sleep(30)
        assert len(bridge.tier.opened_at) == 1


@virtually
async def test_viewers_are_told_if_the_replacement_of_a_call_in_doubt_does_not_come():
    async with make_bridge() as bridge:
        client = await bridge.joined(query(), v1=True)
        bridge.tier.mute = True
        enter(bridge, "a", 2)
        await asyncio.sleep(1.5)
        assert [notice["type"] for notice in client.notices] == ["ready"]
        await asyncio.sleep(1)
        assert [notice["type"] for notice in client.notices] == ["ready", "stale"]
        bridge.tier.mute = False
        await asyncio.sleep(15)
        assert client.notices[-1]["type"] == "live"
        assert client.ids == "abc"


# ---------------------------------------------------------------- old news


@pytest.mark.parametrize("kind", ["an epoch too low", "numbers that were seen"])
@virtually
async def test_a_call_that_brings_only_old_news_is_given_up(kind):
    async with make_bridge(FakeTier()) as bridge:
        client = await bridge.joined(query(), v1=True)
        sub, began = bridge.tier.sub, now()
        sub.snapshot(reanchor=False)
        await turns()
        for n in range(13):
            if kind == "an epoch too low":
                sub.epoch = 1
            else:
                sub.seq = 1
            bridge.tier.put("a", -1 - n % 2)
            await asyncio.sleep(1)
            if not sub.closed:
                assert now() - began <= 12
        await asyncio.sleep(1)
        assert sub.closed
        assert bridge.counts.losses == ["gap"]
        assert client.rows == bridge.tier.window(query())
        assert client.resets == 1


@virtually
async def test_a_call_that_repeats_its_news_goes_on():
    async with make_bridge(FakeTier()) as bridge:
        client = await bridge.joined(query())
        for n in range(30):
            bridge.tier.put("a", -1 - n % 2)
            bridge.tier.sub.raw(bridge.tier.sub.last)
            await asyncio.sleep(1)
        assert client.rows == bridge.tier.window(query())
        assert bridge.counts.repairs == ["repeated"] * 30
        assert not bridge.counts.losses


@virtually
async def test_old_news_in_a_quiet_time_is_no_reason_to_give_a_call_up():
    async with make_bridge(FakeTier()) as bridge:
        await bridge.joined(query())
        bridge.tier.put("a", -1)
        bridge.tier.sub.raw(bridge.tier.sub.last)
        await asyncio.sleep(60)
        bridge.tier.put("a", -2)
        bridge.tier.sub.raw(bridge.tier.sub.last)
        await turns()
        assert not bridge.counts.losses


class CountingTier(FakeTier):
    """Its `first_seq` counts batches, as an author may read the name."""

    def put(self, agg_id, k, **how):
        for sub in self.subs:
            sub.seq = len(sub.sent) + 1
        super().put(agg_id, k, **how)


@pytest.mark.parametrize("pause", [0.2, 3, 20])
@virtually
async def test_a_tier_whose_numbers_count_batches_is_never_wrong_for_long_and_named(pause, caplog):
    async with make_bridge(CountingTier()) as bridge:
        client = await bridge.joined(query())
        wrong_since, longest = None, 0.0
        for n in range(60):
            bridge.tier.put(IDS[n % 3], -1 - n)
            await asyncio.sleep(pause)
            if client.rows == bridge.tier.window(query()):
                wrong_since = None
            else:
                wrong_since = wrong_since or now()
                longest = max(longest, now() - wrong_since)
        assert longest <= 12 + 2 * pause
        assert client.resets == 1
        assert "first_seq" in caplog.text
        opened = bridge.tier.asked
        assert len(opened) <= 2 + 60 * pause


@virtually
async def test_a_number_that_comes_again_with_another_delta_is_a_doubt(caplog):
    async with make_bridge(FakeTier()) as bridge:
        client = await bridge.joined(query())
        bridge.tier.put("a", -1)
        bridge.tier.sub.seq -= 1
        bridge.tier.put("b", -2)
        await turns()
        assert client.rows != bridge.tier.window(query())
        await asyncio.sleep(1.1)
        assert client.rows == bridge.tier.window(query())
        assert bridge.counts.losses == ["splice"]
        assert client.resets == 1
        assert "reused_number: number 5 was op=move id='a'" in caplog.text
