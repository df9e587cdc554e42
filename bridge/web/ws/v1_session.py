"""V1Session: v1 over WebSocket, many subscriptions on one connection (docs/wire.md §5).

One task reads commands; each subscription has a task of its own, from its opening to its `ended`.
All write whole messages to the same send buffer. An error concerns one subscription or one
message; only text that is not JSON, a slow client, or a credential of another scope ends the
connection.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.live.backend import Identity
from bridge.live.resume import Resume
from bridge.live.send_buffer import SendBuffer
from bridge.live.stream_end import End, EndReason
from bridge.live.viewer import Viewer
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

from .command_reader import CommandReader
from .tasks import cancel
from .v1_credential import V1Credential

RECONNECT_MS = (500, 5000)
"""Range of milliseconds after which clients of a draining bridge come back."""
_NO_CREDENTIAL = (Kind.UNAUTHENTICATED, Kind.UNAVAILABLE)
"""Failures that end a socket which has no credential yet."""
MAX_UNSENT = 1024 * 1024
"""Bytes of answers that may wait for a client that sends commands and reads nothing."""


@dataclass(slots=True, eq=False)
class ClientSubscription:
    """One subscription of the client."""

    name: str
    query: LiveQuery
    viewer: Viewer
    task: asyncio.Task[None] | None = None
    """Runs the subscription, from its opening to its `ended`."""
    reanchoring: asyncio.Task[None] | None = None
    unsubscribed: bool = False
    """Whether the client asked for its end."""
    refused: bool = False
    """Whether it was never opened, and the client got an `error`."""
    started_at: float | None = None
    """When its window was first shown."""


class V1Session:
    """A v1 client, from its first command to its last. `end` ends the session from outside."""

    def __init__(
        self,
        *,
        context: WebContext,
        request: StreamRequest,
        commands: CommandReader,
        send_buffer: SendBuffer,
        slot: StreamSlot,
        end: Callable[[End], None],
    ) -> None:
        self._context = context
        self._request = request
        self._commands = commands
        self._send_buffer = send_buffer
        self._end = end
        self._credential = V1Credential(
            context, request, slot, end=end, on_expiring=self._send_auth_expiring
        )
        self._subscriptions: dict[str, ClientSubscription] = {}
        self._closed = False
        self._final_end = End(EndReason.CLIENT_GONE)
        """The end of subscriptions that are open when the connection ends."""
        self._loop = asyncio.get_running_loop()
        self._beat_timer = context.idle_timers.start(
            context.settings.ping_interval, self._send_beat
        )

    async def run(self) -> End:
        """Handle commands until the client leaves, or sends what is not JSON."""
        settings = self._context.settings
        try:
            await self._credential.begin()
            text = await self._commands.read_first(settings.first_message_timeout)
            while text is not None:
                message = V1Message(text)
                try:
                    await self._handle(message.command(max_limit=settings.max_rows))
                except Failed as failure:
                    if failure.kind is Kind.EXPIRED:
                        return End(EndReason.EXPIRED, failure)
                    over = failure.limit == CONNECTIONS_PER_IDENTITY
                    if over or (self._credential.missing and failure.kind in _NO_CREDENTIAL):
                        return End(EndReason.FAILED, failure)
                    self._context.stream_log.log_refusal(self._request.request_id, "ws", failure)
                    self._send("error", **error_members(failure, message.sub))
                self._credential.start_deadline()
                text = await self._commands.read()
        except Failed as failure:
            return End(EndReason.FAILED, failure)
        return End(EndReason.CLIENT_GONE)

    def send_last_message(self, end: End) -> None:
        """Send `drain` where the bridge drains, and after the longest life of a stream."""
        if end.reason in (EndReason.DRAINED, EndReason.AGED):
            self._send("drain", reconnect_after_ms=random_delay_ms(*RECONNECT_MS))

    async def close(self, end: End) -> None:
        """Release all subscriptions; those still open end the way the connection does."""
        self._closed = True
        self._final_end = end
        self._beat_timer.stop()
        self._credential.close()
        tasks = [
            task
            for subscription in self._subscriptions.values()
            for task in (subscription.task, subscription.reanchoring)
            if task
        ]
        await cancel(*tasks)

    # ------------------------------------------------------------ commands

    async def _handle(self, command: V1Command) -> None:
        """Handle a command; raises Failed, which the client gets as `error`."""
        match command:
            case V1Subscribe():
                self._subscribe(command)
            case V1Reanchor():
                self._start_reanchor(command)
            case V1Unsubscribe():
                self._unsubscribe(self._find(command.sub))
            case V1Authenticate():
                await self._authenticate(command)
            case V1Ping():
                self._send("pong")

    async def _authenticate(self, command: V1Authenticate) -> None:
        credential = await self._credential.judge(
            command.token, in_use=lambda: bool(self._subscriptions)
        )
        viewers = [subscription.viewer for subscription in self._subscriptions.values()]
        self._context.hub.check_identity(viewers, credential.identity)
        self._credential.use(credential)
        for viewer in viewers:
            self._context.hub.update_identity(viewer, credential.identity)
        self._send("authenticated", expires_at=rfc3339(credential.expires_at))

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
        subscription = ClientSubscription(name, command.query, viewer)
        self._subscriptions[name] = subscription
        subscription.task = asyncio.create_task(
            self._run_subscription(subscription, identity), name="serving a v1 subscription"
        )

    def _find(self, name: str) -> ClientSubscription:
        subscription = self._subscriptions.get(name)
        if subscription is None:
            raise Failed(Kind.NOT_FOUND, "no subscription of this name", field="sub")
        return subscription

    def _unsubscribe(self, subscription: ClientSubscription) -> None:
        subscription.unsubscribed = True
        subscription.viewer.end(End(EndReason.UNSUBSCRIBED))

    def _start_reanchor(self, command: V1Reanchor) -> None:
        """Move a window; a newer reanchor replaces one under way."""
        subscription = self._find(command.sub)
        query = subscription.query.reanchored(command.cursor, command.limit)
        before = subscription.reanchoring
        if before is not None:
            before.cancel()
        subscription.reanchoring = asyncio.create_task(
            self._reanchor(subscription, query, before), name="reanchoring"
        )

    async def _reanchor(
        self, subscription: ClientSubscription, query: LiveQuery, before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await self._context.hub.wait_attached(subscription.viewer)
            await self._context.hub.reanchor(
                subscription.viewer, query, self._credential.identity()
            )
            subscription.query = query
        except Failed as failure:
            # The old window stays.
            self._send("error", **error_members(failure, subscription.name))

    # ------------------------------------------------------------ one subscription

    async def _run_subscription(self, subscription: ClientSubscription, identity: Identity) -> None:
        end: End | None = None
        try:
            end = await self._serve_until_end(subscription, identity)
            if subscription.reanchoring is not None:
                await cancel(subscription.reanchoring)
            self._send_ended(subscription, end)
        finally:
            end = end or self._final_end
            self._context.hub.unsubscribe(subscription.viewer, end.reason)
            del self._subscriptions[subscription.name]
            self._log_end(subscription, end)

    async def _serve_until_end(self, subscription: ClientSubscription, identity: Identity) -> End:
        """Open, show, and wait for the end; an unsubscribe ends it at any point."""
        hub, viewer = self._context.hub, subscription.viewer
        opening = asyncio.ensure_future(hub.subscribe(viewer, subscription.query, identity))
        try:
            await asyncio.wait((opening, viewer.ended), return_when=asyncio.FIRST_COMPLETED)
            if not viewer.ended.done():
                opening.result()
                subscription.started_at = self._loop.time()
                hub.attach(viewer)
            return await viewer.ended
        except Failed as failure:
            subscription.refused = True
            self._context.stream_log.log_refusal(self._request.request_id, "ws", failure)
            self._send("error", **error_members(failure, subscription.name))
            return End(EndReason.FAILED, failure)
        finally:
            await cancel(opening)

    def _send_ended(self, subscription: ClientSubscription, end: End) -> None:
        if end.reason is EndReason.STALLED:
            self._end(STALLED)
        elif not subscription.refused:
            if end.failure is not None and end.failure.final:
                self._send("error", **error_members(end.failure, subscription.name))
            reason = ended_reason(end.failure, asked=subscription.unsubscribed)
            self._send("ended", sub=subscription.name, reason=reason)

    def _log_end(self, subscription: ClientSubscription, end: End) -> None:
        """Log the end of a subscription whose window was shown."""
        if subscription.started_at is not None:
            self._context.stream_log.log_end(
                self._request.request_id,
                V1_WS,
                entity=subscription.query.entity,
                end=end,
                seconds=self._loop.time() - subscription.started_at,
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
            self._end(STALLED)
            return
        self._send_buffer.write(ws_text_frame(format_message(kind, **members)))
