"""Streams while the database changes in ways of its own: other processes, schemas, a full log."""

import asyncio
import sys

import grpc
import pytest

from livetier.sqlite import changelog
from sqlite_support import fill
from tier_client import Live, leaf, query, refusal, shape

BY_NAME = {"sort": ["name"], "limit": 3}


async def test_a_commit_of_another_process_arrives_by_itself(served, things):
    tier, _ = served
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        "c.execute(\"INSERT INTO thing (id, name) VALUES ('p', 'other'), ('q', 'other')\");"
        "c.commit(); c.close()"
    )
    async with Live(tier, query("thing", **BY_NAME)) as live:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(tier.database)
        )
        assert await process.wait() == 0
        await live.until(lambda: live.ids == ["p", "q"])
        assert len(live.groups) == 1


async def test_a_table_made_later_is_an_entity_once_somebody_asks(served):
    tier, connection = served
    connection.execute("CREATE TABLE late (n REAL)")
    async with Live(tier, query("late")) as live:
        connection.execute("INSERT INTO late VALUES (1.5)")
        await live.until(lambda: live.ids == ["1"])


async def test_a_new_column_shows_and_a_dropped_table_ends_its_streams(served):
    tier, connection = served
    fill(connection, "a")
    async with Live(tier, query("thing", **BY_NAME)) as live:
        connection.execute("ALTER TABLE thing ADD COLUMN extra DEFAULT 5")
        await live.until(lambda: "extra" in live.rows[0][2])
        connection.execute("ALTER TABLE thing ADD COLUMN another DEFAULT 6")
        await live.until(lambda: "another" in live.rows[0][2])
        connection.execute("DROP TABLE thing")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await live.until(lambda: False)
        assert refusal(caught.value)[:2] == (grpc.StatusCode.NOT_FOUND, "entity")


async def test_a_table_made_anew_under_a_running_stream_goes_on(served):
    tier, connection = served
    fill(connection, "ab")
    async with Live(tier, query("thing", **BY_NAME)) as live:
        connection.execute("BEGIN")
        connection.execute("DROP TABLE thing")
        connection.execute("CREATE TABLE thing (id INTEGER PRIMARY KEY, name)")
        connection.execute("INSERT INTO thing VALUES (7, 'new')")
        connection.execute("COMMIT")
        await live.until(lambda: live.ids == ["7"])
        connection.execute("INSERT INTO thing VALUES (8, 'newer')")
        await live.until(lambda: live.ids == ["7", "8"])


async def test_streamed_mode_misses_nothing_when_the_log_no_longer_tells(served):
    tier, connection = served
    fill(connection, "abc")
    asked = query("thing", leaf("size", "isnull"), sort=["name"], streamed=True)
    async with Live(tier, asked) as live:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM thing WHERE name = 'a'")
        connection.execute("UPDATE thing SET kind = 1 WHERE name = 'b'")
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?)"
            " INSERT INTO thing (id, size) SELECT i, i FROM n",
            (changelog.KEPT,),
        )
        connection.execute("COMMIT")
        await live.caught_up()
        assert shape(live.groups[-1]) == [("unmatch", "id-a", 0, 0), ("update", "id-b", 0, 0)]
        connection.execute("BEGIN")
        connection.execute("DROP TABLE thing")
        connection.execute("CREATE TABLE thing (id TEXT PRIMARY KEY, name, size)")
        connection.execute("INSERT INTO thing (id, name) VALUES ('new', 'n')")
        connection.execute("COMMIT")
        await live.until(lambda: list(live.members) == ["new"])
