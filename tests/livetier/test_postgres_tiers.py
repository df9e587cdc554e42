"""Tiers over PostgreSQL as they are run: cut connections, lost servers, many processes, figures."""

import asyncio
import contextlib
import signal
import urllib.request

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from house_fixtures import run  # noqa: F401 - a fixture
from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc
from livetier.postgres.reader import BEGIN
from livetier.server import TierOptions, start_tier
from ops_support import free_port
from patience import patiently
from postgres_cluster import Cluster, find_programs
from postgres_support import database, require_cluster  # noqa: F401 - a fixture
from tier_client import Live, leaf, query

TASKS = query("task", sort=["name"], limit=5)


@pytest.fixture
def tasks(database):
    connection = psycopg.connect(database, autocommit=True)
    connection.execute(
        "CREATE TABLE task (id integer PRIMARY KEY, name text); INSERT INTO task VALUES (1, 'a')"
    )
    yield database, connection
    connection.close()


@pytest.fixture
async def tiers():
    async with contextlib.AsyncExitStack() as stack:

        async def start(**options):
            tier = await start_tier(TierOptions(**options))
            stack.push_async_callback(tier.stop)
            return tier

        yield start


async def test_a_cut_of_every_connection_loses_no_commit_and_ends_no_stream(tiers, tasks):
    url, connection = tasks
    tier = await tiers(database=url, capture="wal")
    async with Live(tier, TASKS) as live:
        for number in range(2, 5):
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute("INSERT INTO task VALUES (%s, %s)", (number, f"b{number}"))
            await live.until(lambda number=number: len(live.rows) == number)
        assert len(live.resets) == 1


async def test_a_long_transaction_anywhere_keeps_nobody_from_a_first_window_and_its_changes(
    tiers, tasks
):
    url, connection = tasks
    with psycopg.connect(require_cluster().url("postgres")) as other:
        other.execute("CREATE TEMP TABLE held (n integer)")  # its id keeps slots from being made
        tier = await tiers(database=url, capture="wal")
        async with Live(tier, TASKS) as live:
            connection.execute("INSERT INTO task VALUES (2, 'b')")
            await live.until(lambda: len(live.rows) == 2)
            other.rollback()
            connection.execute("INSERT INTO task VALUES (3, 'c')")
            await live.until(lambda: len(live.rows) == 3)
            assert len(live.resets) == 1


