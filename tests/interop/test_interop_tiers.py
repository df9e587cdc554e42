"""Every example tier, plain and over TLS, directly and behind every proxy."""

import asyncio
import signal

import pytest

from example_tiers import EXAMPLES
from livequery.v1 import livequery_pb2 as pb
from matrix import WAYS
from ops_support import samples

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

QUERY = {
    "entity": "ticks",
    "where": [
        {"column": "price", "op": "gt", "value": 200},
        {"column": "symbol", "op": "in", "value": ["ACME", "BOLT", "CORE"]},
    ],
    "sort": [{"column": "price", "desc": True}],
    "limit": 8,
}


def text(value):
    return pb.Value(string_value=value)


def as_message(cursor=()):
    """The same query for the tier itself."""
    symbols = pb.ValueList(values=map(text, QUERY["where"][1]["value"]))
    price = pb.Comparison(column="price", operator=pb.OPERATOR_GT, value=pb.Value(int_value=200))
    symbol = pb.Comparison(column="symbol", operator=pb.OPERATOR_IN, list=symbols)
    after = pb.Cursor(
        values=[
            text(each) if isinstance(each, str) else pb.Value(int_value=each) for each in cursor
        ]
    )
    return pb.LiveQuery(
        entity="ticks",
        where=[pb.Condition(comparison=price), pb.Condition(comparison=symbol)],
        sort=[pb.SortKey(column="price", desc=True)],
        limit=QUERY["limit"],
        cursor=after if cursor else None,
    )


async def agree(tier, viewers, within=10.0):
    window = await tier.window(as_message())
    assert window
    for viewer in viewers:
        await viewer.shows(window, within)


async def stir(tier, seconds=2.0):
    """Change 50 rows a second for a while, then none."""
    await tier.rate(50)
    await asyncio.sleep(seconds)
    await tier.rate(0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
async def test_windows_equal_the_tiers_own(
    example, tls, way, matrix, start_tier, start_proxy, start_bridge, watch, run, http
):
    cell = matrix.cell(example, tls, way)
    tier = await start_tier(example, cell, tls=tls)
    address = tier.address if way == "direct" else (await start_proxy(way, tier, cell)).address

    with cell.step("check"):
        check = await run("check", *tier.upstream(address))
        code, said = await check.ended()
        assert code == 0, f"exit {code}: {said} {check.err}"

    bridge = await start_bridge(address, tier)
    viewers = _, ws = await watch(bridge.base, QUERY)
    with cell.step("snapshot"):
        await agree(tier, viewers)
    with cell.step("changes"):
        await stir(tier)
        await agree(tier, viewers)
    with cell.step("repairs"):
        found = await samples(http, bridge.url)
        counted = {
            name: n
            for name, n in found.items()
            if n and name.startswith(("repairs", "resubscribes"))
        }
        assert not counted, counted
    with cell.step("page"):
        cursor = ws.last_cursor
        await ws.reanchor(cursor, QUERY["limit"])
        await ws.shows(await tier.window(as_message(cursor["values"])))
        await ws.reanchor({"values": []}, QUERY["limit"])
        await agree(tier, viewers)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with cell.step(number.name):
            await tier.restart(number)
            await agree(tier, viewers, within=20)
            await stir(tier, 1)
            await agree(tier, viewers)
    assert not cell.failed, "\n".join(cell.failed)
