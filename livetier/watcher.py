"""Watching commits: every commit becomes one group in each outbox whose window it changed.

Laws:

- Only the database thread touches the connection; only the event loop's thread touches views and
  subscriptions.
- One turn at a time (``_turn``): a reading and what follows from it are never interleaved with
  another. So a subscription joins at a position, and nothing is lost or doubled around it.
- Subscriptions with the same query share one view: one re-query per commit for all of them.
- A commit is seen at once when its author awaits ``settle``, as the replay does; any other, of
  whatever process, within ``POLL_SECONDS``. Commits between two readings become one group.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from livequery.v1 import livequery_pb2 as pb
from livetier import reader
from livetier.changelog import Position
from livetier.database import Database
from livetier.delta import deltas
from livetier.errors import TierError, unavailable
from livetier.query import compile_query
from livetier.reader import Step, View
from livetier.subscription import Reset, Subscription
from livetier.window import Window

POLL_SECONDS = 0.025
RETRY_SECONDS = 0.5

_log = logging.getLogger("livetier")
_T = TypeVar("_T")


class Watcher:
    """All subscriptions of one database. Make it, ``open`` it, ``run`` it, ``close`` it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="livetier-database")
        self._turn = asyncio.Lock()
        self._poked = asyncio.Event()
        self._subscriptions: dict[str, Subscription] = {}
        self._data_version = self._schema = -1
        self._closing: TierError | None = None
        self.position = Position(0, 0)
        self._database: Database

    async def open(self) -> None:
        """Open the database; raises sqlite3.Error when it cannot be watched."""
        try:
            self._database = await self._on_thread(Database, self._path)
            self._schema = await self._on_thread(self._database.schema_version)
        except sqlite3.Error:
            self._thread.shutdown(wait=False)
            raise

    async def close(self, reason: TierError) -> None:
        """End every subscription with ``reason`` and close the database."""
        self._closing = reason
        self._fail_all(reason)
        async with self._turn:
            await self._on_thread(self._database.close)
        self._thread.shutdown(wait=False)

    # -- subscriptions

    async def subscribe(self, identifier: str, query: pb.LiveQuery) -> Subscription:
        """Open a subscription; its reset is due. Raises TierError when the query is refused."""
        async with self._turn:
            view = await self._view(query)
            subscription = Subscription(identifier, view)
            self._subscriptions[identifier] = subscription
            self._poked.set()
            return subscription

    async def reanchor(
        self, subscription: Subscription, query: pb.LiveQuery, tag: str
    ) -> tuple[int, pb.LiveQuery]:
        """Give a subscription another query.

        Returns the epoch of the reset it is due and the query as it is run. Raises TierError when
        the query is refused; the subscription then goes on as it was.
        """
        async with self._turn:
            subscription.view = await self._view(query)
            epoch = subscription.reset(pb.RESET_REASON_REANCHOR, tag)
            return epoch, subscription.view.plan.query

    def find(self, identifier: str) -> Subscription | None:
        """Return the open subscription of that id."""
        return self._subscriptions.get(identifier)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a subscription; once is enough, twice does no harm."""
        self._subscriptions.pop(subscription.id, None)

    async def snapshot(self, subscription: Subscription) -> tuple[Reset, Window] | None:
        """Take the due reset and the rows to follow it, as one step; None if none is due."""
        async with self._turn:
            view = subscription.view
            rows = view.rows
            if view.plan.streamed and subscription.reset_due:
                rows = await self._asked(reader.page, self._database.connection, view.plan)
            reset = subscription.take_reset()
            return None if reset is None else (reset, rows)

    async def _view(self, query: pb.LiveQuery) -> View:
        if self._closing is not None:
            raise self._closing
        plan = await self._asked(compile_query, self._database, query)
        for subscription in self._subscriptions.values():
            if subscription.view.plan.key == plan.key and not subscription.failure:
                return subscription.view
        position, view = await self._asked(reader.first, self._database.connection, plan)
        if not self._subscriptions:
            self.position = position
        return view

    # -- commits

    async def run(self) -> None:
        """Watch until cancelled. Nobody subscribed: nothing is read."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS if self._subscriptions else None):
                    await self._poked.wait()
            try:
                if self._poked.is_set() or await self._committed():
                    self._poked.clear()
                    await self.settle()
            except sqlite3.Error as error:
                # Locked or full: the views stand, and the next turn reads on from the same place.
                _log.warning("the database cannot be read now: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                self._poked.set()
            except Exception:  # noqa: BLE001 (the loop must outlive it)
                # A bug. Views that may be wrong must not live on: let every consumer start anew.
                _log.exception("watching failed")
                self._fail_all(unavailable("FAILED", "the tier has failed; try again"))

    async def settle(self) -> None:
        """Turn everything committed so far into groups; they are in the outboxes on return.

        Raises sqlite3.Error when the database cannot be read; nothing is lost, call again.
        """
        async with self._turn:
            if not self._subscriptions or self._closing:
                return
            shared: dict[int, list[Subscription]] = {}
            for subscription in self._subscriptions.values():
                shared.setdefault(id(subscription.view), []).append(subscription)
            views = [sharers[0].view for sharers in shared.values()]
            reading = await self._on_thread(
                reader.read, self._database, self.position, self._schema, views
            )
            self.position, self._schema = reading.position, reading.schema
            for step in reading.steps:
                _publish(step, reading.position, shared[id(step.before)])

    def _fail_all(self, reason: TierError) -> None:
        for subscription in self._subscriptions.values():
            subscription.fail(reason)

    async def _committed(self) -> bool:
        before = self._data_version
        self._data_version = await self._on_thread(self._database.data_version)
        return before != self._data_version

    # -- the database's thread

    async def _on_thread(self, call: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    async def _asked(self, call: Callable[..., _T], *args: object) -> _T:
        """As ``_on_thread``, for one caller's request: a failing database is told to that one."""
        try:
            return await self._on_thread(call, *args)
        except sqlite3.Error as error:
            _log.warning("a query failed: %s", error)
            raise unavailable("DATABASE_FAILED", "the query could not be run") from None


def _publish(step: Step, position: Position, sharers: Sequence[Subscription]) -> None:
    """Hand a step to all who share the view: encoded once, never awaiting."""
    if step.error is not None:
        for subscription in sharers:
            subscription.fail(step.error)
        return
    group = deltas(step.changes, position)
    for subscription in sharers:
        subscription.view = step.after
        if group:
            subscription.offer(group)
