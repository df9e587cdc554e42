"""The tier is away for a minute, and what the log says of it."""

import asyncio

import pytest
from faults_support import query

from ops_support import free_port
from scripted_tier import scripted_process

TIER = """
import asyncio
from scripted_tier import ScriptedTier

async def main():
    tier = await ScriptedTier().start({port})
    tier.rows = ["a", "b"]
    print(tier.address, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("count", "seconds"), [(50, 4), pytest.param(500, 60, marks=pytest.mark.soak)]
)
@pytest.mark.timeout(240)
async def test_an_outage_is_under_50_lines_with_the_cause_in_the_first(run, join, count, seconds):
    port = free_port()
    source = TIER.format(port=port)
    async with scripted_process(source) as (child, address):
        options = ("--max-connections-per-ip", "0", "--max-staleness", "300s")
        bridge = await run("serve", "--upstream", address, "--listen", "127.0.0.1:0", *options)
        url = await bridge.listening()
        clients = [await join(url, "sse", query(limit=n + 1)) for n in range(count)]
        for client in clients:
            await client.until(lambda c: c.whole, within=60)
        began = len(bridge.err)
        child.kill()
        await asyncio.sleep(seconds)
    async with scripted_process(source):
        await bridge.says("over after", within=90)
        assert all(not client.closed.done() for client in clients)
        told = bridge.err[began:]
        print(len(told), "lines", *told, sep="\n")
        assert len(told) < 50
        assert "lost: " in told[0] or "connecting: " in told[0]
        assert f"{address}" in told[0]
        for client in clients:
            client.leave()
