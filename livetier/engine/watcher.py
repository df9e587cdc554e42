"""Commits become groups: each reading is one group in the outbox of each window that it changed.

Laws:

- Subscriptions with the same plan key share one view: one read per commit for all of them.
- A reading belongs to the views that it was asked for, not to the subscriptions of that moment. A
  subscription that joins meanwhile has one of these views, or a newer one of its own.
- A subscription's reset and its rows are taken in one step. No reading comes between (``_turn``).
- A commit is read at once when its author awaits ``settle``, as the replay does. Any other commit
  is read when the store's ``changed`` returns. Commits between two readings become one group.
- Without subscriptions nothing is read.
- All methods belong to the event loop's thread.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Generic, TypeVar

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.delta import GroupEncoder
from livetier.engine.errors import TierError, query_failed, unavailable, unimplemented
from livetier.engine.parked import Parked
from livetier.engine.shared_views import SharedViews
from livetier.engine.store import Describer, Metadata, PlanT, Position, Step, Store, ViewT
from livetier.engine.subscription import Reset, Subscription
from livetier.engine.window import Window

RETRY_SECONDS = 0.5

_log = logging.getLogger("livetier")
_T = TypeVar("_T")


class Watcher(Generic[PlanT, ViewT]):
    """All subscriptions of one store. Make it, ``open`` it, ``run`` it, ``close`` it."""

    def __init__(self, store: Store[PlanT, ViewT]) -> None:
        self._store = store
        self._turn = asyncio.Lock()
        self._read_due = asyncio.Event()
        self._subscriptions: dict[str, Subscription[ViewT]] = {}
        self._views: SharedViews[ViewT] = SharedViews(store.release)
        self._parked: Parked[ViewT] = Parked(self.unsubscribe)
        self._closing: TierError | None = None
        self.position = Position(0, 0)

    async def open(self) -> None:
        """Open the store; raises what that raises."""
        await self._store.open()

    async def close(self, reason: TierError) -> None:
        """End every subscription with ``reason`` and close the store."""
        self._closing = reason
        self._fail_all(reason)
        self._parked.close()
        async with self._turn:
            await self._store.close()

    # -- subscriptions

    async def subscribe(
        self, identifier: str, query: pb.LiveQuery, metadata: Metadata = ()
    ) -> Subscription[ViewT]:
        """Open a subscription; its reset is due. Raises TierError when the query is refused."""
        view = await self._view(query, metadata)
        subscription = Subscription(identifier, view, metadata)
        self._subscriptions[identifier] = subscription
        self._views.join(subscription)
        self._read_due.set()
        return subscription

    async def resume(
        self, position: pb.ResumePosition, query: pb.LiveQuery, metadata: Metadata
    ) -> Subscription[ViewT] | None:
        """Return the subscription that a caller can go on with, None if something is missing.

        Raises TierError when the query is refused.
        """
        identifier = position.subscription_id
        if identifier not in self._subscriptions:
            return None
        plan = await self._for_caller(self._store.compile(query, metadata))
        subscription = self._subscriptions.get(identifier)
        if (
            subscription is None
            or subscription.view.plan.key != plan.key
            or not subscription.can_resume(position.epoch, position.seq)
        ):
            return None
        self._parked.take(identifier)
        return subscription

    def leave(self, subscription: Subscription[ViewT]) -> None:
        """Keep a subscription whose stream has ended for a caller that resumes, if one could."""
        if self._closing is None and subscription.resumable:
            self._parked.park(subscription)
        else:
            self.unsubscribe(subscription)

    async def reanchor(
        self, subscription: Subscription[ViewT], query: pb.LiveQuery, tag: str
    ) -> tuple[int, pb.LiveQuery]:
        """Give a subscription another query.

        Returns the epoch of the reset that is now due, and the query as it is run. Raises TierError
        when the query is refused; the subscription then continues unchanged.
        """
        async with subscription.reanchoring:
            view = await self._view(query, subscription.metadata)
            self._views.move(subscription, view)
            epoch = subscription.reset(pb.RESET_REASON_REANCHOR, tag)
            return epoch, subscription.view.plan.query

    def find(self, identifier: str) -> Subscription[ViewT] | None:
        """Return the open subscription of that id."""
        return None if identifier in self._parked else self._subscriptions.get(identifier)

    def unsubscribe(self, subscription: Subscription[ViewT]) -> None:
        """Remove a subscription; idempotent."""
        self._parked.take(subscription.id)
        self._subscriptions.pop(subscription.id, None)
        self._views.leave(subscription)
        if not self._subscriptions:
            self._read_due.set()  # ``run`` stops waiting for commits

    async def snapshot(self, subscription: Subscription[ViewT]) -> tuple[Reset, Window] | None:
        """Take the due reset and the rows that follow it, in one turn; None if none is due."""
        async with self._turn:
            view = subscription.view
            rows = view.rows
            if view.plan.streamed and subscription.reset_due:
                rows = await self._for_caller(self._store.page(view))
                if subscription.view is not view:
                    return None  # reanchored meanwhile: that reset is due, with other rows
            reset = subscription.take_reset()
            return None if reset is None else (reset, rows)

    async def describe(self, metadata: Metadata) -> pb.DescribeResponse:
        """Return what a caller may query. Raises TierError: a store may be unable to tell."""
        if not isinstance(self._store, Describer):
            raise unimplemented("NO_DESCRIBE", "this tier does not describe its entities")
        return await self._for_caller(self._store.describe(metadata))

    async def _view(self, query: pb.LiveQuery, metadata: Metadata) -> ViewT:
        """Return the view of a query: the one in use if there is one, else a new one."""
        plan = await self._for_caller(self._store.compile(query, metadata))
        view = self._views.get(plan.key)
        if view is not None:
            return view
        view = await self._for_caller(self._store.first(plan))
        return self._views.get(plan.key) or view

    async def _for_caller(self, call: Awaitable[_T]) -> _T:
        """Await a call for one caller: if the store cannot answer, only that caller is told."""
        try:
            result = await call
        except self._store.error as error:
            _log.warning("a query failed: %s", error)
            raise (self._closing or query_failed()) from None
        except Exception:
            if self._closing is not None:  # and the store may be closed already
                raise self._closing from None
            raise
        if self._closing is not None:
            raise self._closing
        return result

    # -- commits

    async def run(self) -> None:
        """Read after every commit, until cancelled."""
        told = ""
        while True:
            try:
                await self._wait()
                self._read_due.clear()
                await self._read()
                told = ""
            except self._store.error as error:
                # Locked or full, say. The views stay, and the next reading starts from them.
                if str(error) != told:  # once for each reason, not with each attempt
                    _log.warning("the database cannot be read now: %s", error)
                told = str(error)
                await asyncio.sleep(RETRY_SECONDS)
                self._read_due.set()
            except Exception:  # noqa: BLE001 (the loop must outlive it)
                # A bug. The views may be wrong now: every subscriber must start anew.
                _log.exception("watching failed")
                self._fail_all(unavailable("FAILED", "the tier has failed; try again"))

    async def settle(self) -> None:
        """Read everything committed so far; its groups are in the outboxes on return.

        Raises the store's ``error`` when it cannot be read; nothing is lost, call again.
        """
        await self._store.settle()
        await self._read()

    async def _wait(self) -> None:
        """Wait until a reading is due, or there was a commit while there are subscriptions."""
        waits: list[asyncio.Task[object]] = [asyncio.create_task(self._read_due.wait())]
        if self._subscriptions:
            waits.append(asyncio.create_task(self._store.changed()))
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        for wait in done:
            wait.result()

    async def _read(self) -> None:
        async with self._turn:
            if not self._views:
                return
            reading = await self._store.read(self._views)
            self.position = reading.position
            encoder = GroupEncoder(reading.position)
            for step in reading.steps:
                self._publish(step, encoder)

    def _publish(self, step: Step[ViewT], encoder: GroupEncoder) -> None:
        """Put a step into the outboxes of all who share its view; encode it once; never wait."""
        subscriptions = self._views.succeed(step)
        if step.error is not None:
            for subscription in subscriptions:
                subscription.fail(step.error)
        elif step.changes and subscriptions:
            group = encoder.group(step.changes)
            for subscription in subscriptions:
                subscription.offer(group)

    def _fail_all(self, reason: TierError) -> None:
        for subscription in self._subscriptions.values():
            subscription.fail(reason)
        for view in list(self._views):
            self._views.remove(view.plan.key)
