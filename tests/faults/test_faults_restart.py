"""The bridge itself is killed: it is ready again at once, and clients are whole soon after."""

import asyncio
import contextlib
import signal
import time

import pytest
from faults_support import KINDS, Table, answering, query, running

from ops_support import free_port
from patience import promised

CLIENTS = 40


@pytest.fixture
def start(run, tier):
    """Start `serve` on one port, again and again; returns (program, URL)."""
    port = free_port()

    async def start():
        program = await run("serve", "--upstream", tier.address, "--listen", f"127.0.0.1:{port}")
        return program, await program.listening()

    return start


@promised
async def test_after_a_kill_it_is_ready_in_2_s_and_clients_are_whole_in_10(
    start, tier, join, http, at_most
):
    table = Table()
    async with answering(tier, table), running(table.keep_changing()):
        program, url = await start()

        async def come(number):
            client = await join(url, KINDS[number % 4], query(f"q{number % 5}"))
            await client.until(lambda c: c.whole)
            return client

        async def come_back(number):
            await first[number].ended()
            while True:
                await asyncio.sleep(2 + 2 * number / CLIENTS)  # as `retry:` says
                with contextlib.suppress(ConnectionError):  # nobody listens yet
                    client = await come(number)
                    break
            # And it is live: the next change reaches it.
            await client.until(lambda c: c.frames[-1]["op"] == "update")
            return time.monotonic()

        first = [await come(number) for number in range(CLIENTS)]
        returning = [asyncio.create_task(come_back(number)) for number in range(CLIENTS)]
        program.send(signal.SIGKILL)
        await program.ended()
        killed = time.monotonic()
        _, url = await start()
        while True:
            async with http.get(url + "/readyz") as response:
                if response.status == 200:
                    break
        ready = time.monotonic() - killed
        whole = max(await asyncio.gather(*returning)) - killed
    print(f"ready after {ready:.2f} s, all clients whole after {whole:.1f} s")
    assert ready < at_most(2)
    assert whole < at_most(10)


async def test_clients_that_come_while_there_is_no_tier_are_whole_when_it_is_there(
    start, tier, join
):
    """Bridge and tier are killed together: the bridge comes back first."""
    table = Table()
    port = tier.port
    await tier.stop()
    _, url = await start()
    clients = [await join(url, kind, query("q")) for kind in KINDS]
    await asyncio.sleep(1)
    tier = await type(tier)().start(port)
    try:
        async with answering(tier, table):
            for client in clients:
                await client.shows("a", "b")
                assert not client.told("error")
    finally:
        for client in clients:
            client.leave()
        await tier.stop()
