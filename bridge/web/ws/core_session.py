"""CoreSession: core over WebSocket (docs/wire.md §4).

One subscription per connection: the first command subscribes, later ones reanchor or unsubscribe.
Failures are reported by the close code and its reason.
"""

import asyncio
from typing import Final

from bridge.core.errors import Failed
from bridge.core.query import LiveQuery
from bridge.live.backend import Identity
from bridge.live.send_buffer import SendBuffer
from bridge.live.stream_end import End, EndReason
from bridge.web.auth.credential import Credential
from bridge.web.auth.credential_watch import Lease
from bridge.web.auth.identities import ANONYMOUS
from bridge.web.auth.presented import Presented
from bridge.web.context import WebContext
from bridge.web.parse_cache import parse_cached
from bridge.web.stream_log import CORE_WS
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot
from bridge.wire import core_commands
from bridge.wire.encoders import CoreWsEncoder

from .websocket_session import SessionOwner, Work

_ENCODER: Final = CoreWsEncoder()
"""One for all: it knows nothing of its client."""


@parse_cached
def _parse_first(text: str, max_rows: int) -> LiveQuery:
    return core_commands.parse_first_command(text, max_limit=max_rows).query


class CoreSession:
    """A core client, from its first command to its last. Its `owner` ends it."""

    __slots__ = (
        "_context",
        "_identity",
        "_lease",
        "_opened",
        "_owner",
        "_query",
        "_reanchoring",
        "_request",
        "_request_id",
        "_slot",
        "_started_at",
        "_viewer",
    )

    def __init__(
        self,
        owner: SessionOwner,
        context: WebContext,
        request: StreamRequest,
        send_buffer: SendBuffer,
        slot: StreamSlot,
    ) -> None:
        self._owner = owner
        self._context = context
        self._request: StreamRequest | None = request
        """None once its credential is judged: its header is not needed while the session lasts."""
        self._request_id = request.request_id
        self._slot = slot
        self._viewer = context.viewer(send_buffer, _ENCODER)
        self._viewer.ended.add_done_callback(self._on_viewer_ended)
        self._started_at: float | None = None
        self._identity = ANONYMOUS
        self._query: LiveQuery | None = None
        """The window that was asked for last; None before the first command."""
        self._lease: Lease | None = None
        self._opened: asyncio.Future[None] | None = None
        """Done when the tier has started the subscription."""
        self._reanchoring: asyncio.Task[None] | None = None

    def _on_viewer_ended(self, ended: asyncio.Future[End]) -> None:
        self._owner.end(ended.result())

    def on_credential_ended(self, failure: Failed) -> None:
        """End the session: its client's credential has ended."""
        self._owner.end(End(EndReason.EXPIRED, failure))

    def on_credential_expiring(self, expires_at: float) -> None:
        """Say nothing: core has no such message."""

    @property
    def verified(self) -> bool:
        """Whether the bridge has verified the credential of its client."""
        return self._lease is not None

    def begin(self) -> Work:
        """Judge the credential; a key of its issuer may have to be read first."""
        authenticator, request, self._request = self._context.authenticator, self._request, None
        if request is None:
            return None
        try:
            credential = authenticator.recall(request)
            if credential is None:
                presented = authenticator.find(request)
                if authenticator.keys_needed(presented) is not None:
                    return self._begin_later(presented)
                credential = authenticator.judge(presented)
            self._use(credential)
        except Failed as failure:
            self._fail(failure)
        return None

    async def _begin_later(self, presented: Presented) -> None:
        try:
            self._use(await self._context.authenticator.accept(presented))
        except Failed as failure:
            self._fail(failure)

    def _use(self, credential: Credential) -> None:
        self._identity = credential.identity
        self._slot.identify(credential.identity)
        self._lease = self._context.authenticator.watch.hold(credential, self)

    def _fail(self, failure: Failed) -> None:
        self._owner.end(End(EndReason.FAILED, failure.without_frames()))

    def handle(self, text: str) -> Work:
        """Handle a command: the first one subscribes."""
        try:
            if self._query is None:
                self._subscribe(_parse_first(text, self._context.settings.max_rows))
            else:
                self._change(self._query, text)
        except Failed as failure:
            self._fail(failure)
        return None

    def _subscribe(self, query: LiveQuery) -> None:
        self._query = query
        opened = self._context.hub.start_subscribe(self._viewer, query, self._identity)
        self._opened = opened
        if opened.done():
            self._on_opened(opened)
        else:
            opened.add_done_callback(self._on_opened)

    def _change(self, query: LiveQuery, text: str) -> None:
        command = core_commands.parse_command(text, max_limit=self._context.settings.max_rows)
        if isinstance(command, core_commands.CoreUnsubscribe):
            self._owner.end(End(EndReason.UNSUBSCRIBED))
        elif isinstance(command, core_commands.CoreReanchor):
            self._query = query = query.reanchored(command.cursor, command.limit)
            self._start_reanchor(query, self._identity)

    def send_last_message(self, end: End) -> None:
        """Send nothing: core has only the close frame."""

    def close(self, end: End) -> None:
        """Release the subscription and what is under way."""
        if self._lease is not None:
            self._lease.release(self)
        if self._opened is not None:
            self._opened.remove_done_callback(self._on_opened)
        if self._reanchoring is not None:
            self._reanchoring.cancel()
            self._reanchoring = None  # once cancelled, it refers to this
        ended = self._viewer.ended
        ended.remove_done_callback(self._on_viewer_ended)
        if ended.done():
            end = ended.result()
        self._context.hub.unsubscribe(self._viewer, end.reason)
        if self._started_at is not None and self._query is not None:
            self._context.stream_log.log_end(
                self._request_id,
                CORE_WS,
                entity=self._query.entity,
                end=end,
                seconds=asyncio.get_running_loop().time() - self._started_at,
                frames=self._viewer.frames_written,
            )

    def _on_opened(self, opened: asyncio.Future[None]) -> None:
        """Show the window once the tier has started it; else end the session with the failure."""
        failure = opened.exception()
        if isinstance(failure, Failed):
            self._owner.end(End(EndReason.FAILED, failure))
        else:
            self._started_at = asyncio.get_running_loop().time()
            self._context.hub.attach(self._viewer)

    def _start_reanchor(self, query: LiveQuery, identity: Identity) -> None:
        """Move the window; a newer reanchor replaces one under way."""
        before = self._reanchoring or self._opened
        if self._reanchoring is not None:
            self._reanchoring.cancel()
        self._reanchoring = asyncio.create_task(
            self._reanchor(query, identity, before), name="reanchoring"
        )

    async def _reanchor(
        self, query: LiveQuery, identity: Identity, before: asyncio.Future[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await self._context.hub.reanchor(self._viewer, query, identity)
        except Failed as failure:
            # Core has no message for a refusal: only the close code.
            self._fail(failure)
