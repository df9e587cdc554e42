# ruff: noqa: S603, S608 (its own programs and its own SQL)
"""The tier on PostgreSQL, beside what people do without one.

Commit → browser, the tier's CPU and the writer's cost; polling each query once a second, and
LISTEN/NOTIFY with a re-query per client. One run measures all, with one server that it starts
itself: `python -m bench.tier`.
"""

import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import psycopg

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

from postgres_cluster import Cluster, find_programs

WINDOWS, WRITES_PER_SECOND, SECONDS = 200, 50, 10
ROWS = 20_000
SCHEMA = f"""
CREATE TABLE item (id integer PRIMARY KEY, tenant integer, size integer, stamp double precision);
INSERT INTO item SELECT n, n % {WINDOWS}, n % 1000, 0 FROM generate_series(1, {ROWS}) AS n;
CREATE INDEX ON item (tenant, size, id); ANALYZE item;
"""
CONFIGURATION = "fsync = on\nshared_buffers = 128MB\n"


def query(window: int) -> dict[str, Any]:
    """Return the live query of one of the windows, each of which is touched by its own writes."""
    where = [{"column": "tenant", "op": "eq", "value": window}]
    return {"entity": "item", "where": where, "sort": [{"column": "size"}], "limit": 20}


def percentiles(delays: list[float]) -> dict[str, float]:
    """Return p50, p95 and p99 in milliseconds."""
    cuts = statistics.quantiles(delays, n=100)
    return {
        name: round(cuts[place] * 1000, 1)
        for name, place in (("p50", 49), ("p95", 94), ("p99", 98))
    }


async def write(url: str, seconds: float) -> int:
    """Write at the pace, each write one commit that carries its time; return how many."""
    done = 0

    def work() -> None:
        nonlocal done
        with psycopg.connect(url, autocommit=True) as connection:
            began = time.monotonic()
            while (at := time.monotonic() - began) < seconds:
                connection.execute(
                    "UPDATE item SET stamp = %s WHERE id = %s",
                    (time.time(), done % WINDOWS or WINDOWS),
                )
                done += 1
                time.sleep(max(0.0, done / WRITES_PER_SECOND - at))

    await asyncio.to_thread(work)
    return done