async def test_a_delivered_commit_that_others_cannot_see_yet_is_shown_once_they_can(tiers, tasks):
    url, connection = tasks
    cluster = require_cluster()
    tier = await tiers(database=url, capture="wal")
    async with Live(tier, TASKS) as live:
        await tier.settle()
        with psycopg.connect(cluster.url("postgres"), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            admin.execute("SELECT pg_reload_conf()")
            try:
                # Servers take a new configuration in their own time: one of these commits waits.
                for hidden in range(2, 100):
                    statement = f"INSERT INTO task VALUES ({hidden}, 'b')"  # noqa: S608 - a number
                    waiting = asyncio.create_task(asyncio.to_thread(connection.execute, statement))
                    if not (await asyncio.wait([waiting], timeout=1))[0]:
                        break
                store = tier.watcher._store
                async with asyncio.timeout(10):
                    while not store.ledger.waiting:  # it is delivered, and no snapshot sees it
                        await asyncio.sleep(0.01)
                assert not waiting.done()
                late = query("task", sort=["-id"], limit=1)
                async with Live(tier, late) as other:
                    assert other.ids == [str(hidden - 1)]
                    admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
                    admin.execute("SELECT pg_reload_conf()")
                    await waiting
                    await other.until(lambda: other.ids == [str(hidden)])
                    newest = query("task", leaf("id", "eq", hidden))
                    async with Live(tier, newest) as third:
                        assert third.ids == [str(hidden)]
                    await live.until(lambda: len(live.ids) == min(hidden, 5))
            finally:
                admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
                admin.execute("SELECT pg_reload_conf()")


async def test_tables_that_are_altered_dropped_and_made_anew_are_followed(tiers, tasks):
    url, connection = tasks
    tier = await tiers(database=url, capture="wal")
    async with Live(tier, TASKS) as live:
        connection.execute("ALTER TABLE task ADD COLUMN more integer DEFAULT 7")
        await live.until(lambda: live.rows[0][2] == {"id": 1, "name": "a", "more": 7})
        connection.execute("TRUNCATE task")
        await live.until(lambda: live.rows == [])
        connection.execute("DROP TABLE task")
        await tier.settle()  # it sees that the table is gone, and waits for it to come back
        connection.execute(
            "CREATE TABLE task (id text PRIMARY KEY, name text); INSERT INTO task VALUES ('x', 'y')"
        )
        await live.until(lambda: live.ids == ["x"])
        connection.execute("INSERT INTO task VALUES ('z', 'z')")
        await live.until(lambda: live.ids == ["x", "z"])
        assert len(live.resets) == 1


async def test_what_is_committed_while_a_table_made_anew_is_looked_up_is_not_missed(tiers, tasks):
    url, connection = tasks
    tier = await tiers(database=url, capture="wal")
    async with Live(tier, TASKS) as live:
        await tier.settle()
        store = tier.watcher._store
        planner, plan = store._planner, store._planner.plan

        async def slow(*asked):
            planner.plan = plan
            # The reading's snapshot sees no table. No stream tells of this: it is not published.
            await asyncio.to_thread(
                connection.execute,
                "CREATE TABLE task (id text PRIMARY KEY, name text); INSERT INTO task VALUES ('x', 'y')",
            )
            return await plan(*asked)

        planner.plan = slow
        connection.execute("DROP TABLE task")
        await live.until(lambda: live.ids == ["x"])
        assert len(live.resets) == 1


async def test_a_force_while_the_answer_of_a_snapshot_is_under_way_is_not_satisfied_by_it(
    tiers, tasks
):
    url, connection = tasks
    tier = await tiers(database=url, capture="wal")
    async with Live(tier, TASKS) as live:
        await tier.settle()
        store = tier.watcher._store
        run = store._reader.run

        async def slow(statements):
            answers = await run(statements)
            if statements[0] == BEGIN:
                store._reader.run = run
                connection.execute("INSERT INTO task VALUES (2, 'b')")
                await tier.watcher._store.capture.settle()  # it is delivered, and then forgotten:
                store.ledger.forget_transactions()
                store.ledger.force()
            return answers

        store._reader.run = slow
        store.ledger.force()
        store._wake.set()
        await live.until(lambda: len(live.rows) == 2)


async def test_two_tiers_over_one_database_show_the_same_rows_with_the_same_versions(tiers, tasks):
    url, connection = tasks
    one, two = [await tiers(database=url, capture="wal") for _ in range(2)]
    async with Live(one, TASKS) as left, Live(two, TASKS) as right:
        for number in range(20):
            connection.execute(
                "INSERT INTO task VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
                (number % 7, f"n{number}"),
            )
        await left.caught_up()
        await right.caught_up()
        assert left.rows == right.rows


async def test_a_tier_that_is_stopped_leaves_no_slot_that_would_keep_the_log(tiers, tasks):
    url, connection = tasks
    slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
    tier = await tiers(database=url, capture="wal")
    await tier.settle()
    assert connection.execute(slots).fetchone() == (1,)
    await tier.stop()
    async with asyncio.timeout(10):
        while connection.execute(slots).fetchone() != (0,):
            await asyncio.sleep(0.05)


async def test_a_tier_that_is_killed_leaves_no_slot_that_would_keep_the_log(tasks, run):
    url, connection = tasks
    slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
    program = await run("tier", "--listen", "127.0.0.1:0", "--database", url, "--capture", "wal")
    await program.listening()
    for signal_, left in ((None, 1), (signal.SIGKILL, 0)):
        if signal_ is not None:
            program.send(signal_)
            await program.ended()
        async with patiently(20):
            while connection.execute(slots).fetchone() != (left,):
                await asyncio.sleep(0.05)


TOLD = """
SELECT bool_or(write_lsn > sent_lsn), bool_and(flush_lsn <= sent_lsn), count(*)
FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid
WHERE database = current_database()
"""
"""Whether a server was told of more than it has sent, and whether what is kept is true."""
KEPT_FROM = """
SELECT bool_and(confirmed_flush_lsn >= %s::pg_lsn) FROM pg_replication_slots
WHERE database = current_database()
"""
"""Whether no slot keeps the log from before a place."""


async def test_a_server_is_told_ahead_what_is_written_but_not_where_commits_may_wait_for_it(
    tiers, tasks
):
    url, connection = tasks
    first = await tiers(database=url, capture="wal")
    await first.settle()
    async with patiently(20):
        while connection.execute(TOLD).fetchone() != (True, True, 1):
            await asyncio.sleep(0.05)
    connection.execute("UPDATE task SET name = 'b'")
    [end] = connection.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
    async with patiently(20):  # of one commit it is told, too, though later
        while connection.execute(KEPT_FROM, (end,)).fetchone() != (True,):
            await asyncio.sleep(0.05)
    try:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.execute("SELECT pg_reload_conf()")
        async with patiently(20):
            for name in "bcd":  # nobody watches the table: nothing of it is sent
                await asyncio.to_thread(connection.execute, f"CREATE TABLE {name} (id int)")
        await first.stop()
        second = await tiers(database=url, capture="wal")
        await second.settle()
        async with patiently(20):
            while connection.execute(TOLD).fetchone() != (False, True, 1):
                await asyncio.sleep(0.05)
    finally:
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        connection.execute("SELECT pg_reload_conf()")


async def test_a_tier_that_is_stuck_pins_no_log_and_is_right_when_it_goes_on(tasks, run):
    url, connection = tasks
    slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
    program = await run("tier", "--listen", "127.0.0.1:0", "--database", url, "--capture", "wal")
    address = await program.listening()
    connection.execute("ALTER SYSTEM SET wal_sender_timeout = '1s'")
    connection.execute("SELECT pg_reload_conf()")
    channel = grpc.aio.insecure_channel(address)
    call = livequery_pb2_grpc.LiveQueryServiceStub(channel).Subscribe(
        pb.SubscribeRequest(query=TASKS)
    )
    try:
        async with asyncio.timeout(50):
            while connection.execute(slots).fetchone() != (1,):
                await asyncio.sleep(0.05)
            program.send(signal.SIGSTOP)
            connection.execute("INSERT INTO task VALUES (2, 'b')")
            while connection.execute(slots).fetchone() != (0,):
                await asyncio.sleep(0.05)
            program.send(signal.SIGCONT)
            seen = set()
            while "2" not in seen:
                message = await call.read()
                seen |= {delta.agg_id for delta in message.batch.deltas}
    finally:
        program.send(signal.SIGCONT)
        connection.execute("ALTER SYSTEM RESET wal_sender_timeout")
        connection.execute("SELECT pg_reload_conf()")
        call.cancel()
        await channel.close()


async def test_the_tier_serves_its_own_metrics(tiers, tasks):
    url, connection = tasks
    port = free_port()
    tier = await tiers(database=url, capture="wal", metrics_listen=f"127.0.0.1:{port}")
    async with Live(tier, query("task", leaf("id", "eq", 1))) as live:
        connection.execute("INSERT INTO task VALUES (2, 'other')")
        connection.execute("UPDATE task SET name = 'b' WHERE id = 1")
        await live.caught_up()
        page = await asyncio.to_thread(
            lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        )
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert samples["livequery_tier_windows"] == "1.0"
    assert samples["livequery_tier_stream_up"] == "1.0"
    assert float(samples["livequery_tier_transactions_total"]) >= 2
    assert float(samples['livequery_tier_shortcuts_total{reason="unequal"}']) >= 1
    assert float(samples['livequery_tier_readings_total{cause="touched"}']) >= 1


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "changes are learnt by wal: logical decoding is possible"),
        (("--capture", "trigger"), "changes are learnt by trigger: as told"),
    ],
)
async def test_an_operator_reads_how_changes_are_learnt_and_why(tasks, run, options, line):
    url, _ = tasks
    program = await run("tier", "--listen", "127.0.0.1:0", "--database", url, *options)
    await program.listening()
    await program.says(line)


