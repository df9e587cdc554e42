"""The whole of it: a day of flights through gRPC, window by window."""

import asyncio
import contextlib

import pytest

from livetier.demo import flights
from livetier.sqlite.database import Database
from sqlite_support import entries
from tier_client import Live, any_of, leaf, query


def delayed(database):
    found = database.connection.execute("SELECT id FROM flights WHERE status = 'delayed'")
    return {identifier for (identifier,) in found}


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.soak)])
async def test_every_window_equals_the_tiers_own_select_all_day_long(tiers, every):
    tier = await tiers(speed=0, start="00:00")
    queries = [
        query("flights", leaf("origin", "eq", "JFK"), sort=["est_dep"], limit=12),
        query("flights", sort=["-delay_min", "carrier"], limit=8),
        query(
            "flights", leaf("status", "in", ["delayed", "cancelled"]), sort=["-est_dep"], limit=5
        ),
        query(
            "flights",
            any_of(leaf("dest_name", "ilike", "%INTL"), leaf("distance_mi", "gt", 1500.5)),
            leaf("status", "ne", "departed"),
            sort=["status", "-distance_mi"],
            limit=20,
        ),
        query("flights", sort=["est_dep"], limit=6, cursor=["2013-07-10T09:00", ""]),
        query("flights", leaf("status", "eq", "boarding"), limit=1000),
    ]
    database = await asyncio.to_thread(Database, tier.database)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(database.close)
        lives = [await stack.enter_async_context(Live(tier, q)) for q in queries]
        board = await stack.enter_async_context(
            Live(tier, query("flights", leaf("status", "eq", "delayed"), streamed=True))
        )
        changes = 0
        last = flights.length() - 1
        for minute in [*range(1, last, every), last]:
            changes += await asyncio.to_thread(tier.replay.advance_to, minute)
            await tier.settle()
            for live, live_query in zip(lives, queries, strict=True):
                await live.drained()
                assert live.rows == await asyncio.to_thread(entries, database, live_query), minute
            await board.drained()
            assert set(board.members) == await asyncio.to_thread(delayed, database)
        assert changes > 4000
        for live in [*lives, board]:
            assert [reset.reason for reset in live.resets] == [1]
            assert len(live.groups) > 50 / every
        assert lives[0].rows == []
        await asyncio.to_thread(tier.replay.advance_to, flights.length() + 1)
        await lives[0].caught_up()
        assert len(lives[0].rows) > 0
