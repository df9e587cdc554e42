"""Core over WebSocket (docs/wire.md §4).

One subscription per socket: the first message subscribes, later ones reanchor or unsubscribe.
The handler's own task reads; frames go from the subscription straight to the transport. Failures
are told by close code and reason.
"""

import asyncio
from collections.abc import Callable

from aiohttp import web

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.live.backend import Identity
from bridge.live.send_buffer import SendBuffer
from bridge.live.stream_end import End, EndReason
from bridge.web.context import CONTEXT, WebContext
from bridge.web.http.aiohttp_connection import AiohttpConnection
from bridge.web.parse_cache import parse_cached
from bridge.web.session_end import SessionEnd
from bridge.web.stream_log import CORE_WS, V1_WS
from bridge.web.stream_request import StreamRequest
from bridge.web.transport_sink import TransportSink
from bridge.wire import core_commands
from bridge.wire.encoders import CoreWsEncoder
from bridge.wire.v1_commands import SUBPROTOCOL

from .v1_session import V1Session
from .websocket import MessageSource, WebSocket, cancel, upgrade


async def websocket_handler(request: web.Request) -> web.StreamResponse:
    """Serve `GET {base}/ws` where aiohttp reads the request (see `line` for the others)."""
    context = request.app[CONTEXT]
    connection, ending = AiohttpConnection.of(request), SessionEnd()
    if connection is not None:
        connection.tell_refusal()
    ask = StreamRequest.of(request, socket=True)
    with context.place(ask.remote, ask.protocol, ending.drain):
        ws = upgrade(SUBPROTOCOL)
        await ws.prepare(request)
        if request.transport is not None:
            sink = TransportSink(request.transport, connection)
            await serve_websocket(context, ask, ws, sink, ending)
    return ws


async def serve_websocket(
    context: WebContext,
    ask: StreamRequest,
    messages: MessageSource,
    sink: TransportSink,
    ending: SessionEnd,
) -> None:
    """Serve an open WebSocket until its end, whoever ends it, and give everything back."""
    send_buffer = context.send_buffer(sink, ending.stall)
    socket = WebSocket(
        messages=messages,
        sink=sink,
        send_buffer=send_buffer,
        idle_timers=context.idle_timers,
        ping_interval=context.settings.ping_interval,
        end=ending.say,
    )
    if context.hub.draining:
        ending.say(End(EndReason.FAILED, Failed(Kind.UNAVAILABLE, "the bridge is draining")))
    speak = V1Session if ask.protocol is V1_WS else CoreSession
    client = speak(context=context, ask=ask, socket=socket, send_buffer=send_buffer, end=ending.say)
    how = End(EndReason.CLIENT_GONE)
    try:
        how = await ending.of(client.read())
        if how.failure is not None and how.reason is EndReason.FAILED:
            context.stream_log.refuse(ask.name, "ws", how.failure)
        if isinstance(client, V1Session):
            client.goodbye(how)
    finally:
        # Before any wait: aiohttp cancels its handler when the client is gone.
        socket.stop()
        context.forget(send_buffer)
        await client.leave(how)
    await socket.close(how)


@parse_cached
def _first(text: str, max_rows: int) -> LiveQuery:
    return core_commands.parse_first_command(text, max_limit=max_rows).query


class CoreSession:
    """A core client: one subscription, from its first message to its last."""

    __slots__ = (
        "_ask",
        "_began",
        "_context",
        "_encoder",
        "_end",
        "_entity",
        "_opened",
        "_reanchoring",
        "_socket",
        "_viewer",
    )

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
        self._end = end
        self._encoder = CoreWsEncoder()
        self._viewer = context.viewer(send_buffer, self._encoder)
        self._viewer.ended.add_done_callback(self._ended)
        self._began: float | None = None
        self._entity = ""
        self._opened: asyncio.Future[None] | None = None
        self._reanchoring: asyncio.Task[None] | None = None

    def _ended(self, ended: asyncio.Future[End]) -> None:
        self._end(ended.result())

    async def read(self) -> End:
        """Obey messages until one of them, or the client's leaving, ends the conversation."""
        settings = self._context.settings
        try:
            text = await self._socket.first_text(settings.first_message_timeout)
            if text is None:
                return End(EndReason.CLIENT_GONE)
            query = _first(text, settings.max_rows)
            self._entity = query.entity
            identity = self._context.identity(self._ask.headers)
            opened = self._context.hub.start_subscribe(self._viewer, query, identity)
            self._opened = opened
            opened.add_done_callback(self._show)
            while (text := await self._socket.text()) is not None:
                said = core_commands.parse_command(text, max_limit=settings.max_rows)
                if isinstance(said, core_commands.CoreUnsubscribe):
                    return End(EndReason.UNSUBSCRIBED)
                if isinstance(said, core_commands.CoreReanchor):
                    query = query.reanchored(said.cursor, said.limit)
                    self._reanchor(query, identity)
        except Failed as failure:
            return End(EndReason.FAILED, failure)
        return End(EndReason.CLIENT_GONE)

    async def leave(self, how: End) -> None:
        """Give back all that is held."""
        if self._opened is not None:
            self._opened.remove_done_callback(self._show)
        try:
            if self._reanchoring is not None:
                await cancel(self._reanchoring)
        finally:
            self._give_back(how)

    def _give_back(self, how: End) -> None:
        ended = self._viewer.ended
        ended.remove_done_callback(self._ended)
        end = ended.result() if ended.done() else how
        self._context.hub.unsubscribe(self._viewer, end.reason)
        if self._began is not None:
            self._context.stream_log.ended(
                self._ask.name,
                CORE_WS,
                entity=self._entity,
                end=end,
                seconds=asyncio.get_running_loop().time() - self._began,
                frames=self._viewer.frames_written,
            )

    def _show(self, opened: asyncio.Future[None]) -> None:
        """Show the window once the tier has started it, or tell why it has not."""
        failure = opened.exception()
        if isinstance(failure, Failed):
            self._end(End(EndReason.FAILED, failure))
        else:
            self._began = asyncio.get_running_loop().time()
            self._context.hub.attach(self._viewer)

    def _reanchor(self, query: LiveQuery, identity: Identity) -> None:
        """Slide the window; a newer wish replaces one under way."""
        before = self._reanchoring or self._opened
        if self._reanchoring is not None:
            self._reanchoring.cancel()
        self._reanchoring = asyncio.create_task(
            self._slide(query, identity, before), name="reanchoring"
        )

    async def _slide(
        self, query: LiveQuery, identity: Identity, before: asyncio.Future[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await self._context.hub.reanchor(self._viewer, query, identity)
        except Failed as failure:
            # Core has no word for a refusal but the close code.
            self._end(End(EndReason.FAILED, failure))
