"""v1 over WebSocket: many subscriptions on one socket (docs/wire.md §5).

One task reads; each subscription has one task, from its opening to its `ended`. They write to the
same outlet, whole messages only. An error concerns one subscription or one message; only text that
is no JSON, a slow reader, or a credential of another scope ends the socket.
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
from bridge.web.context import STALLED, WebContext
from bridge.web.identity import with_token
from bridge.web.session_end import random_delay_ms
from bridge.web.stream_log import V1_WS
from bridge.web.stream_request import StreamRequest
from bridge.wire.encoders import V1WsEncoder
from bridge.wire.v1_commands import (
    MAX_SUBSCRIPTIONS,
    V1Authenticate,
    V1Command,
    V1Message,
    V1Ping,
    V1Reanchor,
    V1Subscribe,
    V1Unsubscribe,
)
from bridge.wire.v1_messages import ended_reason, error_members, format_message
from bridge.wire.websocket import ws_text_frame

from .websocket import WebSocket, cancel

RECONNECT_MS = (500, 5000)
"""Milliseconds after which clients of a bridge that goes come back."""
MAX_UNSENT = 1024 * 1024
"""Bytes of answers that may wait for a client that keeps asking and does not read."""


@dataclass(slots=True, eq=False)
class ClientSubscription:
    """A subscription of this client's."""

    name: str
    query: LiveQuery
    viewer: Viewer
    holding: asyncio.Task[None] | None = None
    moving: asyncio.Task[None] | None = None
    asked: bool = False  # the client wants it ended
    refused: bool = False  # it never came to be, and the client was told
    began: float | None = None  # when its window was first due


