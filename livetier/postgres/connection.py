"""A connection on the event loop, whose statements travel in pipelines.

psycopg connects; from there on its public ``pq`` layer is used: one round trip carries any number
of statements, and costs some microseconds for each.

Laws:

- One task uses a connection at a time. ``run`` is not cancelled halfway: a cancelled caller
  leaves a task that reads what was asked for.
- A connection that was lost, or whose answers are not all read, is closed and not used again.
- libpq may forget its socket: the descriptor is remembered, and unregistered first.
"""

import asyncio
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from psycopg import pq

from livetier.postgres.database_error import DatabaseError

CONNECT_SECONDS = 10
MOST_PREPARED = 500

SETTINGS = """
SET client_encoding = 'UTF8'; SET datestyle = 'ISO, YMD'; SET timezone = 'UTC';
SET intervalstyle = 'iso_8601'; SET bytea_output = 'hex'; SET extra_float_digits = 1;
"""
"""How values are printed: alike on every connection, the change stream's included."""

READING = """
SET default_transaction_read_only = on; SET statement_timeout = '30s'; SET lock_timeout = '5s';
SET idle_in_transaction_session_timeout = '60s';
"""

_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class Statement(NamedTuple):
    """A statement and the values to bind, as text; one that is ``kept`` is prepared once."""

    text: str
    params: Sequence[bytes | None] = ()
    kept: bool = False


Rows = list[tuple[bytes | None, ...]]


async def connect(conninfo: str, **parameters: str | int) -> psycopg.AsyncConnection[object]:
    """Connect; raises DatabaseError, without a password in its text."""
    settings: dict[str, str | int] = {"connect_timeout": CONNECT_SECONDS, **parameters}
    for name in ("connect_timeout", "application_name"):
        if name in psycopg.conninfo.conninfo_to_dict(conninfo):
            settings.pop(name, None)
    try:
        return await psycopg.AsyncConnection.connect(
            conninfo,
            autocommit=True,
            client_encoding="UTF8",
            **settings,  # type: ignore[arg-type]  # libpq's own parameters
        )
    except psycopg.Error as error:
        raise DatabaseError.of(error) from None


class Connection:
    """A connection of which nothing but ``run`` and ``close`` is used."""

    def __init__(self, connection: psycopg.AsyncConnection[object]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._descriptor = connection.pgconn.socket
        self._prepared: dict[str, bytes] = {}
        self._names = itertools.count()
        self._running: asyncio.Task[list[Rows]] | None = None
        self.closed = False

    @classmethod
    async def open(
        cls, conninfo: str, *, settings: str = SETTINGS + READING, name: str = "livequery-tier"
    ) -> "Connection":
        """Connect and apply ``settings``; raises DatabaseError."""
        connection = cls(await connect(conninfo, application_name=name))
        connection._pgconn.enter_pipeline_mode()
        try:
            await connection.run([Statement(each) for each in settings.split(";") if each.strip()])
        except BaseException:
            await connection.close()
            raise
        return connection

    async def run(self, statements: Sequence[Statement]) -> list[Rows]:
        """Run statements in one round trip; return the rows of each.

        Raises DatabaseError for the first that fails; those after it are not run.
        """
        if self._running is not None and not self._running.done():
            await asyncio.wait([self._running])  # what a cancelled caller left
        if self.closed:
            raise DatabaseError("the connection is closed")
        self._running = asyncio.create_task(self._run(statements))
        self._running.add_done_callback(_forget_error)
        return await asyncio.shield(self._running)

    async def query(self, text: str, *params: bytes | None, kept: bool = False) -> Rows:
        """Run one statement."""
        return (await self.run([Statement(text, params, kept)]))[0]

    async def attempt(self, statements: Sequence[Statement]) -> list[Rows]:
        """Run statements; a transaction that is open goes on if one of them fails."""
        if self._pgconn.transaction_status == pq.TransactionStatus.IDLE:
            return await self.run(statements)
        try:
            wrapped = [Statement("SAVEPOINT attempt"), *statements, Statement("RELEASE attempt")]
            return (await self.run(wrapped))[1:-1]
        except DatabaseError as error:
            if not error.lost:
                await self.run([Statement("ROLLBACK TO attempt")])
            raise

    async def reset(self) -> None:
        """End the transaction that a failed or cancelled caller left open."""
        if self._running is not None and not self._running.done():
            await asyncio.wait([self._running])
        if not self.closed and self._pgconn.transaction_status != pq.TransactionStatus.IDLE:
            await self.run([Statement("ROLLBACK")])

    async def close(self) -> None:
        """Close the connection; idempotent."""
        self.closed = True
        if self._running is not None and not self._running.done():
            self._running.cancel()
            await asyncio.wait([self._running])
        await self._connection.close()

    async def _run(self, statements: Sequence[Statement]) -> list[Rows]:
        done = False
        try:
            if len(self._prepared) > MOST_PREPARED:
                # By itself: with it in one round trip, BEGIN would come too late to set a level.
                self._prepared.clear()
                self._send([Statement("DEALLOCATE ALL")])
                await self._receive()
            known = len(self._prepared)
            answers = self._send(statements)
            results = await self._receive()
            done = True
        except psycopg.Error as error:
            raise DatabaseError.of(error) from None
        finally:
            if not done:
                self.closed = True
                await self._connection.close()
        try:
            _check(results)
        except DatabaseError:
            # Which of the statements prepared just now exist is not worth knowing.
            self._prepared = dict(itertools.islice(self._prepared.items(), known))
            raise
        return [_rows(results[place]) for place in answers]

    def _send(self, statements: Sequence[Statement]) -> list[int]:
        """Send everything; return the places of the statements' own answers."""
        pgconn, place, answers = self._pgconn, 0, []
        for text, params, kept in statements:
            if not kept:
                pgconn.send_query_params(text.encode(), params or None)
            else:
                name = self._prepared.get(text)
                if name is None:
                    name = self._prepared[text] = b"q%d" % next(self._names)
                    pgconn.send_prepare(name, text.encode())
                    place += 1
                pgconn.send_query_prepared(name, params or None)
            answers.append(place)
            place += 1
        pgconn.pipeline_sync()
        return answers

    async def _receive(self) -> list[pq.abc.PGresult]:
        """Return all answers up to the end of the pipeline."""
        pgconn = self._pgconn
        results: list[pq.abc.PGresult] = []
        unsent = pgconn.flush()
        while True:
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    continue
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    return results
                results.append(result)
            await wait_for(self._descriptor, writable=bool(unsent))
            pgconn.consume_input()
            if unsent:
                unsent = pgconn.flush()


async def wait_for(descriptor: int, *, writable: bool = False) -> None:
    """Return when ``descriptor`` has something to read, or room to write if that is asked."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    if writable:
        loop.add_writer(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
        if writable:
            loop.remove_writer(descriptor)


def _forget_error(task: asyncio.Task[list[Rows]]) -> None:
    """Have nobody told of a failure that a cancelled caller does not wait for."""
    if not task.cancelled():
        task.exception()


def _check(results: Sequence[pq.abc.PGresult]) -> None:
    for result in results:
        if result.status not in _GOOD:
            state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
            primary = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"it failed"
            raise DatabaseError(primary.decode("utf-8", "replace"), state.decode())


def _rows(result: pq.abc.PGresult) -> Rows:
    get, columns = result.get_value, range(result.nfields)
    return [tuple(get(row, column) for column in columns) for row in range(result.ntuples)]
