"""CommandReader: the text messages of a client, handed to its session at a limited rate.

Invariants: messages are handled in the order in which they came, one at a time: none while one is
waited for. In one turn of the event loop a client has at most one command handled, however many
have come: others have their turn in between. Nothing is handled once the reader was stopped.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import WSMessage, WSMsgType

from bridge.core.errors import Failed, Kind
from bridge.live.stream_end import End, EndReason
from bridge.web.context import WebContext

from .keepalive import WebSocketKeepalive
from .tasks import cancel, wake
from .websocket_session import SessionOwner, WebSocketSession, Work

_ENDS: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class MessageSource(Protocol):
    """An open WebSocket: the bridge's own connection, or aiohttp's."""

    @property
    def waiting(self) -> bool:
        """Whether `take` returns a message."""

    def take(self) -> WSMessage | None:
        """Take the next message: text, binary, ping, pong, or one of the ends, again and again."""


class CommandReader:
    """One for each socket. Pings and pongs go to the keepalive."""

    __slots__ = (
        "_allowed_at",
        "_begun",
        "_context",
        "_first_due",
        "_keepalive",
        "_messages",
        "_owner",
        "_session",
        "_settled",
        "_stopped",
        "_under_way",
    )

    def __init__(
        self,
        messages: MessageSource,
        session: WebSocketSession,
        owner: SessionOwner,
        keepalive: WebSocketKeepalive,
        context: WebContext,
    ) -> None:
        self._messages = messages
        self._session = session
        self._owner = owner
        self._keepalive = keepalive
        self._context = context
        self._allowed_at = 0.0
        """When its client's whole allowance of commands is there again."""
        self._under_way: asyncio.Handle | asyncio.Task[None] | bool = False
        """What has to be over before anything else is handled: a pause, or work."""
        self._begun = False
        """Whether the session has begun."""
        self._first_due = False
        """Whether the first command is waited for, for a while."""
        self._settled: asyncio.Future[None] | None = None
        self._stopped = False

    # ------------------------------------------------------------ from the first to the last

    def start(self) -> None:
        """Have the session begin, then handle what comes.

        The first command has to come within the time of the settings after that.
        """
        self._under_way = True
        self._do(self._session.begin)

    def wake(self) -> None:
        """Handle what has come, unless something is under way."""
        if not self._under_way:
            self._read()

    def offer(self, text: str) -> bool:
        """Handle a command that has just come, if nothing is before it; else return False."""
        if self._under_way or self._stopped:
            return False
        self._under_way = True
        self._pace(text)
        return True

    async def settle(self) -> None:
        """Return in the next turn, or once nothing is under way."""
        await asyncio.sleep(0)
        while self._under_way and not self._stopped:
            self._settled = asyncio.get_running_loop().create_future()
            await self._settled

    def stop(self) -> None:
        """Handle nothing any more. Idempotent."""
        self._stopped = True
        self._context.first_commands.lift(self)
        if isinstance(self._under_way, asyncio.Handle):
            self._under_way.cancel()
        wake(self._settled)

    async def close(self) -> None:
        """Return once nothing is under way, after `stop`."""
        if isinstance(self._under_way, asyncio.Task):
            await cancel(self._under_way)

    # ------------------------------------------------------------ messages

    def _read(self) -> None:
        """Handle messages until one of them is a command."""
        self._under_way = True
        try:
            while not self._stopped:
                message = self._messages.take()
                if message is None:
                    self._under_way = False
                    wake(self._settled)
                    return
                if message.type is WSMsgType.TEXT:
                    self._pace(message.data)
                    return
                self._handle_other(message)
        except Exception as error:  # noqa: BLE001 - logged there
            self._owner.fail(error)

    def _handle_other(self, message: WSMessage) -> None:
        if message.type is WSMsgType.PING:
            self._keepalive.on_ping(message.data)
        elif message.type is WSMsgType.PONG:
            self._keepalive.on_pong()
        elif message.type is WSMsgType.BINARY:
            failure = Failed(Kind.MALFORMED, "commands are text messages", field="message")
            self._owner.end(End(EndReason.FAILED, failure))
        elif message.type in _ENDS:
            self._owner.end(End(EndReason.CLIENT_GONE))

    def _pace(self, text: str) -> None:
        """Handle a command, at once or when it is its turn."""
        if self._first_due:
            self._first_due = False
            self._context.first_commands.lift(self)
        self._allowed_at, delay = self._context.commands.reserve(self._allowed_at)
        if delay:
            self._context.stream_log.limited["commands",] += 1
            loop = asyncio.get_running_loop()
            self._under_way = loop.call_later(delay, self._do, self._session.handle, text)
        else:
            self._do(self._session.handle, text)

    def _do(self, work: Callable[..., Work], *args: str) -> None:
        """Do a piece of work; what follows has to wait until it is done, and for the next turn."""
        if self._stopped:
            return
        try:
            rest = work(*args)
        except Exception as error:  # noqa: BLE001 - logged there
            self._owner.fail(error)
            return
        if rest is not None:
            self._under_way = asyncio.get_running_loop().create_task(rest, name="a command")
            self._under_way.add_done_callback(self._on_done)
        else:
            self._go_on()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._owner.fail(error)
        else:
            self._go_on()

    def _go_on(self) -> None:
        if not self._begun:
            self._begun = True
            self._await_first()
        if self._messages.waiting and not self._stopped:
            self._under_way = asyncio.get_running_loop().call_soon(self._read)
        else:
            self._under_way = False
            if self._settled is not None:
                wake(self._settled)

    # ------------------------------------------------------------ the first one

    def _await_first(self) -> None:
        if not self._stopped:
            self._first_due = True
            self._context.first_commands.set(self)

    def on_due(self) -> None:
        """End the session: the first command did not come in time."""
        failure = Failed(Kind.NO_FIRST_MESSAGE, "no command came in time")
        self._owner.end(End(EndReason.FAILED, failure))
