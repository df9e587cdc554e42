"""Other processes write as fast as they can while windows are opened, slid and read."""

import asyncio
import sys

from livequery.v1 import livequery_pb2 as pb
from livetier.sqlite.database import Database
from sqlite_support import entries
from tier_client import Live, leaf, query, value

WRITER = """
import random, sqlite3, sys
path, seed = sys.argv[1], int(sys.argv[2])
pick = random.Random(seed)
connection = sqlite3.connect(path, timeout=30, isolation_level=None)
for _ in range(1200):
    connection.execute("BEGIN IMMEDIATE")
    for _ in range(pick.randint(1, 6)):
        key, name, size = f"k{pick.randint(0, 40)}", pick.choice("abcdefg"), pick.randint(0, 9)
        statement = pick.choice([
            "INSERT OR REPLACE INTO thing (id, name, size) VALUES (:key, :name, :size)",
            "INSERT INTO thing (id, name, size) VALUES (:key, :name, :size)"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            "UPDATE thing SET size = :size WHERE id = :key",
            "UPDATE thing SET name = :name WHERE size = :size",
            "UPDATE OR REPLACE thing SET id = :key WHERE id = 'k' || :size",
            "DELETE FROM thing WHERE id = :key",
            "DELETE FROM thing WHERE size = :size",
        ])
        connection.execute(statement, {"key": key, "name": name, "size": size})
    connection.execute(pick.choice(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]))
connection.close()
"""


async def read_without_pause(tier):
    """More turns than the watcher would take by itself: more chances to get them wrong."""
    while True:
        await tier.settle()


async def test_after_a_storm_of_foreign_commits_every_window_is_exact(tiers, things):
    tier = await tiers(database=things[0])
    queries = [
        query("thing", sort=["name"], limit=5),
        query("thing", leaf("size", "gt", 3), sort=["-size", "name"], limit=7),
        query("thing", leaf("name", "notin", ["a", "b"]), limit=100),
    ]
    async with Live(tier, queries[0]) as one, Live(tier, queries[1]) as two:
        writers = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", WRITER, str(tier.database), str(seed)
            )
            for seed in (1, 2)
        ]
        await one.until(lambda: len(one.groups) > 5)
        reader = asyncio.create_task(read_without_pause(tier))
        async with Live(tier, queries[2]) as three:
            for letter in "bcd":
                seen = len(three.groups)
                await three.until(lambda seen=seen: len(three.groups) > seen + 5)
                request = pb.ReanchorRequest(
                    subscription_id=one.started.subscription_id,
                    cursor=pb.Cursor(values=[value(letter), value("k1")]),
                )
                answer = await one.stub.Reanchor(request)
                await one.until(lambda epoch=answer.epoch: one.epoch == epoch and one.complete)
            for writer in writers:
                assert await writer.wait() == 0
            reader.cancel()
            await asyncio.wait([reader])
            queries[0].CopyFrom(answer.effective_query)
            lives = (one, two, three)
            database = await asyncio.to_thread(Database, tier.database)
            for live, live_query in zip(lives, queries, strict=True):
                await live.caught_up()
                expected = await asyncio.to_thread(entries, database, live_query)
                assert live.rows == expected
            database.close()
            assert one.epoch == 4
            assert all(len(live.groups) > 30 for live in (two, three))