async def program(*arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    """Start one of ours; return it and where it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bridge", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    line = (await process.stdout.readline()).decode()
    return process, line.rsplit(" ", 1)[-1].strip()


def cpu_of(process: asyncio.subprocess.Process) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def live(url: str, capture: str) -> dict[str, Any]:
    """Measure tier and bridge with a browser's stream for each window."""
    tier, address = await program(
        "tier", "--listen", "127.0.0.1:0", "--database", url, "--capture", capture
    )
    bridge, base = await program(
        "serve",
        "--upstream",
        address,
        "--listen",
        "127.0.0.1:0",
        "--auth",
        "none",
        "--max-connections-per-ip",
        "0",
    )
    delays: list[float] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def watch(window: int, ready: asyncio.Event) -> None:
            async with session.post(f"{base}/api/v1/live", json=query(window)) as response:
                async for line in response.content:
                    ready.set()
                    if line.startswith(b"data:") and b'"op":"update"' in line:
                        delays.append(time.time() - json.loads(line[5:])["row"]["stamp"])

        readies = [asyncio.Event() for _ in range(WINDOWS)]
        watching = [asyncio.create_task(watch(place, ready)) for place, ready in enumerate(readies)]
        await asyncio.gather(*(ready.wait() for ready in readies))
        await asyncio.sleep(2)
        delays.clear()
        before = cpu_of(tier)
        writes = await write(url, SECONDS)
        await asyncio.sleep(1)
        used = cpu_of(tier) - before
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    for process in (bridge, tier):
        process.terminate()
        await process.wait()
    return {
        "writes": writes,
        "seen": len(delays),
        "ms": percentiles(delays),
        "tier CPU ms a write": round(used / writes * 1000, 2),
    }


async def polling(url: str) -> dict[str, Any]:
    """Measure every client asking its query once a second."""

    async def wait(_: psycopg.AsyncConnection[Any]) -> None:
        await asyncio.sleep(1)

    return await asking(url, wait)


async def notified(url: str) -> dict[str, Any]:
    """Measure every client asking its query again at each NOTIFY."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NOTIFY item; RETURN NULL; END $$;"
            "CREATE OR REPLACE TRIGGER told AFTER UPDATE ON item"
            " FOR EACH STATEMENT EXECUTE FUNCTION told()"
        )
    wake = asyncio.Condition()

    async def listen() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("LISTEN item")
            async for _ in connection.notifies():
                async with wake:
                    wake.notify_all()

    async def wait(_: psycopg.AsyncConnection[Any]) -> None:
        async with wake:
            await wake.wait()

    listening = asyncio.create_task(listen())
    try:
        return await asking(url, wait)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP TRIGGER told ON item")


async def asking(
    url: str, wait: Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]]
) -> dict[str, Any]:
    """Measure clients that ask again after each wait; they share 20 connections."""
    delays: list[float] = []
    queries = 0
    async with contextlib.AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(
                await psycopg.AsyncConnection.connect(url, autocommit=True)
            )
            for _ in range(20)
        ]
        locks = [asyncio.Lock() for _ in connections]

        async def client(window: int) -> None:
            nonlocal queries
            newest = 0.0
            place = window % len(connections)
            while True:
                async with locks[place]:
                    cursor = await connections[place].execute(
                        "SELECT * FROM item WHERE tenant = %s ORDER BY size, id LIMIT 20", (window,)
                    )
                    rows = await cursor.fetchall()
                queries += 1
                stamp = max(row[3] for row in rows)
                if stamp > newest:
                    if newest or stamp > began:
                        delays.append(time.time() - stamp)
                    newest = stamp
                await wait(connections[place])

        began = time.time()
        clients = [asyncio.create_task(client(place)) for place in range(WINDOWS)]
        await asyncio.sleep(1)
        delays.clear()
        queries = 0
        writes = await write(url, SECONDS)
        await asyncio.sleep(1)
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    return {
        "writes": writes,
        "seen": len(delays),
        "ms": percentiles(delays),
        "queries a write": round(queries / writes, 1),
    }


def pgbench(cluster: Any, url: str) -> float:
    """Return the transactions a second of pgbench's own load."""
    name = url.split("/")[3].split("?", maxsplit=1)[0]
    where = [cluster.programs / "pgbench", "-h", cluster.folder, "-U", "root"]
    load = ["-n", "-c", "4", "-T", "5", name]
    done = subprocess.run([*where, *load], check=True, capture_output=True, text=True)
    return float(done.stdout.split("tps = ")[1].split()[0])


async def writers_cost(cluster: Any, url: str) -> dict[str, Any]:
    """Measure pgbench alone and with a tier attached, in turns: the best of three of each."""
    name = url.split("/")[3].split("?", maxsplit=1)[0]
    fill = [cluster.programs / "pgbench", "-h", cluster.folder, "-U", "root", "-i", "-q", name]
    await asyncio.to_thread(subprocess.run, fill, check=True, capture_output=True)
    found: dict[str, Any] = {}
    asked = {
        "entity": "pgbench_accounts",
        "where": [{"column": "aid", "op": "eq", "value": 1}],
        "limit": 1,
    }
    for capture in ("wal", "trigger"):
        alone, attached = [], []
        for _ in range(3):
            alone.append(await asyncio.to_thread(pgbench, cluster, url))
            tier, address = await program(
                "tier", "--listen", "127.0.0.1:0", "--database", url, "--capture", capture
            )
            bridge, base = await program(
                "serve", "--upstream", address, "--listen", "127.0.0.1:0", "--auth", "none"
            )
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{base}/api/v1/live", json=asked) as response,
            ):
                await response.content.readany()
                await asyncio.sleep(2)
                attached.append(await asyncio.to_thread(pgbench, cluster, url))
            for process in (bridge, tier):
                process.terminate()
                await process.wait()
            forget, _ = await program("tier", "forget", "--database", url)
            await forget.wait()
        found[capture] = {
            "alone": round(max(alone)),
            "attached": round(max(attached)),
            "ratio": round(max(attached) / max(alone), 3),
        }
    return found


async def measure() -> dict[str, Any]:
    """Run everything; return the figures."""
    programs = find_programs()
    if programs is None:
        return {"skipped": "there is no PostgreSQL"}
    cluster = Cluster(programs, configuration=CONFIGURATION).make().start()
    try:
        url = cluster.database()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA)
            (version,) = connection.execute("SHOW server_version").fetchone() or ("",)
        figures: dict[str, Any] = {"PostgreSQL": version, "load before": os.getloadavg()[0]}
        parts: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
            "wal": lambda: live(url, "wal"),
            "trigger": lambda: live(url, "trigger"),
            "polling once a second": lambda: polling(url),
            "LISTEN/NOTIFY, a query per client": lambda: notified(url),
            "pgbench TPS": lambda: writers_cost(cluster, cluster.database()),
        }
        for name, part in parts.items():
            figures[name] = await part()
            print(name, figures[name], file=sys.stderr, flush=True)  # noqa: T201 - progress
        figures["own CPU s"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_utime, 1)
    finally:
        cluster.remove()
    return figures


def main() -> None:
    """Print the figures as JSON, and keep them beside the report."""
    figures = asyncio.run(measure())
    text = json.dumps(figures, indent=2, ensure_ascii=False)
    Path(__file__).with_name("tier.json").write_text(text + "\n")
    print(text)  # noqa: T201 - the report


if __name__ == "__main__":
    main()
