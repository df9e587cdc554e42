import asyncio
import sqlite3

import pytest

from livetier.sqlite.store import SqliteStore
from store_suite import StoreSuite


class Table:
    """Writes as another process would: over a connection of its own."""

    def __init__(self, path):
        self.store = SqliteStore(path)
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = wal")
        self.connection.execute("CREATE TABLE thing (id TEXT PRIMARY KEY, name TEXT, size INTEGER)")

    async def put(self, *row):
        await self._run("REPLACE INTO thing VALUES (?, ?, ?)", row)

    async def delete(self, key):
        await self._run("DELETE FROM thing WHERE id = ?", (key,))

    async def _run(self, statement, params):
        await asyncio.to_thread(self.connection.execute, statement, params)


@pytest.fixture
async def table(tmp_path):
    table = await asyncio.to_thread(Table, tmp_path / "things.sqlite")
    await table.store.open()
    yield table
    await table.store.close()
    table.connection.close()


class TestSqliteStore(StoreSuite):
    async def test_a_file_that_is_no_database_is_refused_and_leaves_no_thread(self, tmp_path):
        (tmp_path / "text").write_text("this is no database " * 100)
        store = SqliteStore(tmp_path / "text")
        with pytest.raises(store.error):
            await store.open()
        assert store._thread._shutdown
