"""V1Session: v1 over WebSocket, many subscriptions on one connection (docs/wire.md §5).

All subscriptions write whole messages to the same send buffer. An error concerns one subscription
or one message; only text that is not JSON, a slow client, or a credential of another scope ends the
connection.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from bridge.core.errors import Failed, Kind
from bridge.live.backend import Identity
from bridge.live.resume import Resume
from bridge.live.send_buffer import SendBuffer
from bridge.live.stream_end import End, EndReason
from bridge.web.admission import CONNECTIONS_PER_IDENTITY
from bridge.web.context import STALLED, WebContext
from bridge.web.session_end import random_delay_ms
from bridge.web.stream_log import V1_WS
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot
from bridge.wire.encoders import V1WsEncoder
from bridge.wire.v1_commands import (
    V1Authenticate,
    V1Command,
    V1Message,
    V1Ping,
    V1Reanchor,
    V1Subscribe,
    V1Unsubscribe,
)
from bridge.wire.v1_messages import ended_reason, error_members, format_message, rfc3339
from bridge.wire.websocket import ws_text_frame

from .client_subscription import ClientSubscription
from .v1_credential import V1Credential
from .websocket_session import SessionOwner, Work

RECONNECT_MS = (500, 5000)
"""Range of milliseconds after which clients of a draining bridge come back."""
_NO_CREDENTIAL = (Kind.UNAUTHENTICATED, Kind.UNAVAILABLE)
"""Failures that end a socket which has no credential yet."""
MAX_UNSENT = 1024 * 1024
"""Bytes of answers that may wait for a client that sends commands and reads nothing."""


class V1Session:
    """A v1 client, from its first command to its last. Its `owner` ends it."""

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
        self._request_id = request.request_id
        self._send_buffer = send_buffer
        self._credential = V1Credential(
            context, request, slot, end=owner.end, on_expiring=self._send_auth_expiring
        )
        self._subscriptions: dict[str, ClientSubscription] = {}
        self._closed = False
        self._beat_timer = context.idle_timers.start(
            context.settings.ping_interval, self._send_beat
        )

    @property
    def verified(self) -> bool:
        """Whether the bridge has verified the credential of its client."""
        return self._credential.verified

    def begin(self) -> Work:
        """Judge what the request came with, if there was something."""
        try:
            rest = self._credential.begin()
        except Failed as failure:
            self._fail(failure)
            return None
        return self._begin_later(rest) if rest is not None else None

    async def _begin_later(self, rest: Coroutine[Any, Any, None]) -> None:
        try:
            await rest
        except Failed as failure:
            self._fail(failure)

    def _fail(self, failure: Failed) -> None:
        self._owner.end(End(EndReason.FAILED, failure.without_frames()))

    def handle(self, text: str) -> Work:
        """Handle a command; what is not JSON ends the session."""
        try:
            message = V1Message(text)
        except Failed as failure:
            self._fail(failure)
            return None
        work: Work = None
        try:
            work = self._handle(message)
        except Failed as failure:
            self._refuse(failure, message.sub)
        if work is None:
            self._credential.start_deadline()
        return work

    def _refuse(self, failure: Failed, sub: str | None) -> None:
        """Answer a command with a failure, or end the session for it."""
        if failure.kind is Kind.EXPIRED:
            self._owner.end(End(EndReason.EXPIRED, failure))
        elif failure.limit == CONNECTIONS_PER_IDENTITY or (
            self._credential.missing and failure.kind in _NO_CREDENTIAL
        ):
            self._fail(failure)
        else:
            self._send_refusal(failure, sub)

    def _send_refusal(self, failure: Failed, sub: str | None) -> None:
        self._context.stream_log.log_refusal(self._request_id, "ws", failure)
        self._send("error", **error_members(failure, sub))

    def send_last_message(self, end: End) -> None:
        """Send `drain` where the bridge drains, and after the longest life of a stream."""
        if end.reason in (EndReason.DRAINED, EndReason.AGED):
            self._send("drain", reconnect_after_ms=random_delay_ms(*RECONNECT_MS))

    def close(self, end: End) -> None:
        """Release all subscriptions; those still open end the way the connection does."""
        self._closed = True
        self._beat_timer.stop()
        self._credential.close()
        for subscription in tuple(self._subscriptions.values()):
            subscription.close(end)
        del self._credential  # it refers to this

    # ------------------------------------------------------------ commands

    def _handle(self, message: V1Message) -> Work:
        """Handle a command; raises Failed, which the client gets as `error`."""
        command: V1Command = message.command(max_limit=self._context.settings.max_rows)
        match command:
            case V1Subscribe():
                self._subscribe(command)
            case V1Reanchor():
                self._find(command.sub).reanchor(command)
            case V1Unsubscribe():
                self._find(command.sub).unsubscribe()
            case V1Authenticate():
                return self._authenticate(command, message.sub)
            case V1Ping():
                self._send("pong")
        return None

    async def _authenticate(self, command: V1Authenticate, sub: str | None) -> None:
        try:
            credential = await self._credential.judge(
                command.token, in_use=lambda: bool(self._subscriptions)
            )
            viewers = [subscription.viewer for subscription in self._subscriptions.values()]
            self._context.hub.check_identity(viewers, credential.identity)
            self._credential.use(credential)
            for viewer in viewers:
                self._context.hub.update_identity(viewer, credential.identity)
            self._send("authenticated", expires_at=rfc3339(credential.expires_at))
        except Failed as failure:
            self._refuse(failure, sub)
        self._credential.start_deadline()

    def _subscribe(self, command: V1Subscribe) -> None:
        name = command.sub
        if name in self._subscriptions:
            raise Failed(Kind.CONFLICT, "this name is in use", field="sub", code="ALREADY_EXISTS")
        most = self._context.settings.max_subscriptions
        if most and len(self._subscriptions) >= most:
            message = f"at most {most} subscriptions on a socket"
            raise Failed(Kind.QUOTA, message, field="sub", limit="subscriptions_per_socket")
        identity = self._credential.identity()
        resume = Resume(pos=command.resume, known=command.known)
        viewer = self._context.viewer(self._send_buffer, V1WsEncoder(name), resume)
        self._subscriptions[name] = subscription = ClientSubscription(
            name, command.query, viewer, hub=self._context.hub, owner=self
        )
        subscription.open(identity)

    def _find(self, name: str) -> ClientSubscription:
        subscription = self._subscriptions.get(name)
        if subscription is None:
            raise Failed(Kind.NOT_FOUND, "no subscription of this name", field="sub")
        return subscription

    # ------------------------------------------------------------ called by subscriptions

    def identity(self) -> Identity:
        """Return on whose behalf the tier is asked. Raises Failed."""
        return self._credential.identity()

    def on_refused(self, subscription: ClientSubscription, failure: Failed) -> None:
        """Tell the client."""
        self._send_refusal(failure, subscription.name)

    def on_not_moved(self, subscription: ClientSubscription, failure: Failed) -> None:
        """Tell the client: the old window stays."""
        self._send("error", **error_members(failure, subscription.name))

    def on_ended(self, subscription: ClientSubscription, end: End) -> None:
        """Tell the client, with the reason; one that takes nothing is cut."""
        if end.reason is EndReason.STALLED:
            self._owner.end(STALLED)
            return
        if end.failure is not None and end.failure.final:
            self._send("error", **error_members(end.failure, subscription.name))
        reason = ended_reason(end.failure, asked=subscription.unsubscribed)
        self._send("ended", sub=subscription.name, reason=reason)

    def on_closed(self, subscription: ClientSubscription, end: End) -> None:
        """Forget it; log the end of one whose window was shown."""
        del self._subscriptions[subscription.name]
        if subscription.started_at is not None:
            self._context.stream_log.log_end(
                self._request_id,
                V1_WS,
                entity=subscription.query.entity,
                end=end,
                seconds=asyncio.get_running_loop().time() - subscription.started_at,
                frames=subscription.viewer.frames_written,
            )

    # ------------------------------------------------------------ messages

    def _send_auth_expiring(self, expires_at: float) -> None:
        self._send("auth_expiring", expires_at=rfc3339(expires_at))

    def _send_beat(self) -> None:
        """Send `beat`: the client sees that the connection lives, and verifies its windows."""
        digests = {
            subscription.name: subscription.viewer.digest()
            for subscription in self._subscriptions.values()
            if subscription.viewer.up_to_date
        }
        self._send("beat", subs={name: d for name, d in digests.items() if d is not None})

    def _send(self, kind: str, **members: object) -> None:
        if self._closed:
            return
        if self._send_buffer.unsent() > MAX_UNSENT:
            self._owner.end(STALLED)
            return
        self._send_buffer.write(ws_text_frame(format_message(kind, **members)))
