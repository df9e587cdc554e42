"""Which subscriptions share which view.

Laws:

- A key has a view exactly while it has subscribers. All of them have that view.
- Joining, leaving and looking up cost the same however many views there are.
- All methods belong to the event loop's thread.
"""

from collections.abc import Callable, Collection, Hashable

from livetier.engine.store import Step, Views, ViewT
from livetier.engine.subscription import Subscription


class SharedViews(Views[ViewT]):
    """The views in use, and the subscribers of each; ``release`` is told of a view without any."""

    def __init__(self, release: Callable[[ViewT], None]) -> None:
        super().__init__()
        self._release = release
        self._subscribers: dict[Hashable, dict[str, Subscription[ViewT]]] = {}

    def join(self, subscription: Subscription[ViewT]) -> None:
        """Count ``subscription`` among those that share its view."""
        key = subscription.view.plan.key
        self._by_key[key] = subscription.view
        self._subscribers.setdefault(key, {})[subscription.id] = subscription

    def leave(self, subscription: Subscription[ViewT]) -> None:
        """Count ``subscription`` no longer; idempotent."""
        self._leave(subscription.view.plan.key, subscription.id)

    def move(self, subscription: Subscription[ViewT], view: ViewT) -> None:
        """Give ``subscription`` another view; it is counted there if it was counted here."""
        before = subscription.view.plan.key
        counted = subscription.id in self._subscribers.get(before, {})
        subscription.view = view
        if not counted:
            return
        self.join(subscription)
        if before != view.plan.key:
            self._leave(before, subscription.id)

    def _leave(self, key: Hashable, identifier: str) -> None:
        sharing = self._subscribers.get(key, {})
        if sharing.pop(identifier, None) is not None and not sharing:
            self.remove(key)

    def remove(self, key: Hashable) -> Collection[Subscription[ViewT]]:
        """Remove a view, and return its subscribers."""
        view = self._by_key.pop(key, None)
        if view is not None:
            self._release(view)
        return self._subscribers.pop(key, {}).values()

    def succeed(self, step: Step[ViewT]) -> Collection[Subscription[ViewT]]:
        """Replace a step's view by its successor, and return the subscribers.

        Returns nobody if the view is no longer the latest of its plan.
        """
        key = step.before.plan.key
        if self._by_key.get(key) is not step.before:
            return ()
        if step.error is not None:
            return self.remove(key)
        self._by_key[key] = step.after
        sharing = self._subscribers[key].values()
        for subscription in sharing:
            subscription.view = step.after
        return sharing
