"""Hub: key → subscription. One upstream subscription for all who may share it.

Laws: a key is (scope, canonical query), compared as bytes and names; a subscription is in the map
under the key of the window it shows, or not in the map at all; it is kept while anybody holds it
and for a linger after; an opening that failed is told to all who wait and remembered by nobody,
unless it was for the size of its answer (`refusals`).
"""

import asyncio
from typing import TypeAlias

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery

from .backend import Backend, Identity
from .flush_scheduler import FlushScheduler
from .negative_cache import NegativeCache
from .observer import Observer
from .settings import LiveSettings
from .stream_end import EndReason
from .subscription import Subscription
from .viewer import Viewer

Key: TypeAlias = tuple[tuple[tuple[str, str], ...], bytes]

# What a Reanchor may answer when the fault is the query's: the window stays, the client is told.
_REFUSED = frozenset(
    [Kind.BAD_QUERY, Kind.UNAUTHENTICATED, Kind.DENIED, Kind.CONFLICT, Kind.TOO_LARGE]
)

HISTORY_BYTES = 128 * 1024 * 1024
TIDY_EVERY = 5.0


class Hub:
    """Opens, shares, lingers and closes subscriptions."""

    def __init__(self, *, backend: Backend, settings: LiveSettings, observer: Observer) -> None:
        self._backend = backend
        self._settings = settings
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._by_key: dict[Key, Subscription] = {}
        self._all: dict[Subscription, None] = {}
        self._attached: dict[Viewer, None] = {}
        self._lingering: dict[Subscription, asyncio.TimerHandle] = {}
        self._refusals = NegativeCache(self._loop.time)
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        """Set before the end: newcomers are refused."""
        self._tick = FlushScheduler(self._loop)
        self._tidying = self._loop.call_later(TIDY_EVERY, self._tidy)

    @property
    def subscriptions(self) -> int:
        """How many are held or linger."""
        return len(self._all)

    # ------------------------------------------------------------ join and leave

    async def subscribe(self, viewer: Viewer, query: LiveQuery, identity: Identity) -> None:
        """Hold a subscription to `query` for a viewer; returns when the tier has started it.

        As `start_subscribe`. Raises Failed.
        """
        await asyncio.shield(self.start_subscribe(viewer, query, identity))

    def start_subscribe(
        self, viewer: Viewer, query: LiveQuery, identity: Identity
    ) -> asyncio.Future[None]:
        """Hold a subscription to `query` for a viewer; returns its `opened`, not to be cancelled.

        The viewer is shown nothing before `attach`. Raises Failed. Whatever happens, `unsubscribe`
        gives back what is held.
        """
        if self.draining:
            raise Failed(Kind.UNAVAILABLE, "the bridge is draining", retry_after=1)
        subscription = self._acquire(query, identity)
        viewer.subscription = subscription
        self._hold(subscription, viewer, identity)
        return subscription.opened

    def attach(self, viewer: Viewer) -> None:
        """Show the window from now on."""
        if viewer.subscription is not None:
            self._observer.attached()
            self._attached[viewer] = None
            viewer.subscription.attach(viewer)

    async def wait_attached(self, viewer: Viewer) -> None:
        """Wait until a viewer is shown a whole window. Raises Failed where that can't be."""
        while viewer not in self._attached:
            subscription = viewer.subscription
            if subscription is None:
                raise Failed(Kind.UNAVAILABLE, "the subscription has ended")
            await asyncio.shield(subscription.opened)
            await asyncio.sleep(0)

    def update_identity(self, viewer: Viewer, identity: Identity) -> None:
        """Use a viewer's fresher credential, of the same scope, from the next call on."""
        if viewer.subscription is not None:
            viewer.subscription.subscribers.add(viewer, identity)

    def unsubscribe(self, viewer: Viewer, reason: EndReason) -> None:
        """Give back what a viewer holds. Idempotent."""
        subscription, viewer.subscription = viewer.subscription, None
        if subscription is not None:
            subscription.detach(viewer)
            self._release(subscription, viewer)
        if viewer in self._attached:
            del self._attached[viewer]
            self._observer.detached(reason)

    def _acquire(self, query: LiveQuery, identity: Identity) -> Subscription:
        """Find or make a subscription. Raises Failed (TOO_LARGE) where that is known to fail."""
        key = self._key(query, identity)
        subscription = self._by_key.get(key) if self._settings.sharing else None
        if subscription is None or not subscription.shareable:
            self._refusals.check(key)
            subscription = Subscription(
                query=query,
                identity=identity,
                backend=self._backend,
                settings=self._settings,
                observer=self._observer,
                tick=self._tick,
                on_end=self._forget,
            )
            self._all[subscription] = None
            if self._settings.sharing:
                self._by_key.setdefault(key, subscription)
        return subscription

    def _key(self, query: LiveQuery, identity: Identity) -> Key:
        return identity.scope, query.key

    def _hold(self, subscription: Subscription, viewer: Viewer, identity: Identity) -> None:
        timer = self._lingering.pop(subscription, None)
        if timer is not None:
            timer.cancel()
        subscription.subscribers.add(viewer, identity)

    def _release(self, subscription: Subscription, viewer: Viewer) -> None:
        held = subscription.subscribers.remove(viewer)
        if not held or len(subscription.subscribers) or subscription not in self._all:
            return
        if self._shared(subscription) and self._settings.linger:
            self._lingering[subscription] = self._loop.call_later(
                self._settings.linger, self._close, subscription
            )
        else:
            self._close(subscription)

    def _shared(self, subscription: Subscription) -> bool:
        """Whether others can still come to it."""
        return self._by_key.get(self._key_of(subscription)) is subscription

    def _key_of(self, subscription: Subscription) -> Key:
        return subscription.scope, subscription.query.key

    def _forget(self, subscription: Subscription) -> None:
        failure = subscription.failure
        if failure is not None and self._settings.sharing and not subscription.moving:
            self._refusals.note(self._key_of(subscription), failure)
        if self._shared(subscription):
            del self._by_key[self._key_of(subscription)]
        timer = self._lingering.pop(subscription, None)
        if timer is not None:
            timer.cancel()
        self._all.pop(subscription, None)

    def _close(self, subscription: Subscription) -> None:
        self._forget(subscription)
        task = self._loop.create_task(subscription.close(), name="closing a subscription")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------ reanchor

    async def reanchor(self, viewer: Viewer, query: LiveQuery, identity: Identity) -> None:
        """Move one viewer's window to `query`; returns when it is there.

        A sole viewer's subscription is slid in place, by the tier's Reanchor; a shared one stays
        where it is and the viewer moves to the subscription of the new anchor, leaving the old
        one when the new is whole. Raises Failed: then the viewer still has the old window.
        """
        subscription = viewer.subscription
        if subscription is None or subscription.ended:
            raise Failed(Kind.UNAVAILABLE, "the subscription has ended")
        target = self._by_key.get(self._key(query, identity))
        if target is subscription and subscription.shareable and not subscription.moving:
            viewer.move(subscription.log)
            viewer.flush()
        elif target is None and self._sole(subscription, viewer):
            await self._slide(viewer, subscription, query, identity)
        else:
            await self._move(viewer, subscription, query, identity)

    def _sole(self, subscription: Subscription, viewer: Viewer) -> bool:
        return subscription.slides and subscription.subscribers.only(viewer)

    async def _slide(
        self, viewer: Viewer, subscription: Subscription, query: LiveQuery, identity: Identity
    ) -> None:
        self._refusals.check(self._key(query, identity))
        # Out of the map before the call, so that nobody joins a window about to move.
        if self._shared(subscription):
            del self._by_key[self._key_of(subscription)]
        try:
            await subscription.reanchor(query)
        except Failed as failure:
            if failure.kind in _REFUSED:
                raise
            await self._move(viewer, subscription, query, identity)
        finally:
            self._enter(subscription)

    def _enter(self, subscription: Subscription) -> None:
        """Let others share a subscription under its present key, unless that is taken."""
        if self._settings.sharing and subscription in self._all and not subscription.moving:
            self._by_key.setdefault(self._key_of(subscription), subscription)

    async def _move(
        self, viewer: Viewer, old: Subscription, query: LiveQuery, identity: Identity
    ) -> None:
        new = self._acquire(query, identity)
        self._hold(new, viewer, identity)
        patience = self._settings.open_timeout + self._settings.snapshot_timeout
        try:
            async with asyncio.timeout(patience):
                await asyncio.shield(new.whole)
        except TimeoutError:
            self._release(new, viewer)
            raise Failed(Kind.DEADLINE, "the tier did not send the window in time") from None
        except BaseException:
            self._release(new, viewer)
            raise
        if viewer.subscription is not old:
            # It left meanwhile; there is nobody to show the window to.
            self._release(new, viewer)
            return
        viewer.move(old.log)
        old.detach(viewer)
        self._release(old, viewer)
        new.attach(viewer)

    # ------------------------------------------------------------ history, and the end

    def _tidy(self) -> None:
        """Keep the history of all subscriptions within bounds, the longest unused first."""
        self._tidying = self._loop.call_later(TIDY_EVERY, self._tidy)
        total = sum(subscription.log.size for subscription in self._all)
        if total <= HISTORY_BYTES:
            return
        for subscription in sorted(self._all, key=lambda s: s.used_at):
            while total > HISTORY_BYTES:
                before = subscription.log.size
                if not subscription.shrink():
                    break
                total -= before - subscription.log.size

    async def close(self) -> None:
        """Close every subscription; returns when no upstream call is left."""
        self.draining = True
        self._tidying.cancel()
        for subscription in tuple(self._all):
            self._close(subscription)
        while self._tasks:
            await asyncio.wait(self._tasks)