@pytest.mark.timeout(120)
async def health_is(tier, *statuses):
    """Return once the tier's health has been all of `statuses`, one after the other."""
    async with grpc.aio.insecure_channel(tier.address) as channel:
        asked = health_pb2.HealthCheckRequest(service="livequery.v1.LiveQueryService")
        watch = health_pb2_grpc.HealthStub(channel).Watch(asked)
        for status in statuses:
            async with asyncio.timeout(30):
                while (await watch.read()).status != status:
                    pass


async def test_a_server_that_is_killed_and_one_that_takes_its_place_are_a_difference_not_a_reset(
    tiers,
):
    programs = find_programs()
    if programs is None:
        require_cluster()
    primary = await asyncio.to_thread(lambda: Cluster(programs).make().start())
    standby = Cluster(programs)
    try:
        url = primary.database()
        name = url.split("/")[3].split("?")[0]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE task (id integer PRIMARY KEY, name text); INSERT INTO task VALUES (1, 'a')"
            )
        await asyncio.to_thread(lambda: standby.make_standby_of(primary).start())
        both = f"postgresql://root@/{name}?host={primary.folder},{standby.folder}&target_session_attrs=read-write"
        tier = await tiers(database=both, capture="wal")
        async with Live(tier, TASKS) as live:
            await tier.settle()
            await asyncio.to_thread(primary.kill)
            await health_is(tier, health_pb2.HealthCheckResponse.NOT_SERVING)
            await asyncio.to_thread(primary.start)
            await health_is(tier, health_pb2.HealthCheckResponse.SERVING)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("INSERT INTO task VALUES (2, 'b')")
            await live.until(lambda: live.ids == ["1", "2"])
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("SELECT pg_switch_wal()")
            there = standby.url(name)
            async with asyncio.timeout(30):
                while True:
                    with psycopg.connect(there, autocommit=True) as connection:
                        if connection.execute("SELECT count(*) FROM task").fetchone() == (2,):
                            break
                    await asyncio.sleep(0.1)
            await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(standby.promote)
            with psycopg.connect(there, autocommit=True) as connection:
                connection.execute("INSERT INTO task VALUES (3, 'c')")
            await live.until(lambda: live.ids == ["1", "2", "3"])
            assert len(live.resets) == 1
    finally:
        for cluster in (primary, standby):
            await asyncio.to_thread(cluster.remove)
