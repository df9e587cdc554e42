"""The whole storm over PostgreSQL, minutes long: every capture, kind of commit, shortcuts on and off;
the server killed, connections cut, a standby that takes over."""

import asyncio

import psycopg
import pytest
from faults_support import join  # noqa: F401 - a fixture
from test_faults_postgres import Rig, Storm, cluster  # noqa: F401 - a fixture

from postgres_cluster import Cluster, find_programs

WINDOWS, TRANSACTIONS, ROUNDS = 200, 100_000, 20

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


async def rage(rig, *, transactions=TRANSACTIONS, rounds=ROUNDS, between=None, **more):
    """Write in rounds; in the middle of each something breaks; in the end of each all agree."""
    for round_ in range(rounds):
        writing = await rig.weather(round_, transactions // rounds, **more)
        await asyncio.sleep(1)
        if between is not None:
            await between(round_)
        await asyncio.gather(*writing)
        await rig.agree(within=60)
    assert rig.count_resets() == rig.resets


@pytest.mark.parametrize("synchronous", ["on", "off"])
@pytest.mark.parametrize("shortcuts", ["on", "off"])
@pytest.mark.parametrize("capture", ["wal", "trigger"])
async def test_every_window_equals_its_own_select_at_every_quiet_moment(
    cluster, run, join, capture, shortcuts, synchronous
):
    storm = await asyncio.to_thread(Storm, cluster, seed=7, windows=WINDOWS)
    rig = await Rig(run, join, storm, "--capture", capture, "--shortcuts", shortcuts).start()

    async def hurt(round_):
        if round_ % 4 == 1:
            await rig.kill_tier()
        elif round_ % 4 == 3:
            storm.connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND backend_type IN ('client backend', 'walsender')"
            )

    few = (
        TRANSACTIONS
        if (capture, shortcuts, synchronous) == ("wal", "on", "on")
        else TRANSACTIONS // 10
    )
    await rage(
        rig,
        transactions=few,
        rounds=ROUNDS if few == TRANSACTIONS else 6,
        between=hurt,
        synchronous=synchronous,
    )
    storm.connection.close()


async def test_a_server_that_is_killed_again_and_again_loses_no_window(cluster, run, join):
    storm = await asyncio.to_thread(Storm, cluster, seed=8, windows=40)
    rig = await Rig(run, join, storm, "--capture", "wal").start()

    async def kill(_):
        storm.connection.close()
        await asyncio.to_thread(cluster.kill)
        await asyncio.to_thread(cluster.start)
        storm.connection = await asyncio.to_thread(psycopg.connect, storm.url, autocommit=True)
        storm.connection.execute("SET timezone = 'UTC'")

    await rage(rig, transactions=10_000, rounds=5, between=kill)
    storm.connection.close()


async def test_with_synchronous_replication_and_a_failover_no_window_is_lost(cluster, run, join):
    storm = await asyncio.to_thread(Storm, cluster, seed=9, windows=40)
    standby = Cluster(find_programs())
    name = storm.url.split("/")[3].split("?")[0]
    own = storm.connection
    try:
        await asyncio.to_thread(lambda: standby.make_standby_of(cluster).start())
        own.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        own.execute("SELECT pg_reload_conf()")
        storm.url = f"postgresql://root@/{name}?host={cluster.folder},{standby.folder}&target_session_attrs=read-write"
        rig = await Rig(run, join, storm, "--capture", "wal").start()
        await rage(rig, transactions=10_000, rounds=5)
        own.close()
        await asyncio.to_thread(cluster.kill)
        await asyncio.to_thread(standby.promote)
        storm.connection = await asyncio.to_thread(psycopg.connect, storm.url, autocommit=True)
        storm.connection.execute("SET timezone = 'UTC'")
        storm.connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        storm.connection.execute("SELECT pg_reload_conf()")
        await rage(rig, transactions=5_000, rounds=2)
        storm.connection.close()
    finally:
        await asyncio.to_thread(standby.remove)
