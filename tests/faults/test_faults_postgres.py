"""A storm over PostgreSQL, tiers killed in it: every window equals its own SELECT whenever it is
quiet, in the clients of the bridge, and no reset reaches a client that stays."""

import asyncio
import json
import random
import signal
import sys
import time

import psycopg
import pytest
from faults_support import KINDS, join  # noqa: F401 - a fixture

import postgres_storm
from ops_support import free_port
from postgres_cluster import Cluster, find_programs
from postgres_storm import SCHEMA, StormQuery, Writer, pick_row

WINDOWS, TRANSACTIONS, WRITERS = 40, 5000, 4


@pytest.fixture
def cluster():
    programs = find_programs()
    if programs is None:
        pytest.skip(
            "*** No PostgreSQL: its storm is SKIPPED. Install it with: apt-get install postgresql ***"
        )
    cluster = Cluster(programs).make().start()
    yield cluster
    cluster.remove()


class Storm:
    def __init__(self, cluster, *, seed, windows):
        self.cluster = cluster
        self.url = cluster.database()
        pick = random.Random(seed)
        self.queries = [StormQuery(pick) for _ in range(windows)]
        self.connection = psycopg.connect(self.url, autocommit=True)
        self.connection.execute("SET timezone = 'UTC'")
        self.connection.execute(SCHEMA)
        for table in ("item", "pair", "part"):
            for _ in range(150):
                row = pick_row(pick, table)
                columns = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, row))
                places = psycopg.sql.SQL(", ").join(psycopg.sql.Placeholder() * len(row))
                self.connection.execute(
                    psycopg.sql.SQL(
                        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING"
                    ).format(psycopg.sql.Identifier(table), columns, places),
                    list(row.values()),
                )

    def expected(self):
        return [query.expected(self.connection) for query in self.queries]

    async def write(self, seed, transactions, synchronous="on"):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            postgres_storm.__file__,
            self.url,
            str(seed),
            str(transactions),
            synchronous,
        )
        assert await process.wait() == 0


def shown(client):
    return [(frame["agg_id"], frame["row"]) for frame in client.by_id.frames]


async def agree(storm, clients, program, within=20):
    """Wait until every client shows what its query selects; fail with the first that does not."""
    expected = await asyncio.to_thread(storm.expected)
    end = time.monotonic() + within
    for place, (query, client, rows) in enumerate(
        zip(storm.queries, clients, expected, strict=True)
    ):
        while shown(client) != rows:
            if client.closed.done() or client.problem or time.monotonic() > end:
                raise AssertionError(
                    f"{json.dumps(query.query)}\n{query.statement().as_string(storm.connection)}\n"
                    f"shows   {[each[0] for each in shown(client)]}\nexpects {[each[0] for each in rows]}\n"
                    f"{[pair for pair in zip(shown(client), rows) if pair[0] != pair[1]][:1]} {client.problem} {client.notices[-3:]} {place}\n{program.err}"
                )
            await asyncio.sleep(0.02)


@pytest.mark.timeout(120)
async def test_through_a_storm_with_tier_kills_every_window_equals_its_own_select(
    cluster, run, join
):  # noqa: F811
    storm = await asyncio.to_thread(Storm, cluster, seed=1, windows=WINDOWS)
    port = free_port()

    async def tier():
        program = await run(
            "tier", "--listen", f"127.0.0.1:{port}", "--database", storm.url, "--capture", "wal"
        )
        await program.listening()
        return program

    running = await tier()
    bridge = await run("serve", "--upstream", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0")
    url = await bridge.listening()
    clients = [
        await join(url, KINDS[place % 4], each.query) for place, each in enumerate(storm.queries)
    ]
    await agree(storm, clients, running)
    resets = [sum(frame["op"] == "reset" for frame in client.frames) for client in clients]
    for round_ in range(5):
        writing = [
            asyncio.create_task(storm.write(100 * round_ + writer, TRANSACTIONS // WRITERS // 5))
            for writer in range(WRITERS)
        ]
        await asyncio.sleep(0.5)
        if round_ % 2:
            running.send(signal.SIGKILL)
            await running.ended()
            running = await tier()
        await asyncio.gather(*writing)
        await agree(storm, clients, running)
    storm.connection.close()
    assert resets == [sum(frame["op"] == "reset" for frame in client.frames) for client in clients]
