"""Hub: subscriptions by key. One upstream subscription serves all viewers that may share it.

Invariants: a key is (scope, canonical query), compared by value; a subscription is in the map
under the key of the window that it shows, or not in the map; it is kept while a viewer holds it,
and for the linger time after, if anybody was shown its window; the failure of an opening goes to
all that wait for it, and is not remembered, unless the answer was too large (`negative_cache`).
"""

import asyncio
from collections.abc import Callable, Collection
from typing import TypeAlias

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.query_rules import QueryRules

from .backend import Backend, Identity
from .flush_scheduler import FlushScheduler
from .history_limiter import HistoryLimiter
from .negative_cache import NegativeCache
from .observer import Observer
from .query_limiter import QueryLimiter
from .settings import LiveSettings
from .stream_end import EndReason
from .subscription import Subscription
from .tier_log import TierLog
from .viewer import Viewer

Key: TypeAlias = tuple[tuple[tuple[str, str], ...], bytes]

# A Reanchor fails with these if the query is at fault. The window stays, and the client is told.
_REFUSED = (Kind.BAD_QUERY, Kind.UNAUTHENTICATED, Kind.DENIED, Kind.CONFLICT, Kind.TOO_LARGE)
_NO_RULES = QueryRules()


class Hub:
    """Opens, shares, lingers and closes subscriptions."""

    def __init__(
        self,
        *,
        backend: Backend,
        settings: LiveSettings,
        observer: Observer,
        flush_scheduler: FlushScheduler | None = None,
        rules: QueryRules = _NO_RULES,
    ) -> None:
        self._backend = backend
        self._settings = settings
        self._rules = rules
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._by_key: dict[Key, Subscription] = {}
        self._all: dict[Subscription, None] = {}
        self._by_viewer: dict[Viewer, Subscription] = {}
        self._linger_timers: dict[Subscription, asyncio.TimerHandle] = {}
        self._too_large = NegativeCache(self._loop.time)
        self._tier_log = TierLog()
        self.limiter = QueryLimiter(settings.limits, self._close)
        self._closing: set[asyncio.Task[None]] = set()
        self.draining = False
        """Set before the end. New viewers are refused."""
        self._flush_scheduler = flush_scheduler or FlushScheduler(self._loop)
        self._history_limiter = HistoryLimiter(self._all, self._loop)

    @property
    def subscriptions(self) -> int:
        """The number of subscriptions, those that linger included."""
        return len(self._all)

    def all(self) -> Collection[Subscription]:
        """Return every subscription, those that linger included."""
        return tuple(self._all)

    # ------------------------------------------------------------ subscribe and unsubscribe

    def start_subscribe(
        self, viewer: Viewer, query: LiveQuery, identity: Identity
    ) -> asyncio.Future[None]:
        """Hold a subscription to `query` for a viewer. Return its `opened`, not to be cancelled.

        The viewer is shown nothing before `attach`. Raise Failed. Whatever happens, call
        `unsubscribe` in the end.
        """
        if self.draining:
            raise Failed(Kind.UNAVAILABLE, "the bridge is draining", retry_after=1)
        self._rules.check(query, identity.claims)
        self.limiter.check_subscriber(identity)
        subscription = self._find_or_open(query, identity)
        self._by_viewer[viewer] = subscription
        self._hold(subscription, viewer, identity)
        return subscription.opened

    def attach(self, viewer: Viewer) -> None:
        """Show the window from now on."""
        if (subscription := self._by_viewer.get(viewer)) is not None:
            self._observer.attached()
            viewer.attached = True
            subscription.attach(viewer)

    async def wait_attached(self, viewer: Viewer) -> None:
        """Wait until a viewer is attached. Raise Failed if that can't be any more."""
        while not viewer.attached:
            subscription = self._by_viewer.get(viewer)
            if subscription is None:
                raise Failed(Kind.UNAVAILABLE, "the subscription has ended")
            await asyncio.shield(subscription.opened)
            await asyncio.sleep(0)

    def update_identity(self, viewer: Viewer, identity: Identity) -> None:
        """Use a viewer's newer identity, of the same scope, from the next call on."""
        if (subscription := self._by_viewer.get(viewer)) is not None:
            self._hold(subscription, viewer, identity)

    def check_identity(self, viewers: Collection[Viewer], identity: Identity) -> None:
        """Refuse a newer identity of viewers that would be over a limit. Raise Failed."""
        found = [(viewer, self._by_viewer.get(viewer)) for viewer in viewers]
        held = [(s, s.subscribers.identity_of(viewer)) for viewer, s in found if s is not None]
        self.limiter.check_change(held, identity)

    def withdraw(self, withdrawn: Callable[[Identity], bool]) -> None:
        """Have the tier asked on these identities no more; calls that run on one change hands."""
        for subscription in tuple(self._all):
            if subscription.withdraw(withdrawn):
                self._close(subscription)

    def unsubscribe(self, viewer: Viewer, reason: EndReason) -> None:
        """Release what a viewer holds. Idempotent."""
        subscription = self._by_viewer.pop(viewer, None)
        viewer.window = None
        if subscription is not None:
            subscription.detach(viewer)
            self._release(subscription, viewer)
        if viewer.attached:
            viewer.attached = False
            self._observer.detached(reason)

    def _find_or_open(
        self, query: LiveQuery, identity: Identity, leaving: Subscription | None = None
    ) -> Subscription:
        """Return a subscription. Raise Failed: QUOTA, or TOO_LARGE if it is known to fail."""
        key = identity.scope, query.key
        subscription = self._by_key.get(key) if self._settings.sharing else None
        if subscription is None or not subscription.window.shareable:
            self._too_large.check(key)
            self.limiter.check_query(identity, leaving=leaving)
            subscription = Subscription(
                query=query,
                identity=identity,
                backend=self._backend,
                settings=self._settings,
                observer=self._observer,
                tier_log=self._tier_log,
                flush_scheduler=self._flush_scheduler,
                on_end=self._remove,
            )
            self._all[subscription] = None
            if self._settings.sharing:
                self._by_key.setdefault(key, subscription)
        else:
            self.limiter.check_query(identity, subscription, leaving)
        return subscription

    def _hold(self, subscription: Subscription, viewer: Viewer, identity: Identity) -> None:
        self._cancel_linger(subscription)
        self.limiter.hold(subscription, identity)
        before = subscription.hold(viewer, identity)
        if before is not None:
            self.limiter.release(subscription, before)

    def _release(self, subscription: Subscription, viewer: Viewer) -> None:
        identity = subscription.subscribers.remove(viewer)
        if identity is None:
            return
        self.limiter.release(subscription, identity)
        if len(subscription.subscribers) or subscription not in self._all:
            return
        if self._in_map(subscription) and self._settings.linger and subscription.seen:
            self.limiter.linger(subscription, identity)
            if subscription not in self._all:  # too many linger
                return
            timer = self._loop.call_later(self._settings.linger, self._close, subscription)
            self._linger_timers[subscription] = timer
        else:
            self._close(subscription)

    def _cancel_linger(self, subscription: Subscription) -> None:
        if (timer := self._linger_timers.pop(subscription, None)) is not None:
            timer.cancel()

    def _in_map(self, subscription: Subscription) -> bool:
        """Return whether new viewers can share it."""
        return self._by_key.get(_key_of(subscription)) is subscription

    def _remove(self, subscription: Subscription) -> None:
        failure = subscription.failure
        if failure is not None and self._settings.sharing and not subscription.reanchoring:
            self._too_large.add(_key_of(subscription), failure)
        if self._in_map(subscription):
            del self._by_key[_key_of(subscription)]
        self._cancel_linger(subscription)
        self.limiter.ended(subscription)
        self._all.pop(subscription, None)

    def _close(self, subscription: Subscription) -> None:
        self._remove(subscription)
        task = self._loop.create_task(subscription.close(), name="closing a subscription")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close every subscription. Return when no upstream call is left."""
        self.draining = True
        self._history_limiter.stop()
        for subscription in tuple(self._all):
            self._close(subscription)
        while self._closing:
            await asyncio.wait(self._closing)

    # ------------------------------------------------------------ reanchor

    async def reanchor(self, viewer: Viewer, query: LiveQuery, identity: Identity) -> None:
        """Move one viewer's window to `query`. Return when it is there.

        A subscription with no other viewer is moved in place, by the tier's Reanchor. From a shared
        one the viewer changes to a subscription to `query`, once that is complete. Raise Failed:
        then the viewer still has the old window.
        """
        subscription = self._by_viewer.get(viewer)
        if subscription is None or subscription.ended:
            raise Failed(Kind.UNAVAILABLE, "the subscription has ended")
        self._rules.check(query, identity.claims)
        target = self._by_key.get((identity.scope, query.key))
        same = target is subscription and not subscription.reanchoring
        if same and subscription.window.shareable:
            viewer.switch_window(subscription.window.log)
            viewer.flush()
        elif (
            target is None
            and subscription.can_reanchor
            and subscription.subscribers.is_only(viewer)
        ):
            await self._reanchor_in_place(viewer, subscription, query, identity)
        else:
            await self._change_subscription(viewer, subscription, query, identity)

    async def _reanchor_in_place(
        self, viewer: Viewer, subscription: Subscription, query: LiveQuery, identity: Identity
    ) -> None:
        self._too_large.check((identity.scope, query.key))
        # Out of the map before the call: nobody may join a window that is about to move.
        if self._in_map(subscription):
            del self._by_key[_key_of(subscription)]
        try:
            if not await _move(subscription, query):
                await self._change_subscription(viewer, subscription, query, identity)
        finally:
            # Under its present key, unless another one is there.
            lives = self._settings.sharing and subscription in self._all
            if lives and not subscription.reanchoring:
                self._by_key.setdefault(_key_of(subscription), subscription)

    async def _change_subscription(
        self, viewer: Viewer, old: Subscription, query: LiveQuery, identity: Identity
    ) -> None:
        new = self._find_or_open(query, identity, leaving=old)
        self._hold(new, viewer, identity)
        within = self._settings.open_timeout + self._settings.snapshot_timeout
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(new.ready)
        except BaseException as error:
            self._release(new, viewer)
            if isinstance(error, TimeoutError):
                raise Failed(Kind.DEADLINE, "the tier did not send the window in time") from None
            raise
        if self._by_viewer.get(viewer) is not old:  # the viewer left meanwhile
            self._release(new, viewer)
            return
        self._hold(new, viewer, old.subscribers.identity_of(viewer) or identity)  # maybe newer
        viewer.switch_window(old.window.log)
        old.detach(viewer)
        self._release(old, viewer)
        self._by_viewer[viewer] = new
        new.attach(viewer)


async def _move(subscription: Subscription, query: LiveQuery) -> bool:
    """Have the tier move a window. Return False if it can't. Raise Failed if it refuses."""
    try:
        await subscription.reanchor(query)
    except Failed as failure:
        if failure.kind in _REFUSED:
            raise
        return False
    return True


def _key_of(subscription: Subscription) -> Key:
    return subscription.scope, subscription.query.key
