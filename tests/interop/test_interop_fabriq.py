"""fabriq.v1 against a server on grpc-go: what is its own, beside the matrix."""

import asyncio
import json

import pytest

from fabriq_stub import MODULE, STUB, fabriqs_own_server
from ops_support import problem, samples
from test_interop_tiers import QUERY, agree, stir

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group(STUB.name),
]


def test_fabriqs_own_server_is_there_to_be_tried(matrix):
    cell = matrix.other("fabriq's own server, built from its Go module")
    reason = fabriqs_own_server()
    cell.missing = f"{MODULE}: " + (reason or "it can be had now: let it take the stub's place")
    pytest.skip(cell.missing)


async def test_refusals_and_credentials(matrix, start_tier, start_bridge, http):
    cell = matrix.other("fabriq.v1: bad queries are 400 and name the field")
    tier = await start_tier(STUB, cell)
    bridge = await start_bridge(tier.address, tier)
    for member, field in (
        ({"entity": "users"}, "entity"),
        ({"sort": [{"column": "secret"}]}, "sort[0].column"),
        ({"where": [{"or": [{"column": "x", "op": "eq", "value": 1}]}]}, "where[0].or[0]"),
        ({"where": [{"column": "id", "op": "eq", "value": [1]}]}, "where[0].value"),
    ):
        with cell.step(field):
            async with http.post(bridge.base, json={**QUERY, **member}) as response:
                told = await problem(response)
                assert (response.status, told.get("field")) == (400, field), told
                assert "fabriq" not in json.dumps(told)
    assert not cell.failed, cell.failed


async def agree_on_ids(tier, viewers):
    """A lost update that no later delta contradicts is noticed by nobody (docs/fabriq.md)."""
    ids = [agg_id for agg_id, _ in await tier.window(QUERY)]
    for viewer in viewers:
        await viewer.until(lambda it=viewer: it.by_id.ids == it.by_index.ids == ids, 10)


async def test_deltas_that_the_engine_drops_are_healed(
    matrix, start_tier, start_bridge, watch, http
):
    cell = matrix.other("fabriq.v1: the engine drops 5 deltas, five times, without a reset")
    tier = await start_tier(STUB, cell)
    bridge = await start_bridge(tier.address, tier)
    viewers = await watch(bridge.base, QUERY)
    with cell.step("bursts"):
        await agree(tier, viewers)
        await tier.rate(50)
        for _ in range(5):
            await tier.command("drop 5")
            await asyncio.sleep(4)  # what comes after a loss shows it
        await tier.rate(0)
        await agree_on_ids(tier, viewers)
    with cell.step("changes"):
        await stir(tier)
        await agree_on_ids(tier, viewers)
    with cell.step("told"):
        found = await samples(http, bridge.url)
        assert 1 <= found['resubscribes_total{cause="splice"}'] <= 20, found
        assert [viewer.resets for viewer in viewers] == [1, 1]
    assert not cell.failed, cell.failed
