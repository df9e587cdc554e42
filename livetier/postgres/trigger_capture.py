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
from livetier.postgres.present_rows import PresentRows
from livetier.postgres.publication import WAITING
from livetier.postgres.reader import LOOK, Look
from livetier.postgres.relation import Relation
from livetier.postgres.transaction import Key, Transaction, TupleChange

KEPT_SECONDS = 600.0
TRIM_SECONDS = 60.0
RETRY_SECONDS = 1.0
PAUSE_SECONDS, FEW_TRANSACTIONS = 0.01, 3
"""A pause before a reading, where the one before found more than a few transactions."""

_NO_RIGHT = "42501"

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
        self._rows = PresentRows(ledger)
        self._installing = asyncio.Lock()
        self._last: Snapshot | None = None
        self._last_time = 0.0
        self._timeline = 0
        self.losses = 0
        self._many = False
        self._waking: asyncio.TimerHandle | None = None
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
            await _set_up(connection)
        finally:
            await connection.close()
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Listen no longer. Triggers and log table stay: other tiers may use them."""
        if self._waking is not None:
            self._waking.cancel()
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
        for number, name, key, count, printed, text in tables:
            oid, table = int(number or b"0"), (name or b"").decode()
            columns, plain = json.loads(key or b"[]"), printed == b"t"
            if int(count or b"0") != trigger_sql.TRIGGERS:
                statements = trigger_sql.install(table, oid, columns, plain=plain)
                await self._create(table, statements)
                altered = True
            elif text != trigger_sql.body_of(oid, columns, plain=plain).encode():
                statement = trigger_sql.record(oid, columns, plain=plain)
                renewed = await self._renew(table, statement)
                if not renewed and not trigger_sql.records((text or b"").decode(), columns):
                    columns = []  # it records other ones: any row may have changed
            self._keys[oid] = columns
        async with self._pool.connection() as connection:
            rows = await connection.run([LOOK])
        for xid in Look.of(rows[0]).snapshot.running:
            self._ledger.deliver(Transaction(xid, dict.fromkeys(oids), wide=True))
        return altered

    async def _create(self, table: str, statements: list[str]) -> None:
        try:
            await self._make(statements)
        except DatabaseError as error:
            if error.sqlstate != _NO_RIGHT:
                raise
            _log.warning("%s needs triggers; its owner may run: %s", table, "; ".join(statements))
            raise refused(
                "NO_TRIGGERS", f"{table} has no triggers, and the tier may not make them"
            ) from None
        _log.info("%s has triggers now", table)

    async def _renew(self, table: str, statement: str) -> bool:
        """Replace the function of another version or key; return whether it could be."""
        try:
            await self._make([statement])
        except DatabaseError as error:
            if error.sqlstate != _NO_RIGHT:
                raise
            _log.warning("%s has old triggers; their owner may run: %s", table, statement)
            return False
        _log.info("%s has the triggers of this version now", table)
        return True

    async def _make(self, statements: Sequence[str]) -> None:
        connection = await Connection.open(self._conninfo, settings=SETTINGS + WAITING)
        try:
            await _make(connection, statements)
        finally:
            await connection.close()

    async def check(self, connection: Connection) -> None:
        """Make triggers again that somebody dropped; trim the log."""
        self._rows.forget()
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
            except DatabaseError as error:
                if error.sqlstate != _NO_RIGHT:
                    raise
                _log.debug("the log is left to its owner: %s", error)
            finally:
                await connection.close()

    def questions(self) -> Sequence[Statement]:
        """Ask for what the snapshot sees and the one before did not."""
        last = self._last or self._ledger.snapshot
        return [Statement(trigger_sql.ASK, (str(last).encode(),), kept=True)]

    async def take(self, connection: Connection, answers: Sequence[Rows]) -> bool:
        """Deliver the transactions that were recorded, with the rows that they left."""
        now = asyncio.get_running_loop().time()
        missing = self._last is None or now - self._last_time > KEPT_SECONDS / 2
        transactions: dict[int, Transaction] = {}
        left: list[tuple[Transaction, int, Key]] = []
        for xid, relation, old, new in answers[0]:
            number, oid = int(xid or b"0"), int(relation or b"0")
            transaction = transactions.setdefault(number, Transaction(number, wide=True))
            names = self._keys.get(oid)
            if old is None or new is None or not names:
                transaction.add_all(oid)
                continue
            for key in _keys(old, len(names)):
                transaction.add(oid, TupleChange(dict(zip(names, key, strict=True)), None))
            left += [(transaction, oid, key) for key in _keys(new, len(names))]
        wanted: dict[int, dict[Key, None]] = {}
        for _, oid, key in left:
            wanted.setdefault(oid, {})[key] = None
        found = await self._rows.find(connection, {oid: list(keys) for oid, keys in wanted.items()})
        for transaction, oid, key in left:
            row = dict(zip(self._keys[oid], key, strict=True))
            rows = found.get(oid)
            present = {} if rows is None else rows.get(key)
            new_row = None if present is None else {**present, **row}
            transaction.add(oid, TupleChange(row, new_row))
        for transaction in transactions.values():
            self._ledger.deliver(transaction)
        self._many = len(transactions) >= FEW_TRANSACTIONS
        return missing

    def read(self, snapshot: Snapshot, timeline: int) -> None:
        """Ask from this snapshot on; on another timeline all windows are read anew."""
        if timeline != self._timeline and self._timeline:
            self._ledger.force()
        self._last, self._timeline = snapshot, timeline
        self._last_time = asyncio.get_running_loop().time()

    async def settle(self) -> None:
        """Return: a reading asks for itself."""

    def _notice(self) -> None:
        """Wake up for a notification; where many come, once for those of a pause."""
        if not self._many:
            self._wake()
        elif self._waking is None:
            self._waking = asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._wake_up)

    def _wake_up(self) -> None:
        self._waking = None
        self._wake()

    async def _listen(self) -> None:
        while True:
            try:
                connection = await connect(self._conninfo, application_name="livequery-tier listen")
                try:
                    await connection.execute(f"LISTEN {trigger_sql.CHANNEL}")
                    self._wake()
                    async for _ in connection.notifies():
                        self._notice()
                finally:
                    await connection.close()
            except (DatabaseError, psycopg.Error) as error:
                _log.info("notifications are lost for now: %s", error)
                self.losses += 1
            await asyncio.sleep(RETRY_SECONDS)


async def _make(connection: Connection, statements: Sequence[str]) -> None:
    """Run statements in one transaction, while no other tier does."""
    alone = Statement(trigger_sql.ALONE)
    await connection.run(
        [Statement("BEGIN"), alone, *map(Statement, statements), Statement("COMMIT")]
    )


async def _set_up(connection: Connection) -> None:
    """Make the log table, unless it is there for this role; explain a lack of rights."""
    ((exists, readable, role),) = await connection.query(trigger_sql.STATE)
    if exists == b"t" and readable == b"t":
        return
    grant = trigger_sql.grant((role or b"").decode())
    if exists == b"t":
        message = f"the log {trigger_sql.LOG} may not be read; its owner must run: {grant};"
        raise DatabaseError(message, _NO_RIGHT)
    try:
        await _make(connection, trigger_sql.SETUP.split(";"))
    except DatabaseError as error:
        if error.sqlstate != _NO_RIGHT:
            raise
        setup = f"{trigger_sql.SETUP.strip()}; {grant};"
        raise DatabaseError(f"{error}; an administrator must run: {setup}", _NO_RIGHT) from None


def _keys(text: bytes, size: int) -> list[Key]:
    """Return the keys of a record, in which they are flat."""
    flat = [part.encode() for part in json.loads(text)]
    return [tuple(flat[place : place + size]) for place in range(0, len(flat), size)]
