"""A SQLite database file as a ``Store``.

Laws:

- The connection belongs to the database thread; everything else here to the event loop's thread.
- A statement is not cancelled with the call that runs it: it ends on the thread and its result is
  dropped; the next statement waits for it.
- Other processes' commits are noticed within ``POLL_SECONDS``.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.shortcuts import Shortcuts
from livetier.engine.store import Metadata, Reading, Views
from livetier.engine.window import Window
from livetier.sqlite import reader
from livetier.sqlite.compile import SqlitePlan, compile_query
from livetier.sqlite.database import Database
from livetier.sqlite.describe import describe
from livetier.sqlite.view import SqliteView

POLL_SECONDS = 0.01

_T = TypeVar("_T")


class SqliteStore:
    """Implements ``engine.store.Store`` over the file at ``path``."""

    error = sqlite3.Error

    def __init__(self, path: Path, *, shortcuts: bool = True) -> None:
        self._path = path
        self.shortcuts = Shortcuts(on=shortcuts)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="livetier-database")
        self._database: Database
        self._data_version = -1

    async def open(self) -> None:
        """Open the file; raises sqlite3.Error when it cannot be watched."""
        try:
            self._database = await self._on_thread(Database, self._path)
        except sqlite3.Error:
            self._thread.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await self._on_thread(self._database.close)
        self._thread.shutdown(wait=False)

    async def compile(self, query: pb.LiveQuery, _: Metadata, /) -> SqlitePlan:
        """Return the plan of ``query``; a file knows no callers."""
        return await self._on_thread(compile_query, self._database, query)

    async def describe(self, _: Metadata, /) -> pb.DescribeResponse:
        """Return every entity; a file knows no callers."""
        return await self._on_thread(describe, self._database)

    async def first(self, plan: SqlitePlan, /) -> SqliteView:
        """Return the first view of ``plan``."""
        return await self._on_thread(reader.first, self._database.connection, plan, self.shortcuts)

    async def page(self, view: SqliteView, /) -> Window:
        """Return the page of a streamed view."""
        return await self._on_thread(reader.page, self._database.connection, view.plan)

    async def read(self, views: Views[SqliteView], /) -> Reading[SqliteView]:
        """Read again, in one transaction, what the log says has changed."""
        return await self._on_thread(reader.read, self._database, list(views), self.shortcuts)

    def release(self, _: SqliteView, /) -> None:
        """Do nothing: nothing is kept for a view."""

    async def changed(self) -> None:
        """Poll until another connection has committed."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            before = self._data_version
            self._data_version = await self._on_thread(self._database.data_version)
            if self._data_version != before:
                return

    async def settle(self) -> None:
        """Return at once: ``read`` sees every commit."""

    async def _on_thread(self, call: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
