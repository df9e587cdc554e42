"""Subscribing and unsubscribing without end leaves nothing behind."""

import asyncio
import itertools
import os
import time

import pytest
from faults_support import Client, query

from ops_support import samples
from waiting import until

BURST = 70
"""Subscriptions that one socket may open and end before it has to slow down."""
SPARE = 5
"""Tasks, descriptors and calls that may be more than before."""


class Churn:
    """So many cycles: most over v1 sockets, a tenth over SSE; every query is a new one."""

    def __init__(self, url, cycles, *, workers=8) -> None:
        self.done = 0
        self._url, self._cycles, self._workers = url, cycles, workers
        self._names = itertools.count()

    async def run(self):
        await asyncio.gather(*(self._work() for _ in range(self._workers)))

    async def _work(self):
        while self.done < self._cycles:
            client = await Client("ws/v1", None).open(self._url)
            for _ in range(BURST):
                await self._cycle(client)
            client.leave()
            await client.ended()
            for _ in range(BURST // 10):
                client = await Client("sse", query(f"q{next(self._names)}")).open(self._url)
                await client.until(lambda c: c.whole)
                client.leave()
                await client.ended()
                self.done += 1

    async def _cycle(self, client):
        await client.until(lambda c: c.status == 101)
        client.notices.clear()
        client.say(action="subscribe", sub="s", query=query(f"q{next(self._names)}"))
        await client.until(lambda c: c.told("ready") or c.told("error"))
        assert not client.told("error"), client.notices
        client.say(action="unsubscribe", sub="s")
        await client.until(lambda c: c.told("ended"))
        client.frames.clear()
        client.by_id.rows = []
        self.done += 1


async def test_a_thousand_cycles_leave_no_task_no_descriptor_and_no_call(start_bridge, tier):
    tier.rows = ["a", "b"]
    bridge = await start_bridge(linger="0", max_connections_per_ip="0")
    await Churn(bridge.url, 100).run()
    await until(lambda: nothing_open(tier))
    await asyncio.sleep(0.2)  # what is closing
    tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    churn = Churn(bridge.url, 1000)
    await churn.run()
    assert churn.done >= 1000
    await until(lambda: nothing_open(tier))
    await until(lambda: at_rest(tasks, files))


async def at_rest(tasks, files):
    return (
        len(asyncio.all_tasks()) <= tasks + SPARE
        and len(os.listdir("/proc/self/fd")) <= files + SPARE
    )


async def nothing_open(tier):
    return not tier.open


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_100_000_cycles_leave_nothing_and_memory_is_flat(serve, tier, http):
    tier.rows = ["a", "b"]
    program = await serve(
        *("--linger", "0", "--max-connections-per-ip", "0", "--log-level", "warning")
    )
    url = await program.listening()
    await Churn(url, 2000).run()
    await until(lambda: nothing_open(tier))
    before = await samples(http, url)
    churn, began = Churn(url, 100_000), time.monotonic()
    sizes = []  # (cycles, bytes)
    running = asyncio.create_task(churn.run())
    while not running.done():
        await asyncio.wait([running], timeout=2)
        now = await samples(http, url)
        sizes.append((churn.done, now["process_resident_memory_bytes"]))
        tier.opened_at.clear()
    await running
    took = time.monotonic() - began
    await until(lambda: nothing_open(tier))

    async def rests():
        now = await samples(http, url)
        return all(
            now[name] <= before[name] + SPARE
            for name in ("process_open_fds", "upstream_subscriptions", "subscriptions", "sockets")
        )

    await until(rests, within=15)
    slope = slope_of([pair for pair in sizes if pair[0] > churn.done // 4])
    print(
        f"{churn.done} cycles in {took:.0f} s; RSS {before['process_resident_memory_bytes'] / 2**20:.1f}"
        f" MiB before, {sizes[-1][1] / 2**20:.1f} after, {slope * 100_000 / 2**20:+.2f} MiB per 100,000"
    )
    # grpc.aio keeps about 0.1 KB of each read that is cancelled while it waits (so does a bare
    # channel without a bridge, 113 bytes a call): 11 MiB of these. Nothing else grows.
    assert slope * 100_000 < 16 * 2**20
    assert (await program.stop())[0] == 0


def slope_of(points):
    """Least squares: how much y grows with each x."""
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
