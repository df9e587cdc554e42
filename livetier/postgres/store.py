"""A PostgreSQL database as a ``Store``.

Laws:

- All is on the event loop: nothing here blocks.
- One connection reads due windows, one reading at a time; first readings have a pool of their own.
- Nothing is remembered of a reading before all of it succeeded: what a cancelled or failed one
  would have reported, the next one reports.
"""

import asyncio
import logging
import time

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.store import Metadata, Position, Reading, Step, Views
from livetier.engine.window import Window
from livetier.postgres import reader
from livetier.postgres.batch import MOST_ATTEMPTS, is_altered
from livetier.postgres.capture import Capture
from livetier.postgres.catalogue import (
    SIGNATURES,
    oid_array,
    signature_of,
)
from livetier.postgres.connection import Connection, Statement
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.describe import describe
from livetier.postgres.figures import Figures
from livetier.postgres.ledger import Ledger
from livetier.postgres.options import PostgresOptions
from livetier.postgres.plan import PostgresPlan, PostgresView
from livetier.postgres.planner import Planner
from livetier.postgres.pool import ReadPool
from livetier.postgres.reader import LOG_END, LOOK, Look
from livetier.postgres.rereader import Rereader
from livetier.postgres.server_facts import choose
from livetier.postgres.trigger_capture import TriggerCapture
from livetier.postgres.wal_capture import WalCapture

TICK_SECONDS = 1.0
BACKOFF_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)

_log = logging.getLogger("livetier")


