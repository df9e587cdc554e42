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
from postgres_storm import SCHEMA, StormQuery, pick_row

pytestmark = pytest.mark.early

WINDOWS, TRANSACTIONS, WRITERS = 40, 1250, 4  # of a round


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
                    f"{[pair for pair in zip(shown(client), rows, strict=False) if pair[0] != pair[1]][:1]} {client.problem} {client.notices[-3:]} {place}\n{program.err}"
                )
            await asyncio.sleep(0.02)


class Rig:
    """A tier that may be killed, a bridge before it, and a client for each query of a storm."""

    def __init__(self, run, join, storm, *options):
        self.run, self.join, self.storm, self.options = run, join, storm, options
        self.port = free_port()

    async def start(self):
        await self.start_tier()
        bridge = await self.run(
            "serve",
            *("--upstream", f"127.0.0.1:{self.port}", "--listen", "127.0.0.1:0"),
            *("--max-connections-per-ip", "0"),  # all clients have one address
        )
        await self.join_all(await bridge.listening())
        return self

    async def join_all(self, url):
        """Have a client of each query, of all kinds in turn, and wait until all agree."""
        self.clients = [
            await self.join(url, KINDS[place % 4], each.query)
            for place, each in enumerate(self.storm.queries)
        ]
        await self.agree()
        self.resets = self.count_resets()

    async def start_tier(self):
        self.tier = await self.run(
            "tier",
            "--listen",
            f"127.0.0.1:{self.port}",
            "--database",
            self.storm.url,
            *self.options,
        )
        await self.tier.listening()

    async def kill_tier(self):
        self.tier.send(signal.SIGKILL)
        await self.tier.ended()
        await self.start_tier()

    def count_resets(self):
        return [sum(frame["op"] == "reset" for frame in client.frames) for client in self.clients]

    async def agree(self, within=25):
        await agree(self.storm, self.clients, self.tier, within)

    async def weather(self, round_, transactions, **more):
        """Write from several processes, and return the tasks that do."""
        return [
            asyncio.create_task(
                self.storm.write(100 * round_ + writer, transactions // WRITERS, **more)
            )
            for writer in range(WRITERS)
        ]


@pytest.fixture
async def storm(cluster):
    storm = await asyncio.to_thread(Storm, cluster, seed=1, windows=WINDOWS)
    yield storm
    storm.connection.close()


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("capture", "rounds"), [("wal", 4), ("trigger", 2)])
async def test_through_a_storm_with_tier_kills_every_window_equals_its_own_select(
    storm, run, join, capture, rounds
):
    rig = await Rig(run, join, storm, "--capture", capture).start()
    for round_ in range(rounds):
        writing = await rig.weather(round_, TRANSACTIONS)
        await asyncio.sleep(0.5)
        if round_ % 2:
            await rig.kill_tier()
        await asyncio.gather(*writing)
        await rig.agree()
    assert rig.count_resets() == rig.resets
