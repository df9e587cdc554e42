"""A stock grpc-go server and nothing to say: no loop and no noise, in both keepalive modes."""

import asyncio
import os

import pytest

from example_tiers import EXAMPLES
from ops_support import samples
from test_interop_tiers import QUERY, agree, stir
from viewers import WsViewer

GO = EXAMPLES[2]
MINUTES = float(os.environ.get("IDLE_MINUTES", "20"))

pytestmark = [pytest.mark.soak, pytest.mark.timeout(MINUTES * 60 + 240)]


@pytest.mark.parametrize(
    # Stock servers take a ping every 300 s; each punishment doubles the interval of 10 s.
    ("mode", "punished", "most_losses"),
    [("compatible", 0, 0), ("fast", 1, 8)],
)
async def test_a_stock_grpc_go_server_that_is_idle_is_left_alone(
    mode, punished, most_losses, matrix, start_tier, start_bridge, watch, http
):
    cell = matrix.other(f"stock grpc-go, idle for {MINUTES:g} minutes, `--keepalive {mode}`")
    tier = await start_tier(GO, cell)
    bridge = await start_bridge(tier.address, tier, "--keepalive", mode)
    idle = await WsViewer().open(http, bridge.base, QUERY)  # aiohttp ends a response after 300 s
    await agree(tier, [idle])
    await asyncio.sleep(MINUTES * 60)
    viewers = [idle, *await watch(bridge.base, QUERY)]
    await agree(tier, viewers)
    await stir(tier)
    await agree(tier, viewers)
    found = await samples(http, bridge.url)
    losses = sum(n for series, n in found.items() if series.startswith("resubscribes"))
    print(mode, "resubscribes", losses, "lines", len(bridge.err), *bridge.err, sep="\n")
    assert losses <= most_losses, found
    told = [line for line in bridge.err if "too_many_pings" in line]
    assert len(told) == punished, bridge.err
    assert len(bridge.err) <= 20, bridge.err
    await idle.close()