class PostgresStore:
    """Implements ``engine.store.Store``."""

    error = DatabaseError

    def __init__(self, options: PostgresOptions) -> None:
        self._options = options
        self._pool = ReadPool(options.conninfo, options.read_pool)
        self._reader: Connection | None = None
        self._wake = asyncio.Event()
        self._attempts = 0
        self._waking: asyncio.TimerHandle | None = None
        self._position = Position(0, 0)
        self._log_end = 0
        self.reachable = True
        self._reading_seconds = 0.0
        self._ticking: asyncio.Task[None] | None = None
        self.ledger = Ledger(shortcuts=options.shortcuts)
        self.capture: Capture
        self._planner: Planner
        self._rereader: Rereader

    async def open(self) -> None:
        """Connect and begin to learn of changes; raises DatabaseError."""
        try:
            await self._open()
        except DatabaseError:
            await self._pool.drop()
            raise

    async def _open(self) -> None:
        async with self._pool.connection() as connection:
            rows = await connection.run([LOOK])
            self.ledger.see(Look.of(rows[0]).snapshot)
            name, why = await choose(connection, self._options.capture)
        _log.info("changes are learnt by %s: %s", name, why)
        make = WalCapture if name == "wal" else TriggerCapture
        self.capture = make(self._options.conninfo, self.ledger, self._pool, self._wake.set)
        self._planner = Planner(self._pool, self._options, self.capture)
        self._rereader = Rereader(self.ledger, self.capture, self._planner)
        await self.capture.open()
        self._ticking = asyncio.create_task(self._tick())

    async def close(self) -> None:
        """Release every connection."""
        self._stop_waking()
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])
        await self.capture.close()
        if self._reader is not None:
            await self._reader.close()
        await self._pool.drop()

    # -- first readings

    async def compile(self, query: pb.LiveQuery, metadata: Metadata, /) -> PostgresPlan:
        """Return the plan of ``query`` for the caller whom ``metadata`` names."""
        return await self._planner.plan(query, self._options.rules.scope_of(metadata))

    async def describe(self, metadata: Metadata, /) -> pb.DescribeResponse:
        """Return what the caller whom ``metadata`` names may query."""
        return describe(await self._planner.relations(self._options.rules.scope_of(metadata)))

    async def first(self, plan: PostgresPlan, /) -> PostgresView:
        """Read a window for the first time, and keep it current from then on."""
        ticket = self.ledger.begin_look()
        try:
            view = await self._first(plan)
            self.ledger.see(view.snapshot)
            self.ledger.watch(view, ticket)
        finally:
            self.ledger.end_look(ticket)
        if self.ledger.waiting:
            self._wake.set()
        return view

    async def _first(self, plan: PostgresPlan) -> PostgresView:
        for attempt in range(MOST_ATTEMPTS):
            try:
                async with self._pool.connection() as connection:
                    return await reader.first(connection, plan)
            except DatabaseError as error:
                if not is_altered(error) or attempt + 1 == MOST_ATTEMPTS:
                    raise
            # The table was altered since the query was compiled.
            plan = await self._planner.plan_again(plan)
        raise AssertionError("the last attempt neither returned nor raised")

    async def page(self, view: PostgresView, /) -> Window:
        """Return the page of a streamed view."""
        async with self._pool.connection() as connection:
            return await reader.page(connection, view)

    def release(self, view: PostgresView, /) -> None:
        """Keep a window current no longer."""
        self.ledger.release(view)

    # -- readings

    async def read(self, views: Views[PostgresView], /) -> Reading[PostgresView]:
        """Read the windows that may have changed, in one transaction."""
        connection = await self._reading_connection()
        steps: list[Step[PostgresView]] = []
        if self.ledger.waiting or self.capture.questions():
            began = time.monotonic()
            try:
                steps = await self._rereader.steps(connection, views)
            finally:
                self._reading_seconds += time.monotonic() - began
        now = max(self._position.at_ms, int(time.time() * 1000))
        self._position = Position(self._position.seq + 1, now)
        self._wake_later(progress=bool(steps))
        return Reading(self._position, steps)

    async def _reading_connection(self) -> Connection:
        if self._reader is not None and self._reader.closed:
            await self._reader.close()
            self._reader = None
        if self._reader is None:
            self._reader = await Connection.open(self._options.conninfo)
        await self._reader.reset()
        return self._reader

    def _wake_later(self, *, progress: bool) -> None:
        """Look again soon while a transaction is delivered that others cannot see yet."""
        self._attempts = 0 if progress else self._attempts + 1
        if self.ledger.waiting:
            delay = BACKOFF_SECONDS[min(self._attempts, len(BACKOFF_SECONDS) - 1)]
            self._stop_waking()
            self._waking = asyncio.get_running_loop().call_later(delay, self._wake.set)

    def _stop_waking(self) -> None:
        if self._waking is not None:
            self._waking.cancel()

    # -- noticing

    def figures(self) -> Figures:
        """Return the figures of this moment."""
        counts, ledger, capture = self.ledger.counts, self.ledger, self.capture
        return Figures(
            windows=ledger.windows,
            due=ledger.due_count,
            kept=ledger.kept,
            streaming=capture.streaming,
            lag_bytes=capture.lag_bytes(self._log_end),
            lag_seconds=capture.lag_seconds,
            losses=capture.losses,
            pool_used=self._pool.used,
            pool_size=self._pool.size,
            transactions=counts.transactions,
            readings=dict(self._rereader.readings),
            shortcuts={"unequal": counts.equality, "beyond": counts.beyond},
            reading_seconds=self._reading_seconds,
        )

    async def changed(self) -> None:
        """Return when a window may be due."""
        await self._wake.wait()
        self._wake.clear()

    async def settle(self) -> None:
        """Return when a reading will have everything that was committed before."""
        await self.capture.settle()
        await self._check()

    async def _tick(self) -> None:
        """Look at the catalogue about once a second; force windows while nothing is learnt."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self._check()
                self.reachable = True
            except DatabaseError as error:
                self.reachable = False
                _log.debug("the catalogue cannot be read now: %s", error)
            if not self.capture.streaming:
                self.ledger.force()
            if self.ledger.waiting:
                self._wake.set()

    async def _check(self) -> None:
        used = self.ledger.relations()
        oids = sorted({oid for each in used for oid in (each.oid, *each.sources)})
        async with self._pool.connection() as connection:
            answers = await connection.run(
                [LOOK, Statement(SIGNATURES, (oid_array(oids),), kept=True), LOG_END]
            )
            self._log_end = int(answers[2][0][0] or b"0")
            self.ledger.see(Look.of(answers[0]).snapshot)
            self._rereader.force_altered(
                [
                    each
                    for each in used
                    if signature_of((each.oid, *each.sources), answers[1]) != each.signature
                ],
                used,
            )
            await self.capture.check(connection)
