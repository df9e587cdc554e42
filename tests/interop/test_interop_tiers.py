"""Every tier: plain, over TLS, with client certificates; directly and behind every proxy."""

import asyncio
import signal

import pytest

from example_tiers import EXAMPLES, SECURITIES
from fabriq_stub import STUB
from matrix import WAYS, by_example
from ops_support import samples

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

ROWS = (*EXAMPLES, STUB)
QUERY = {
    "entity": "ticks",
    "where": [
        {"column": "price", "op": "gt", "value": 200},
        {"column": "symbol", "op": "in", "value": ["ACME", "BOLT", "CORE"]},
    ],
    "sort": [{"column": "price", "desc": True}],
    "limit": 8,
}


async def agree(tier, viewers, within=10.0):
    window = await tier.window(QUERY)
    assert window
    for viewer in viewers:
        await viewer.shows(window, within)


async def stir(tier, seconds=2.0):
    """Change 50 rows a second for a while, then none."""
    await tier.rate(50)
    await asyncio.sleep(seconds)
    await tier.rate(0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("example", by_example(ROWS))
async def test_windows_equal_the_tiers_own(
    example, security, way, matrix, start_tier, start_proxy, start_bridge, watch, run, http
):
    cell = matrix.cell(example, security, way)
    tier = await start_tier(example, cell, security=security)
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
            if n
            and name.startswith(("repairs", "resubscribes"))
            and not any(f'"{known}"' in name for known in example.repairs)
        }
        assert not counted, counted
    with cell.step("page"):
        cursor = ws.last_cursor
        await ws.reanchor(cursor, QUERY["limit"])
        await ws.shows(await tier.window({**QUERY, "cursor": cursor}))
        await ws.reanchor({"values": []}, QUERY["limit"])
        await agree(tier, viewers)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with cell.step(number.name):
            await tier.restart(number)
            await agree(tier, viewers, within=20)
            await stir(tier, 1)
            await agree(tier, viewers)
    assert not cell.failed, "\n".join(cell.failed)
