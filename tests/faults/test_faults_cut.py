"""A stream cut at every row of a snapshot: a client sees the old window or the new, never a mix."""

import asyncio

import grpc
import pytest
from faults_support import KINDS, answering, query

from scripted_tier import enter, reset, update
from waiting import until

ROWS = 20
OLD = [f"a{n}" for n in range(ROWS)]
NEW = [f"b{n}" for n in range(ROWS)]
# A stream's end as tiers and as proxies tell it.
CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
)


def cut(call, ids, rows):
    """Send a snapshot's reset and so many rows of it, then cut the stream."""
    call.start()
    call.send(reset(), *(enter(agg_id, at) for at, agg_id in enumerate(ids[:rows])))
    call.fail(CODES[rows % len(CODES)])


def whole(call, ids):
    call.start()
    call.snapshot(*ids)


@pytest.fixture
async def viewers(start_bridge, join):
    """Clients of three kinds on a query for each place of the cut: {entity: (place, clients)}."""

    async def viewers():
        bridge = await start_bridge(resubscribe_rate="0", max_connections_per_ip="0")
        return {
            f"cut{rows}": [
                await join(bridge.url, kind, query(f"cut{rows}", ROWS))
                for kind in ("sse", "ws", "ws/v1")
            ]
            for rows in range(ROWS + 1)
        }

    return viewers


async def test_a_first_snapshot_cut_at_any_row_is_never_seen(tier, viewers):
    tried = set()

    def script(call):
        entity = call.request.query.entity
        if entity in tried:
            whole(call, NEW)
        else:
            tried.add(entity)
            cut(call, OLD, int(entity.removeprefix("cut")))

    async with answering(tier, Scripts(script)):
        for client in each(await viewers()):
            await client.shows(*NEW)
            assert [frame["op"] for frame in client.frames] == ["reset"] + ["enter"] * ROWS
            assert [frame["agg_id"] for frame in client.frames[1:]] == NEW
    assert len(tried) == ROWS + 1


async def test_a_later_snapshot_cut_at_any_row_leaves_the_old_window_until_the_new_is_whole(
    tier, viewers
):
    calls = {}
    kept, fresh = OLD[:5], NEW[5:]

    def script(call):
        entity = call.request.query.entity
        mine = calls.setdefault(entity, [])
        mine.append(call)
        if len(mine) == 1:
            whole(call, OLD)
        elif len(mine) == 2:
            cut(call, kept + fresh, int(entity.removeprefix("cut")))
        else:
            call.start()  # and the test says the rest

    async with answering(tier, Scripts(script)):
        everyone = await viewers()
        for client in each(everyone):
            await client.shows(*OLD)
        for [first] in calls.values():
            first.fail()
        # A third call proves that the bridge has read all that the second one said.
        await until(lambda: _all(len(mine) == 3 for mine in calls.values()))
        for client in each(everyone):
            assert client.ids == OLD
            assert len(client.frames) == 1 + ROWS, "nothing of the second call was shown"
        for mine in calls.values():
            mine[2].snapshot(*kept, *fresh)
            mine[2].send(update("a0", 0))
        for client in each(everyone):
            await client.until(lambda c: c.frames[-1]["op"] == "update")
            assert client.ids == client.by_index.ids == kept + fresh
            told = [frame["op"] for frame in client.frames[1 + ROWS :]]
            assert told == ["leave"] * 15 + ["enter"] * 15 + ["update"], "the least there is"
            assert not client.closed.done()


def each(everyone):
    return [client for clients in everyone.values() for client in clients]


async def _all(checks):
    return all(checks)


class Scripts:
    """One script for every entity."""

    def __init__(self, script) -> None:
        self._script = script

    def __getitem__(self, _):
        return self._script


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tier_that_dies_in_a_snapshot_is_the_same_as_a_cut(start_bridge, tier, join, kind):
    """The connection goes, not the stream alone."""
    bridge = await start_bridge()
    client = await join(bridge.url, kind, query(limit=ROWS))
    call = await tier.next_call()
    whole(call, OLD)
    await client.shows(*OLD)
    for rows in (0, 1, ROWS - 1):
        port = tier.port
        await tier.stop()
        tier = await type(tier)().start(port)
        call = await tier.next_call()
        call.start()
        call.send(reset(), *(enter(agg_id, at) for at, agg_id in enumerate(NEW[:rows])))
        await asyncio.sleep(0.02)  # the rows are on their way
        assert client.ids == OLD
    call.send(*(enter(agg_id, at) for at, agg_id in enumerate(NEW) if at >= rows), complete=True)
    await client.shows(*NEW)
    assert [f["op"] for f in client.frames[1 + ROWS :]] == ["leave"] * ROWS + ["enter"] * ROWS
    await tier.stop()
