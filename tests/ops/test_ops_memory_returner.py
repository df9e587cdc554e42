"""Memory is given back after many connections have closed."""

import asyncio
import ssl
from pathlib import Path

import pytest

from bridge.process.memory_returner import CLOSED, MemoryReturner
from waiting import until


def test_memory_is_returned_once_many_have_closed():
    closed = 0
    returner = MemoryReturner(lambda: closed)
    assert not returner.due()
    closed = CLOSED - 1
    assert not returner.due()
    closed = CLOSED
    assert returner.due()


async def test_it_is_returned_again_and_again_and_not_too_often(monkeypatch):
    monkeypatch.setattr("bridge.process.memory_returner.SAMPLE_INTERVAL", 0.01)
    monkeypatch.setattr("bridge.process.memory_returner.RETURN_INTERVAL", 0.3)
    closed, returned, loop = 0, [], asyncio.get_running_loop()
    returner = MemoryReturner(lambda: closed, lambda: returned.append(loop.time()))
    running = asyncio.create_task(returner.run())
    while len(returned) < 2:
        closed += CLOSED
        await asyncio.sleep(0.03)
    assert returned[1] - returned[0] >= 0.3
    running.cancel()
    await asyncio.wait([running])


async def test_connections_that_have_closed_are_counted(start_bridge, http):
    bridge = await start_bridge()
    for _ in range(3):
        async with http.get(bridge.url + "/healthz", headers={"Connection": "close"}) as response:
            assert response.status == 200
    await until(lambda: bridge._listeners.closed_connections == 3)


def resident(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@pytest.mark.soak
@pytest.mark.timeout(180)
async def test_of_a_thousand_tls_connections_at_once_nothing_is_kept(serve, authority):
    """Four times: what is kept of each time would add up."""
    cert, key = authority.issue("listener", 1)
    tls = ("--tls-cert", cert, "--tls-key", key, "--max-connections-per-ip", "0")
    program = await serve(*tls, "--log-level", "error")
    port = int((await program.listening()).rsplit(":", 1)[1])
    context = ssl.create_default_context(cafile=authority.ca)
    before = resident(program.pid)

    async def connect():
        return await asyncio.open_connection("127.0.0.1", port, ssl=context)

    for _ in range(4):
        opened = await asyncio.gather(*(connect() for _ in range(1000)))
        peak = resident(program.pid)
        for _, writer in opened:
            writer.transport.abort()
        del opened
        await until(lambda: resident(program.pid) < before + 15, within=40)
        print(f"\nbefore {before:.0f} MiB, peak {peak:.0f}, after {resident(program.pid):.0f}")
