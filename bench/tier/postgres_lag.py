# ruff: noqa: S608 (its own numbers)
"""PostgreSQL: commit → browser by the tier, by polling, by a query per client at each NOTIFY."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import psycopg

from bench.tier.lag import Figures, Query, commit_to_browser, paced, percentiles

WINDOWS, ROWS = 200, 20_000
SCHEMA = f"""
CREATE TABLE item (id integer PRIMARY KEY, tenant integer, size integer, stamp double precision);
INSERT INTO item SELECT n, n % {WINDOWS}, n % 1000, 0 FROM generate_series(1, {ROWS}) AS n;
CREATE INDEX ON item (tenant, size, id); CREATE INDEX ON item (size, id); ANALYZE item;
"""
CONNECTIONS = 20
"""Of all clients that ask by themselves."""


def query(window: int) -> Query:
    """Return the live query of a window; no other one has its rows."""
    where = [{"column": "tenant", "op": "eq", "value": window}]
    return {"entity": "item", "where": where, "sort": [{"column": "size"}], "limit": 20}


def write(url: str) -> int:
    """Write to each window in turn."""
    with psycopg.connect(url, autocommit=True) as connection:

        def commit(number: int, now: float) -> None:
            key = number % WINDOWS or WINDOWS
            connection.execute("UPDATE item SET stamp = %s WHERE id = %s", (now, key))

        return paced(commit)


async def live(url: str, capture: str) -> Figures:
    """Measure the tier, with a browser's stream for each window."""
    return await commit_to_browser(
        url,
        "--capture",
        capture,
        queries=[query(window) for window in range(WINDOWS)],
        write=lambda: write(url),
    )


async def polling(url: str) -> Figures:
    """Measure every client asking its query once a second."""
    return await _asking(url, lambda: asyncio.sleep(1))


async def notified(url: str) -> Figures:
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

    async def wait() -> None:
        async with wake:
            await wake.wait()

    listening = asyncio.create_task(listen())
    try:
        return await _asking(url, wait)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP TRIGGER told ON item")


async def _asking(url: str, wait: Callable[[], Awaitable[None]]) -> Figures:
    """Measure clients that ask again after each wait."""
    delays: list[float] = []
    queries = 0
    async with contextlib.AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(
                await psycopg.AsyncConnection.connect(url, autocommit=True)
            )
            for _ in range(CONNECTIONS)
        ]
        locks = [asyncio.Lock() for _ in connections]

        async def client(window: int) -> None:
            nonlocal queries
            newest = time.time()
            place = window % len(connections)
            while True:
                async with locks[place]:
                    cursor = await connections[place].execute(
                        f"SELECT * FROM item WHERE tenant = {window} ORDER BY size, id LIMIT 20"
                    )
                    rows = await cursor.fetchall()
                queries += 1
                stamp = max(row[3] for row in rows)
                if stamp > newest:
                    delays.append(time.time() - stamp)
                    newest = stamp
                await wait()

        clients = [asyncio.create_task(client(window)) for window in range(WINDOWS)]
        await asyncio.sleep(1)
        delays.clear()
        queries = 0
        writes = await asyncio.to_thread(write, url)
        await asyncio.sleep(1)
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    return {
        "writes": writes,
        "seen": len(delays),
        **percentiles(delays),
        "queries": round(queries / writes, 1),
    }
