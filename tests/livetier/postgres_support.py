"""One PostgreSQL server for the tests of a process; what a query selects, by a connection of the test's own."""

import asyncio
import atexit
import functools

import psycopg
import pytest

from livetier.postgres.options import PostgresOptions
from livetier.postgres.store import PostgresStore
from postgres_cluster import Cluster, find_programs


@functools.cache
def shared_cluster():
    """Return a running server, started once; None where PostgreSQL can't be had."""
    programs = find_programs()
    if programs is None:
        return None
    cluster = Cluster(programs).make().start()
    atexit.register(cluster.remove)
    return cluster


def require_cluster():
    cluster = shared_cluster()
    if cluster is None:
        pytest.skip(
            "*** No PostgreSQL: the tests of its store are SKIPPED. Install it with: apt-get install postgresql ***"
        )
    return cluster


def make_store(url, **options):
    return PostgresStore(PostgresOptions(conninfo=url, **options))


class Table:
    """Writes as another process would: over a connection of its own."""

    def __init__(self, url, **options):
        self.url = url
        self.store = make_store(url, **options)
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute("CREATE TABLE thing (id text PRIMARY KEY, name text, size integer)")

    async def put(self, *row):
        await self.run(
            "INSERT INTO thing VALUES (%s, %s, %s)"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name, size = excluded.size",
            row,
        )

    async def delete(self, key):
        await self.run("DELETE FROM thing WHERE id = %s", (key,))

    async def run(self, statement, params=None):
        await asyncio.to_thread(self.connection.execute, statement, params)


@pytest.fixture
def database():
    """An empty database: its URL."""
    return require_cluster().database()