class V1Session:
    """A v1 client, from its first message to its last."""

    def __init__(
        self,
        *,
        context: WebContext,
        ask: StreamRequest,
        socket: WebSocket,
        send_buffer: SendBuffer,
        end: Callable[[End], None],
    ) -> None:
        self._context = context
        self._ask = ask
        self._socket = socket
        self._send_buffer = send_buffer
        self._end = end
        self._identity: Identity | None = None
        self._seats: dict[str, ClientSubscription] = {}
        self._over = False
        self._how = End(EndReason.CLIENT_GONE)
        self._loop = asyncio.get_running_loop()
        self._heart = context.idle_timers.heart(
            interval=context.settings.ping_interval, beat=self._beat
        )

    async def read(self) -> End:
        """Obey messages until the client leaves or says what is no JSON."""
        settings = self._context.settings
        try:
            text = await self._socket.first_text(settings.first_message_timeout)
            while text is not None:
                message = V1Message(text)
                try:
                    self._obey(message.command(max_limit=settings.max_rows))
                except Failed as failure:
                    if failure.kind is Kind.EXPIRED:
                        return End(EndReason.EXPIRED, failure)
                    self._context.stream_log.refuse(self._ask.name, "ws", failure)
                    self._say("error", **error_members(failure, message.sub))
                text = await self._socket.text()
        except Failed as failure:
            return End(EndReason.FAILED, failure)
        return End(EndReason.CLIENT_GONE)

    async def leave(self, how: End) -> None:
        """Give back all that is held; what is still open ends the way the socket does."""
        self._over = True
        self._how = how
        self._heart.stop()
        tasks = [task for s in self._seats.values() for task in (s.holding, s.moving) if task]
        await cancel(*tasks)

    def goodbye(self, end: End) -> None:
        """Say, before the close frame, what only v1 has words for."""
        if end.reason is EndReason.DRAINED:
            self._say("drain", reconnect_after_ms=random_delay_ms(*RECONNECT_MS))

    # ------------------------------------------------------------ commands

    def _obey(self, said: V1Command) -> None:
        match said:
            case V1Subscribe():
                self._subscribe(said)
            case V1Reanchor():
                self._reanchor(said)
            case V1Unsubscribe():
                self._unsubscribe(self._seat(said.sub))
            case V1Authenticate():
                self._authenticate(said)
            case V1Ping():
                self._say("pong")

    def _who(self) -> Identity:
        if self._identity is None:
            self._identity = self._context.identity(self._ask.headers)
        return self._identity

    def _authenticate(self, said: V1Authenticate) -> None:
        settings = self._context.settings
        identity = with_token(self._ask.headers, said.token, settings.forward, settings.scope)
        if self._seats and identity.scope != self._who().scope:
            raise Failed(Kind.EXPIRED, "a credential of another scope", field="token")
        self._identity = identity
        for seat in self._seats.values():
            self._context.hub.update_identity(seat.viewer, identity)
        self._say("authenticated")

    def _subscribe(self, said: V1Subscribe) -> None:
        if said.sub in self._seats:
            raise Failed(Kind.CONFLICT, "this name is in use", field="sub", code="ALREADY_EXISTS")
        if len(self._seats) >= MAX_SUBSCRIPTIONS:
            raise Failed(
                Kind.QUOTA, f"at most {MAX_SUBSCRIPTIONS} subscriptions on a socket", field="sub"
            )
        identity = self._who()
        resume = Resume(pos=said.resume, known=said.known)
        viewer = self._context.viewer(self._send_buffer, V1WsEncoder(said.sub), resume)
        seat = ClientSubscription(said.sub, said.query, viewer)
        self._seats[said.sub] = seat
        seat.holding = asyncio.create_task(self._hold(seat, identity), name="holding a window")

    def _seat(self, name: str) -> ClientSubscription:
        seat = self._seats.get(name)
        if seat is None:
            raise Failed(Kind.NOT_FOUND, "no subscription of this name", field="sub")
        return seat

    def _unsubscribe(self, seat: ClientSubscription) -> None:
        seat.asked = True
        seat.viewer.end(End(EndReason.UNSUBSCRIBED))

    def _reanchor(self, said: V1Reanchor) -> None:
        """Slide a window; a newer wish replaces one under way."""
        seat = self._seat(said.sub)
        query = seat.query.reanchored(said.cursor, said.limit)
        before = seat.moving
        if before is not None:
            before.cancel()
        seat.moving = asyncio.create_task(self._slide(seat, query, before), name="reanchoring")

    async def _slide(
        self, seat: ClientSubscription, query: LiveQuery, before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await self._context.hub.wait_attached(seat.viewer)
            await self._context.hub.reanchor(seat.viewer, query, self._who())
            seat.query = query
        except Failed as failure:
            # The window that was there still is.
            self._say("error", **error_members(failure, seat.name))

    # ------------------------------------------------------------ a subscription's life

    async def _hold(self, seat: ClientSubscription, identity: Identity) -> None:
        hub, viewer = self._context.hub, seat.viewer
        end: End | None = None
        try:
            end = await self._live(seat, identity)
            if seat.moving is not None:
                await cancel(seat.moving)
            self._tell_end(seat, end)
        finally:
            end = end or self._how
            hub.unsubscribe(viewer, end.reason)
            del self._seats[seat.name]
            self._note(seat, end)

    async def _live(self, seat: ClientSubscription, identity: Identity) -> End:
        """Join, show, and wait for the end; an unsubscribe ends it at any point."""
        hub, viewer = self._context.hub, seat.viewer
        joining = asyncio.ensure_future(hub.subscribe(viewer, seat.query, identity))
        try:
            await asyncio.wait((joining, viewer.ended), return_when=asyncio.FIRST_COMPLETED)
            if not viewer.ended.done():
                joining.result()
                seat.began = self._loop.time()
                hub.attach(viewer)
            return await viewer.ended
        except Failed as failure:
            seat.refused = True
            self._context.stream_log.refuse(self._ask.name, "ws", failure)
            self._say("error", **error_members(failure, seat.name))
            return End(EndReason.FAILED, failure)
        finally:
            await cancel(joining)

    def _tell_end(self, seat: ClientSubscription, end: End) -> None:
        if end.reason is EndReason.STALLED:
            self._end(STALLED)
        elif not seat.refused:
            if end.failure is not None and end.failure.final:
                self._say("error", **error_members(end.failure, seat.name))
            reason = ended_reason(end.failure, asked=seat.asked)
            self._say("ended", sub=seat.name, reason=reason)

    def _note(self, seat: ClientSubscription, end: End) -> None:
        """Leave the subscription's line in the log, if it had begun."""
        if seat.began is not None:
            self._context.stream_log.ended(
                self._ask.name,
                V1_WS,
                entity=seat.query.entity,
                end=end,
                seconds=self._loop.time() - seat.began,
                frames=seat.viewer.frames_written,
            )

    # ------------------------------------------------------------ messages

    def _beat(self) -> None:
        """Let the client see liveness, and verify its windows."""
        sums = {
            seat.name: seat.viewer.digest()
            for seat in self._seats.values()
            if seat.viewer.up_to_date
        }
        self._say("beat", subs={name: told for name, told in sums.items() if told is not None})

    def _say(self, kind: str, **members: object) -> None:
        if self._over:
            return
        if self._send_buffer.unsent() > MAX_UNSENT:
            self._end(STALLED)
            return
        self._send_buffer.write(ws_text_frame(format_message(kind, **members)))
