"""Changes from a log table that triggers fill: for servers without logical decoding.

Laws:

- A reading asks, in its own transaction, for the records of transactions that its snapshot sees
  and that of the reading before did not. That leaves no gap, whatever order transactions end in.
- NOTIFY only wakes up. Without it a reading is due once a second.
- Records go by age: those of transactions that every snapshot has seen for ``KEPT_SECONDS``. A
  tier that was away for half of that forces all windows.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence

import psycopg

from livetier.engine.errors import TierError
from livetier.postgres import trigger_sql
from livetier.postgres.catalogue import oid_array, refused
from livetier.postgres.connection import SETTINGS, Connection, Rows, Statement, connect
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.fence import Snapshot
from livetier.postgres.ledger import Ledger
from livetier.postgres.pool import ReadPool
from livetier.postgres.publication import WAITING
from livetier.postgres.reader import LOOK, Look
from livetier.postgres.relation import Relation
from livetier.postgres.transaction import Transaction, TupleChange

KEPT_SECONDS = 600.0
TRIM_SECONDS = 60.0
RETRY_SECONDS = 1.0

_log = logging.getLogger("livetier")


class TriggerCapture:
    """Implements ``capture.Capture``. ``wake`` is called when a window may be due."""

    name = "trigger"
    streaming = True

    def __init__(
        self, conninfo: str, ledger: Ledger, pool: ReadPool, wake: Callable[[], None]
    ) -> None:
        self._conninfo = conninfo
        self._ledger = ledger
        self._pool = pool
        self._wake = wake
        self._keys: dict[int, list[str]] = {}
        self._installing = asyncio.Lock()
        self._last: Snapshot | None = None
        self._last_time = 0.0
        self._timeline = 0
        self.losses = 0
        self._seen: deque[tuple[float, int]] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def lag_seconds(self) -> float:
        """A reading asks for itself."""
        return 0.0

    def lag_bytes(self, end: int, /) -> int:
        """Return 0: no log is read."""
        return end - end

    async def open(self) -> None:
        """Make the log table, and listen in the background."""
        connection = await Connection.open(self._conninfo, settings=SETTINGS + WAITING)
        try:
            await connection.run([Statement(each) for each in trigger_sql.SETUP.split(";")])
        except DatabaseError as error:
            if error.sqlstate != "42501":
                raise
            raise DatabaseError(
                f"{error}; an administrator must run: {trigger_sql.SETUP}", "42501"
            ) from None
        finally:
            await connection.close()
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Listen no longer. Triggers and log table stay: other tiers may use them."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def watch(self, relation: Relation) -> bool:
        """Make the triggers of a table and of its sources, unless they are there."""
        wanted = {relation.oid, *relation.sources}
        if wanted <= self._keys.keys():
            return False
        async with self._installing:
            new = sorted(wanted - self._keys.keys())
            return bool(new) and await self._install(new)

    async def _install(self, oids: list[int]) -> bool:
        async with self._pool.connection() as connection:
            tables = await connection.query(trigger_sql.TABLES, oid_array(oids), kept=True)
        altered = False
        for oid, table, key, count in tables:
            columns = json.loads(key or b"[]")
            if int(count or b"0") != trigger_sql.TRIGGERS:
                await self._create((table or b"").decode(), int(oid or b"0"), columns)
                altered = True
            self._keys[int(oid or b"0")] = columns
        async with self._pool.connection() as connection:
            rows = await connection.run([LOOK])
        for xid in Look.of(rows[0]).snapshot.running:
            self._ledger.deliver(Transaction(xid, dict.fromkeys(oids), wide=True))
        return altered

    async def _create(self, table: str, oid: int, key: list[str]) -> None:
        statements = trigger_sql.install(table, oid, key)
        connection = await Connection.open(self._conninfo, settings=SETTINGS + WAITING)
        try:
            await connection.run(
                [Statement("BEGIN"), *map(Statement, statements), Statement("COMMIT")]
            )
        except DatabaseError as error:
            if error.sqlstate != "42501":
                raise
            _log.warning("%s needs triggers; its owner may run: %s", table, "; ".join(statements))
            raise refused(
                "NO_TRIGGERS", f"{table} has no triggers, and the tier may not make them"
            ) from None
        finally:
            await connection.close()
        _log.info("%s has triggers now", table)

    async def check(self, connection: Connection) -> None:
        """Make triggers again that somebody dropped; trim the log."""
        self._wake()  # should a notification be lost
        oids = sorted(self._keys)
        tables = await connection.query(trigger_sql.TABLES, oid_array(oids), kept=True)
        gone = [int(row[0] or b"0") for row in tables if row[3] != b"%d" % trigger_sql.TRIGGERS]
        if gone:
            _log.warning("triggers were dropped or disabled")
            try:
                await self._install(gone)
            except TierError as error:
                _log.warning("they cannot be made again: %s", error)
            self._ledger.force(gone)
        await self._trim()

    async def _trim(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._seen and now - self._seen[-1][0] < TRIM_SECONDS:
            return
        self._seen.append((now, self._ledger.snapshot.xmin))
        oldest = None
        while self._seen and now - self._seen[0][0] > KEPT_SECONDS:
            oldest = self._seen.popleft()[1]
        if oldest is not None:
            connection = await Connection.open(self._conninfo, settings=SETTINGS + WAITING)
            try:
                await connection.query(trigger_sql.TRIM, b"%d" % oldest)
            finally:
                await connection.close()

    def questions(self) -> Sequence[Statement]:
        """Ask for what the snapshot sees and the one before did not."""
        last = self._last or self._ledger.snapshot
        return [Statement(trigger_sql.ASK, (str(last).encode(),), kept=True)]

    def take(self, answers: Sequence[Rows], snapshot: Snapshot) -> None:
        """Deliver the transactions that were recorded."""
        now = asyncio.get_running_loop().time()
        if self._last is None or now - self._last_time > KEPT_SECONDS / 2:
            self._ledger.force()
        transactions: dict[int, Transaction] = {}
        for xid, relation, old, new in answers[0]:
            number, oid = int(xid or b"0"), int(relation or b"0")
            transaction = transactions.setdefault(number, Transaction(number, wide=True))
            key = self._keys.get(oid)
            if old is None or new is None or not key:
                transaction.add_all(oid)
                continue
            for row in _rows(old, key):
                transaction.add(oid, TupleChange(row, None))
            for row in _rows(new, key):
                transaction.add(oid, TupleChange(row, row))
        for transaction in transactions.values():
            self._ledger.deliver(transaction)
        del snapshot

    def read(self, snapshot: Snapshot, timeline: int) -> None:
        """Ask from this snapshot on; on another timeline all windows are read anew."""
        if timeline != self._timeline and self._timeline:
            self._ledger.force()
        self._last, self._timeline = snapshot, timeline
        self._last_time = asyncio.get_running_loop().time()

    async def settle(self) -> None:
        """Return: a reading asks for itself."""

    async def _listen(self) -> None:
        while True:
            try:
                connection = await connect(self._conninfo, application_name="livequery-tier listen")
                try:
                    await connection.execute(f"LISTEN {trigger_sql.CHANNEL}")
                    self._wake()
                    async for _ in connection.notifies():
                        self._wake()
                finally:
                    await connection.close()
            except (DatabaseError, psycopg.Error) as error:
                _log.info("notifications are lost for now: %s", error)
                self.losses += 1
            await asyncio.sleep(RETRY_SECONDS)


def _rows(text: bytes, key: Sequence[str]) -> list[dict[str, bytes | None]]:
    """Return the rows of which a record has the keys, flat."""
    flat = [part.encode() for part in json.loads(text)]
    size = len(key)
    return [
        dict(zip(key, flat[place : place + size], strict=True))
        for place in range(0, len(flat), size)
    ]
