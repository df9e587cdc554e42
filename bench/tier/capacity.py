# ruff: noqa: S608 (its own numbers)
"""Capacity: what a tier's core carries, by windows that change and by windows that do not."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import grpc
import psycopg

from bench.process import Process
from bench.tier.lag import Figures
from bench.tier.running import tier
from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc

TOUCHED = 200
FEW, MANY = 10, 10_000
AT_ONCE = 50
WRITES, PAUSE_SECONDS = 200, 0.02
SCHEMA = f"""
CREATE TABLE item (id integer PRIMARY KEY, tenant integer, size integer, stamp double precision);
INSERT INTO item SELECT n, n % {MANY}, n, 0 FROM generate_series(1, {2 * MANY}) AS n;
CREATE INDEX ON item (tenant, size, id); CREATE INDEX ON item (size, id); ANALYZE item;
"""


def _query(column: str, operator: pb.Operator, value: int) -> pb.LiveQuery:
    comparison = pb.Comparison(column=column, operator=operator, value=pb.Value(int_value=value))
    return pb.LiveQuery(
        entity="item",
        where=[pb.Condition(comparison=comparison)],
        sort=[pb.SortKey(column="size")],
        limit=20,
    )


class _Windows:
    """Open windows, read to the end of what comes."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._stub = livequery_pb2_grpc.LiveQueryServiceStub(self._channel)
        self._reading: list[asyncio.Task[None]] = []
        self._free = asyncio.Semaphore(AT_ONCE)
        self.changes = 0

    async def open(self, queries: Sequence[pb.LiveQuery]) -> None:
        """Open windows, and return when all are complete."""
        readies = [asyncio.Event() for _ in queries]
        self._reading += [
            asyncio.create_task(self._read(query, ready))
            for query, ready in zip(queries, readies, strict=True)
        ]
        await asyncio.gather(*(ready.wait() for ready in readies))

    async def _read(self, query: pb.LiveQuery, ready: asyncio.Event) -> None:
        async with self._free:
            # None of 10,000 heartbeats shall come while something else is measured.
            request = pb.SubscribeRequest(query=query)
            request.heartbeat_interval.FromSeconds(60)
            call = self._stub.Subscribe(request)
            async for message in call:
                if message.batch.snapshot_complete:
                    break
        ready.set()
        async for message in call:
            self.changes += len(message.batch.deltas)

    async def close(self) -> None:
        """Close all of them."""
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        await self._channel.close()


@contextlib.asynccontextmanager
async def _windows(url: str) -> AsyncIterator[tuple[Process, _Windows]]:
    with tier(url, "--capture", "wal") as (child, address):
        windows = _Windows(address)
        try:
            yield child, windows
        finally:
            await windows.close()


async def _cost(child: Process, url: str, windows: _Windows) -> tuple[float, float]:
    """Return CPU seconds and changes of a write, over what the tier uses without any."""

    def work() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(WRITES):
                connection.execute("UPDATE item SET stamp = %s WHERE id = 1", (time.time(),))
                time.sleep(PAUSE_SECONDS)

    await asyncio.sleep(2)
    start, idle = time.monotonic(), child.usage.cpu
    await asyncio.sleep(4)
    cpu, changes, then = child.usage.cpu, windows.changes, time.monotonic()
    idle = (cpu - idle) / (then - start)  # heartbeats of many streams, say
    await asyncio.to_thread(work)
    await asyncio.sleep(1)
    used = child.usage.cpu - cpu - idle * (time.monotonic() - then)
    return used / WRITES, (windows.changes - changes) / WRITES


async def touched(url: str) -> Figures:
    """Measure windows that every write changes."""
    async with _windows(url) as (child, windows):
        await windows.open([_query("size", pb.OPERATOR_GTE, -number) for number in range(TOUCHED)])
        cost, changes = await _cost(child, url, windows)
    return {
        "windows": TOUCHED,
        "changes": round(changes, 1),
        "us": round(cost / changes * 1e6),
        "per_core": round(changes / cost),
    }


async def equality(url: str) -> Figures:
    """Measure a write that concerns one window of few, and one of many, in turns."""
    costs: dict[int, list[float]] = {FEW: [], MANY: []}
    for _ in range(2):
        async with _windows(url) as (child, windows):
            opened = 0
            for count in (FEW, MANY):
                more = range(opened, count)
                await windows.open([_query("tenant", pb.OPERATOR_EQ, number) for number in more])
                opened = count
                costs[count].append((await _cost(child, url, windows))[0])
    few, many = (min(costs[count]) for count in (FEW, MANY))
    return {
        "few_ms": round(few * 1000, 2),
        "many_ms": round(many * 1000, 2),
        "ratio": round(many / few, 2),
    }
