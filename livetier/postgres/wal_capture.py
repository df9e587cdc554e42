"""Changes from the write-ahead log, by logical replication.

Laws:

- After a loss, or at the start, every window is forced once the stream is open: what was committed
  before its slot was made is not delivered.
- A transaction that had not ended when the slot was made, or when a table was published, may not
  be delivered although a reading does not see it yet. Each of them counts as delivered: having
  changed everything, or that table.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from livetier.engine.errors import TierError
from livetier.postgres import publication
from livetier.postgres.connection import SETTINGS, Connection, Rows, Statement
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.fence import Snapshot
from livetier.postgres.ledger import Ledger
from livetier.postgres.pool import ReadPool
from livetier.postgres.publication import PUBLICATION, WAITING
from livetier.postgres.reader import LOOK, Look
from livetier.postgres.relation import Relation
from livetier.postgres.replication_stream import ReplicationStream
from livetier.postgres.transaction import Transaction

FIRST_RETRY, LAST_RETRY = 0.1, 5.0

_log = logging.getLogger("livetier")


class WalCapture:
    """Implements ``capture.Capture``. ``wake`` is called when a window may be due."""

    name = "wal"

    def __init__(
        self, conninfo: str, ledger: Ledger, pool: ReadPool, wake: Callable[[], None]
    ) -> None:
        self._conninfo = conninfo
        self._ledger = ledger
        self._pool = pool
        self._wake = wake
        self._watched: set[int] = set()
        self._publishing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.stream: ReplicationStream | None = None
        self.losses = 0
        self._streams = asyncio.Event()

    @property
    def streaming(self) -> bool:
        """Whether the stream is open, and what came before it is accounted for."""
        return self._streams.is_set()

    @property
    def lag_seconds(self) -> float:
        """How old the newest transaction was when it was delivered."""
        return self.stream.delay if self.stream is not None else 0.0

    def lag_bytes(self, end: int, /) -> int:
        """Return how much of the log, which ends at ``end``, is not delivered."""
        return max(0, end - self.stream.position) if self.stream is not None else 0

    async def open(self) -> None:
        """Make the publication, and follow it in the background."""
        await publication.create(self._conninfo)
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """End the stream; its slot goes with it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self.stream is not None:
            await self.stream.close()

    async def watch(self, relation: Relation) -> bool:
        """Publish a table and its sources, unless they are. No table is altered."""
        wanted = {relation.oid, *relation.sources}
        if wanted <= self._watched:
            return False
        async with self._publishing:
            new = sorted(wanted - self._watched)
            if new:
                await self._publish(new)
        return False

    async def _publish(self, oids: list[int]) -> None:
        async with self._pool.connection() as connection:
            missing = await publication.missing(connection, oids)
        if missing:
            await publication.publish(self._conninfo, oids)
        snapshot = await self._look()
        for xid in snapshot.running:
            self._ledger.deliver(Transaction(xid, dict.fromkeys(oids), wide=True))
        self._watched.update(oids)

    async def check(self, connection: Connection) -> None:
        """Publish again what somebody took out of the publication."""
        missing = await publication.missing(connection, sorted(self._watched))
        if not missing:
            return
        oids = [int(row[0] or b"0") for row in missing]
        _log.warning("tables were taken out of the publication %s", PUBLICATION)
        self._watched.difference_update(oids)
        with contextlib.suppress(TierError):  # its windows stay as they are: it was told
            await self._publish(oids)
        self._ledger.force(oids)
        self._wake()

    def questions(self) -> Sequence[Statement]:
        """Ask nothing: the stream tells."""
        return ()

    async def take(self, connection: Connection, answers: Sequence[Rows]) -> bool:
        """Take nothing, and miss nothing."""
        del connection, answers
        return False

    def read(self, _: Snapshot, timeline: int) -> None:
        """End a stream that comes from another server than the readings."""
        if self.stream is not None and self.streaming and int(self.stream.timeline) != timeline:
            _log.warning("readings and change stream come from different servers")
            self.stream.end(DatabaseError("it is on another timeline"))

    async def settle(self) -> None:
        """Put a record into the log, and wait until the stream has it."""
        connection = await Connection.open(self._conninfo, settings=SETTINGS + WAITING)
        try:
            await connection.query("SET synchronous_commit = local")
            await connection.query(
                "SELECT pg_catalog.pg_logical_emit_message(true, 'livequery', '')"
            )
            row = await connection.query(
                "SELECT pg_catalog.pg_current_wal_flush_lsn() - '0/0'::pg_catalog.pg_lsn"
            )
        finally:
            await connection.close()
        await self._streams.wait()
        if self.stream is not None:
            await self.stream.reach(int(row[0][0] or b"0"))

    async def _follow(self) -> None:
        retry, told = FIRST_RETRY, ""
        while True:
            try:
                self._ledger.forget_transactions()
                await self._look()
                stream = await ReplicationStream.open(self._conninfo, PUBLICATION, self._deliver)
            except DatabaseError as error:
                if str(error) != told:
                    _log.warning("the change stream cannot be opened yet: %s", error)
                told = str(error)
                await asyncio.sleep(retry)
                retry = min(retry * 2, LAST_RETRY)
                continue
            self.stream = stream
            try:
                await self._begin()
                retry, told = FIRST_RETRY, ""
                await stream.lost
            except DatabaseError as error:
                _log.warning("the change stream was lost: %s", error)
                self.losses += 1
            finally:
                self._streams.clear()
                await stream.close()
            await asyncio.sleep(retry)
            retry = min(retry * 2, LAST_RETRY)
            await publication_again(self._conninfo)

    async def _begin(self) -> None:
        snapshot = await self._look()
        for xid in snapshot.running:
            self._ledger.deliver(Transaction(xid, everything=True, wide=True))
        self._ledger.force()
        self._streams.set()
        self._wake()

    async def _look(self) -> Snapshot:
        async with self._pool.connection() as connection:
            rows = await connection.run([LOOK])
        snapshot = Look.of(rows[0]).snapshot
        self._ledger.see(snapshot)
        return snapshot

    def _deliver(self, transaction: Transaction) -> None:
        self._ledger.deliver(transaction)
        if self._ledger.waiting:
            self._wake()


async def publication_again(conninfo: str) -> None:
    """Make the publication again if it is gone; whether that works is seen by who needs it."""
    try:
        await publication.create(conninfo)
    except DatabaseError as error:
        _log.warning("the publication cannot be looked at: %s", error)
