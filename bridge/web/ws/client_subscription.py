"""ClientSubscription: one subscription of a v1 socket, from its opening to its `ended`.

Invariants: it ends once; nothing of it is said after its `ended`; whatever ends it, the hub holds
nothing for it afterwards. Nothing waits for it: the futures of hub and viewer call it.
"""

import asyncio
from typing import Protocol

from bridge.core.errors import Failed
from bridge.core.query import LiveQuery
from bridge.live.backend import Identity
from bridge.live.hub import Hub
from bridge.live.stream_end import End, EndReason
from bridge.live.viewer import Viewer
from bridge.wire.v1_commands import V1Reanchor


class SubscriptionOwner(Protocol):
    """Whose subscriptions they are."""

    def identity(self) -> Identity:
        """Return on whose behalf the tier is asked. Raises Failed."""

    def on_refused(self, subscription: "ClientSubscription", failure: Failed) -> None:
        """Report that it could not be opened."""

    def on_not_moved(self, subscription: "ClientSubscription", failure: Failed) -> None:
        """Report that it stays where it is."""

    def on_ended(self, subscription: "ClientSubscription", end: End) -> None:
        """Report the end of one that was not refused."""

    def on_closed(self, subscription: "ClientSubscription", end: End) -> None:
        """Forget it: all is released."""


class ClientSubscription:
    """One for each name on a socket."""

    __slots__ = (
        "_closed",
        "_hub",
        "_opened",
        "_owner",
        "_reanchoring",
        "name",
        "query",
        "started_at",
        "unsubscribed",
        "viewer",
    )

    def __init__(
        self, name: str, query: LiveQuery, viewer: Viewer, *, hub: Hub, owner: SubscriptionOwner
    ) -> None:
        self.name = name
        self.query = query
        self.viewer = viewer
        self._hub = hub
        self._owner = owner
        self._opened: asyncio.Future[None] | None = None
        """Done when the tier has started the subscription."""
        self._reanchoring: asyncio.Task[None] | None = None
        self._closed = False
        self.unsubscribed = False
        """Whether the client asked for its end."""
        self.started_at: float | None = None
        """When its window was first shown."""

    def open(self, identity: Identity) -> None:
        """Subscribe; show the window once the tier has started it."""
        self.viewer.ended.add_done_callback(self._on_viewer_ended)
        try:
            opened = self._hub.start_subscribe(self.viewer, self.query, identity)
        except Failed as failure:
            self._refuse(failure.without_frames())
            return
        self._opened = opened
        if opened.done():
            self._on_opened(opened)
        else:
            opened.add_done_callback(self._on_opened)

    def _on_opened(self, opened: asyncio.Future[None]) -> None:
        if self._closed or self.viewer.ended.done():
            return
        failure = opened.exception()
        if isinstance(failure, Failed):
            self._refuse(failure)
            return
        self.started_at = asyncio.get_running_loop().time()
        self._hub.attach(self.viewer)

    def _refuse(self, failure: Failed) -> None:
        self._owner.on_refused(self, failure)
        self._release(End(EndReason.FAILED, failure))

    def unsubscribe(self) -> None:
        """End it, for the client asked."""
        self.unsubscribed = True
        self.viewer.end(End(EndReason.UNSUBSCRIBED))

    # ------------------------------------------------------------ moving the window

    def reanchor(self, command: V1Reanchor) -> None:
        """Move the window; a newer reanchor replaces one under way."""
        query = self.query.reanchored(command.cursor, command.limit)
        before = self._reanchoring
        if before is not None:
            before.cancel()
        self._reanchoring = asyncio.create_task(self._reanchor(query, before), name="reanchoring")

    async def _reanchor(self, query: LiveQuery, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await self._hub.wait_attached(self.viewer)
            await self._hub.reanchor(self.viewer, query, self._owner.identity())
            self.query = query
        except Failed as failure:
            if not self._closed:
                self._owner.on_not_moved(self, failure)

    # ------------------------------------------------------------ the end

    def _on_viewer_ended(self, ended: asyncio.Future[End]) -> None:
        if self._closed:
            return
        if self._reanchoring is None or self._reanchoring.done():
            self._end(ended.result())
        else:
            # Its last word comes first.
            self._reanchoring.add_done_callback(lambda _: self._end(ended.result()))
            self._reanchoring.cancel()

    def _end(self, end: End) -> None:
        if not self._closed:
            self._owner.on_ended(self, end)
            self._release(end)

    def _release(self, end: End) -> None:
        self._closed = True
        self.viewer.ended.remove_done_callback(self._on_viewer_ended)
        if self._opened is not None:
            self._opened.remove_done_callback(self._on_opened)
        if self._reanchoring is not None:
            self._reanchoring.cancel()
            self._reanchoring = None  # once cancelled, it refers to this
        self._hub.unsubscribe(self.viewer, end.reason)
        self._owner.on_closed(self, end)

    def close(self, end: End) -> None:
        """Release everything without a word: the socket is over. Idempotent."""
        if not self._closed:
            self._release(end)
