"""Lag: from a commit to a browser, through tier and bridge, a stream for each window."""

import asyncio
import re
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from bench.tier.running import bridge, tier

WRITES_PER_SECOND, SECONDS = 50, 10
SETTLE_SECONDS = 2
_STAMP = re.compile(rb'"stamp":([0-9.e+]+)')

Query = dict[str, Any]
Figures = dict[str, Any]


def percentiles(delays: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 in milliseconds."""
    cuts = statistics.quantiles(delays, n=100)
    places = (("p50", 49), ("p95", 94), ("p99", 98))
    return {name: round(cuts[place] * 1000, 1) for name, place in places}


def paced(commit: Callable[[int, float], None], seconds: float = SECONDS) -> int:
    """Commit at the pace, each with its number and time; return how many."""
    done, began = 0, time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        commit(done, time.time())
        done += 1
        time.sleep(max(0.0, done / WRITES_PER_SECOND - at))
    return done


async def commit_to_browser(
    database: str, *options: str, queries: Sequence[Query], write: Callable[[], int]
) -> Figures:
    """Measure how late each window shows each commit that it shows.

    A row's ``stamp`` is the time of the commit that wrote it. Of commits that a reading puts
    together each counts.
    """
    delays: list[float] = []
    with tier(database, *options) as (child, address), bridge(address) as (front, base):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def watch(query: Query, ready: asyncio.Event) -> None:
                newest = 0.0
                async with session.post(f"{base}/api/v1/live", json=query) as response:
                    async for data in response.content.iter_any():
                        ready.set()
                        now = time.time()
                        for stamp in sorted(set(map(float, _STAMP.findall(data)))):
                            if stamp > newest:
                                newest = stamp
                                delays.append(now - stamp)

            readies = [asyncio.Event() for _ in queries]
            pairs = zip(queries, readies, strict=True)
            watching = [asyncio.create_task(watch(*pair)) for pair in pairs]
            await asyncio.gather(*(ready.wait() for ready in readies))
            await asyncio.sleep(SETTLE_SECONDS)
            delays.clear()
            before = child.usage.cpu, front.usage.cpu
            writes = await asyncio.to_thread(write)
            await asyncio.sleep(1)
            used = child.usage.cpu - before[0], front.usage.cpu - before[1]
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
    return {
        "writes": writes,
        "seen": len(delays),
        **percentiles(delays),
        "tier_ms": round(used[0] / writes * 1000, 2),
        "bridge_ms": round(used[1] / writes * 1000, 2),
    }
