"""A logical replication stream, read on the event loop through psycopg's ``pq`` layer.

The slot is temporary: it is gone with its connection, so a crash pins no log. It is never
continued from, so everything is acknowledged on receipt, whatever becomes of it: a slow consumer
must not pin the log either. Where this stream may be the synchronous standby that is at once, for
commits wait for it; elsewhere within ``STATUS_SECONDS``.

Laws:

- ``deliver`` is called for each committed transaction as a whole, in the order of commits.
- ``lost`` is done, with a DatabaseError, exactly when nothing more will be delivered.
- libpq forgets its socket when the connection breaks: the descriptor is remembered, and
  unregistered before anything else.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from struct import Struct

import psycopg
from psycopg import pq

from livetier.postgres.connection import SETTINGS, connect
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.pgoutput import Begin, Commit, Decoder, PgoutputError, RowChange, Truncate
from livetier.postgres.replication_command import command
from livetier.postgres.transaction import Transaction, TupleChange

SLOT_PREFIX = "livequery_"
LOCK_TIMEOUT = "10s"
STATUS_SECONDS = 1.0
SILENCE_SECONDS = 60.0
SLICE_SECONDS = 0.01
"""How long messages are decoded before others on the event loop have a turn."""
PAUSE_SECONDS = 0.015
MANY_READS, FEW_TRANSACTIONS = 10, 3
"""A busy server sends each message by itself. After so many reads within a pause, one read takes
what a pause has brought, until that is less than a few transactions."""

WRITTEN_AHEAD = 1 << 20
"""Bytes beyond what has arrived that are called written. A server that has sent everything and was
told of less sends a sign of life, after each transaction of a busy server: a fifth of its cost and
of ours. What is called flushed is what has arrived. Not where there may be synchronous standbys:
that sign is what their commits wait for."""
_AHEAD_PARTS = 4
"""After one of so many parts of them the server is told again, and every ``STATUS_SECONDS``: each
word wakes it."""
_SLICE_MESSAGES = 16
"""Messages between two looks at the clock."""

_DATA_SIZE = 1 + Struct("!QQq").size
_ALIVE = ord("k")
_KEEPALIVE = Struct("!QqB")
_STATUS = Struct("!cQQQqB")
_EPOCH_SECONDS = 946_684_800

Deliver = Callable[[Transaction], None]


class ReplicationStream:
    """An open stream of one publication."""

    def __init__(
        self, connection: psycopg.AsyncConnection[object], deliver: Deliver, *, slot: str
    ) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._descriptor = connection.pgconn.socket
        self._deliver = deliver
        self._decoder = Decoder()
        self._transaction: Transaction | None = None
        self._acknowledged = 0
        self._ahead = 0
        self._unsent = False
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._pausing: asyncio.TimerHandle | None = None
        self._reads = 0
        self._counted_from = 0.0
        self._transactions = 0
        self._moved = asyncio.Event()
        self.slot = slot
        self.position = 0
        self.timeline = ""
        self.delay = 0.0
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def open(cls, conninfo: str, publication: str, deliver: Deliver) -> "ReplicationStream":
        """Make a slot and start its stream. Raises DatabaseError.

        A slot is only made once every transaction that is open anywhere in the cluster has ended.
        After ``LOCK_TIMEOUT`` that ends with the error 55P03.
        """
        connection = await connect(
            conninfo, application_name="livequery-tier stream", replication="database"
        )
        slot = SLOT_PREFIX + secrets.token_hex(8)
        stream = cls(connection, deliver, slot=slot)
        try:
            for each in f"{SETTINGS}SET lock_timeout = '{LOCK_TIMEOUT}'".split(";"):
                if each.strip():
                    await command(connection, each)
            stream.timeline = (await command(connection, "IDENTIFY_SYSTEM"))[1]
            if await command(connection, "SHOW synchronous_standby_names") == ("",):
                stream._ahead = WRITTEN_AHEAD
            await command(
                connection,
                f'CREATE_REPLICATION_SLOT "{slot}" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT',
            )
            await command(
                connection,
                f'START_REPLICATION SLOT "{slot}" LOGICAL 0/0'
                f" (proto_version '1', publication_names '\"{publication}\"')",
            )
        except BaseException:
            await connection.close()
            raise
        stream._loop.add_reader(stream._descriptor, stream._readable)
        stream._tick()
        return stream

    async def reach(self, lsn: int) -> None:
        """Return when everything before ``lsn`` was delivered; raises DatabaseError if lost."""
        while self.position < lsn:
            if self.lost.done():
                self.lost.result()
            self._moved.clear()
            self._tell(reply=True)
            try:
                async with asyncio.timeout(0.05):
                    await self._moved.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """End the stream; its slot goes with it. Idempotent."""
        self.end(DatabaseError("the stream is closed"))
        await self._connection.close()

    # -- reading

    def _readable(self) -> None:
        """Read what has arrived; pause where so much arrives that it pays."""
        self._read()
        self._reads += 1
        now = self._heard
        if now - self._counted_from > PAUSE_SECONDS:
            self._counted_from, self._reads = now, 0
        elif self._reads >= MANY_READS and not self.lost.done():
            self._loop.remove_reader(self._descriptor)
            self._pause()

    def _pause(self) -> None:
        self._transactions = 0
        self._pausing = self._loop.call_later(PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        """Read what a pause has brought."""
        self._pausing = None
        self._read()
        if self.lost.done():
            return
        if self._transactions >= FEW_TRANSACTIONS:
            self._pause()
        else:
            self._reads = 0
            self._loop.add_reader(self._descriptor, self._readable)

    def _read(self) -> None:
        """Take what has arrived; called by the loop, and by itself when a slice is over."""
        if self.lost.done():
            return
        try:
            self._pgconn.consume_input()
            self._heard = self._loop.time()
            self._drain(self._heard + SLICE_SECONDS)
            # To send, libpq may read: then there is more, and the socket does not say so.
            while self._owes_word and not self.lost.done():
                self._tell()
                self._drain(self._loop.time() + SLICE_SECONDS)
            if self._unsent and not self.lost.done():
                self._unsent = bool(self._pgconn.flush())
        except psycopg.Error as error:
            self.end(DatabaseError.of(error))
        except (PgoutputError, LookupError, ValueError) as error:
            self.end(DatabaseError(f"the stream cannot be read: {error}"))

    def _drain(self, end: float) -> None:
        """Take the messages that libpq has, until ``end``."""
        while True:
            for _ in range(_SLICE_MESSAGES):
                size, data = self._pgconn.get_copy_data(1)
                if size == 0:
                    return
                if size < 0:
                    self.end(self._last_word())
                    return
                self._take(bytes(data))
            if self._loop.time() > end:
                self._loop.call_soon(self._read)
                return

    def _last_word(self) -> DatabaseError:
        """Return why the server ended the stream."""
        result = self._pgconn.get_result()
        text = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) if result else None
        state = result.error_field(pq.DiagnosticField.SQLSTATE) if result else None
        return DatabaseError(
            (text or b"the server ended the stream").decode(), (state or b"").decode()
        )

    def _take(self, data: bytes) -> None:
        if data[0] == _ALIVE:
            end, _, reply = _KEEPALIVE.unpack_from(data, 1)
            # Everything before it was sent; a transaction is always sent whole.
            self._move_to(end)
            if reply:
                self._acknowledged = 0  # answered when all that has arrived is taken
            return
        message = self._decoder.decode(data, _DATA_SIZE)
        match message:
            case RowChange() if self._transaction is not None:
                self._transaction.add(message.relation.oid, TupleChange.of(message))
            case Begin():
                self._transaction = Transaction(message.xid)
            case Commit():
                self._commit(message)
            case Truncate() if self._transaction is not None:
                for oid in message.relations:
                    self._transaction.add_all(oid)

    def _commit(self, message: Commit) -> None:
        self._transactions += 1
        transaction, self._transaction = self._transaction, None
        if transaction is not None and transaction.changes:
            transaction.committed_ms = message.at_ms
            self.delay = max(0.0, time.time() - message.at_ms / 1000)
            self._deliver(transaction)
        self._move_to(message.end_lsn)

    def _move_to(self, lsn: int) -> None:
        if lsn > self.position:
            self.position = lsn
            self._moved.set()

    # -- answering

    @property
    def _owes_word(self) -> bool:
        return self.position > self._acknowledged + self._ahead // _AHEAD_PARTS

    def _tell(self, *, reply: bool = False) -> None:
        """Acknowledge everything; ``reply`` asks for a sign of life."""
        if self.lost.done():
            return
        now = int((time.time() - _EPOCH_SECONDS) * 1_000_000)
        lsn = self.position
        written = lsn + self._ahead if lsn else 0
        try:
            self._pgconn.put_copy_data(_STATUS.pack(b"r", written, lsn, lsn, now, reply))
            self._unsent = bool(self._pgconn.flush())
            self._acknowledged = lsn
            if reply:
                self._loop.call_soon(self._read)  # as there
        except psycopg.Error as error:
            self.end(DatabaseError.of(error))

    def _tick(self) -> None:
        """Ask for a sign of life now and then; without any for long the stream is lost."""
        if self._loop.time() - self._heard > SILENCE_SECONDS:
            self.end(DatabaseError("the change stream is silent"))
            return
        self._tell(reply=True)
        self._timer = self._loop.call_later(STATUS_SECONDS, self._tick)

    def end(self, error: DatabaseError) -> None:
        """Deliver nothing more; ``lost`` has the error, unless it has another one already."""
        if self.lost.done():
            return
        self._loop.remove_reader(self._descriptor)
        for timer in (self._timer, self._pausing):
            if timer is not None:
                timer.cancel()
        self.lost.set_exception(error)
        self.lost.exception()  # it may be that nobody asks
        self._moved.set()
