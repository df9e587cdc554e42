"""Memory is given back after many connections have closed."""

import asyncio
import ssl
from pathlib import Path

import pytest

from bridge.process.memory_returner import CLOSED, GROWN, MemoryReturner
from waiting import until


def test_memory_is_returned_once_many_have_closed():
    closed = 0
    returner = MemoryReturner(lambda: closed)
    assert not returner.due()
    closed = CLOSED - 1
    assert not returner.due()
    closed = CLOSED
    assert returner.due()


def test_of_few_that_have_closed_it_is_returned_once_memory_has_grown():
    closed, resident = 0, 100 * 2**20
    returner = MemoryReturner(lambda: closed, resident=lambda: resident)
    resident += GROWN
    assert not returner.due(), "nothing has closed: it is in use"
    closed = 1
    assert returner.due()
    resident -= 1
    assert not returner.due()


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


async def test_what_is_not_returned_then_is_looked_for_by_the_garbage_collector(monkeypatch):
    """At most once in a while; until then it stays due, also when nothing more closes."""
    monkeypatch.setattr("bridge.process.memory_returner.SAMPLE_INTERVAL", 0.01)
    monkeypatch.setattr("bridge.process.memory_returner.RETURN_INTERVAL", 0.05)
    monkeypatch.setattr("bridge.process.memory_returner.COLLECT_INTERVAL", 0.3)
    closed, resident, done = 0, 0, []

    def collect():
        nonlocal resident
        done.append("collected")
        resident = 0

    returner = MemoryReturner(
        lambda: closed, lambda: done.append("trimmed"), collect, lambda: resident
    )
    running = asyncio.create_task(returner.run())
    for _ in range(2):
        closed, resident = closed + 1, GROWN
        await until(lambda: resident == 0)  # noqa: B023 - it is this function's own
    running.cancel()
    await asyncio.wait([running])
    assert done[:2] == ["trimmed", "collected"]
    assert done[2:] == ["trimmed"] * len(done[3:]) + ["collected"]
    assert len(done) > 4, "it was tried again while the collector had to wait"


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
