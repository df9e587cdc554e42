"""Core over WebSocket (docs/wire.md §4).

One subscription per socket: the first message subscribes, later ones reanchor or unsubscribe.
The handler's own task reads; frames go from the subscription straight to the transport. Failures
are told by close code and reason.
"""

import asyncio
from collections.abc import Callable

from aiohttp import web

from bridge.core import command
from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.v1 import SUBPROTOCOL
from bridge.live.backend import Identity
from bridge.live.observer import Reason
from bridge.live.outlet import Outlet
from bridge.live.viewer import End

from .ask import Ask
from .connection import Connection
from .context import CONTEXT, Context
from .ending import Ending
from .journal import CORE_WS, V1_WS
from .recall import recalling
from .scripts import CoreWs
from .sink import TransportSink
from .socket import Messages, Socket, cancel, upgrade
from .v1 import Session


async def converse(request: web.Request) -> web.StreamResponse:
    """Serve `GET {base}/ws` where aiohttp reads the request (see `line` for the others)."""
    context = request.app[CONTEXT]
    connection, ending = Connection.of(request), Ending()
    if connection is not None:
        connection.tell_refusal()
    ask = Ask.of(request, socket=True)
    with context.place(ask.remote, ask.talk, ending.drain):
        ws = upgrade(SUBPROTOCOL)
        await ws.prepare(request)
        if request.transport is not None:
            sink = TransportSink(request.transport, connection)
            await talk(context, ask, ws, sink, ending)
    return ws


async def talk(
    context: Context, ask: Ask, messages: Messages, sink: TransportSink, ending: Ending
) -> None:
    """Serve an open WebSocket until its end, whoever ends it, and give everything back."""
    outlet = context.outlet(sink, ending.stall)
    socket = Socket(
        messages=messages,
        sink=sink,
        outlet=outlet,
        hearts=context.hearts,
        ping_interval=context.settings.ping_interval,
        end=ending.say,
    )
    if context.hub.draining:
        ending.say(End(Reason.FAILED, Failed(Kind.UNAVAILABLE, "the bridge is draining")))
    speak = Session if ask.talk is V1_WS else Conversation
    client = speak(context=context, ask=ask, socket=socket, outlet=outlet, end=ending.say)
    how = End(Reason.CLIENT_GONE)
    try:
        how = await ending.of(client.read())
        if how.failure is not None and how.reason is Reason.FAILED:
            context.journal.refuse(ask.name, "ws", how.failure)
        if isinstance(client, Session):
            client.goodbye(how)
    finally:
        # Before any wait: aiohttp cancels its handler when the client is gone.
        socket.stop()
        context.forget(outlet)
        await client.leave(how)
    await socket.close(how)


@recalling
def _first(text: str, max_rows: int) -> LiveQuery:
    return command.first(text, max_limit=max_rows).query


class Conversation:
    """A core client: one subscription, from its first message to its last."""

    __slots__ = (
        "_ask",
        "_began",
        "_context",
        "_end",
        "_entity",
        "_opened",
        "_reanchoring",
        "_script",
        "_socket",
        "_viewer",
    )

    def __init__(
        self,
        *,
        context: Context,
        ask: Ask,
        socket: Socket,
        outlet: Outlet,
        end: Callable[[End], None],
    ) -> None:
        self._context = context
        self._ask = ask
        self._socket = socket
        self._end = end
        self._script = CoreWs()
        self._viewer = context.viewer(outlet, self._script)
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
                return End(Reason.CLIENT_GONE)
            query = _first(text, settings.max_rows)
            self._entity = query.entity
            identity = self._context.identity(self._ask.headers)
            opened = self._context.hub.hold(self._viewer, query, identity)
            self._opened = opened
            opened.add_done_callback(self._show)
            while (text := await self._socket.text()) is not None:
                said = command.later(text, max_limit=settings.max_rows)
                if isinstance(said, command.Unsubscribe):
                    return End(Reason.UNSUBSCRIBED)
                if isinstance(said, command.Reanchor):
                    query = query.reanchored(said.cursor, said.limit)
                    self._reanchor(query, identity)
        except Failed as failure:
            return End(Reason.FAILED, failure)
        return End(Reason.CLIENT_GONE)

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
        self._context.hub.leave(self._viewer, end.reason)
        if self._began is not None:
            self._context.journal.ended(
                self._ask.name,
                CORE_WS,
                entity=self._entity,
                end=end,
                seconds=asyncio.get_running_loop().time() - self._began,
                frames=self._viewer.told,
            )

    def _show(self, opened: asyncio.Future[None]) -> None:
        """Show the window once the tier has started it, or tell why it has not."""
        failure = opened.exception()
        if isinstance(failure, Failed):
            self._end(End(Reason.FAILED, failure))
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
            self._end(End(Reason.FAILED, failure))
