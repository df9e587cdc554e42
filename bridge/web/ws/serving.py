"""ServedSession: a session on an open WebSocket, whoever reads it, until its close frame.

Invariants: it ends once, with the first reason; its owner is told at once, and has `finish` run
then; after that it holds nothing.
"""

import logging
from collections.abc import Callable

from bridge.core.errors import Failed, Kind
from bridge.live.stream_end import End, EndReason
from bridge.web.context import STALLED, WebContext
from bridge.web.stream_log import V1_WS
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot
from bridge.web.transport_sink import TransportSink

from .command_reader import CommandReader, MessageSource
from .core_session import CoreSession
from .keepalive import WebSocketKeepalive
from .v1_session import V1Session
from .websocket_session import WebSocketSession

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 2.0
"""Seconds to wait for a client's close frame."""


class ServedSession:
    """One for each WebSocket. `on_end` is called once, when it ends."""

    __deletable__ = ("_keepalive", "_session", "commands")  # for mypyc

    __slots__ = (
        "_context",
        "_ended",
        "_keepalive",
        "_on_end",
        "_request_id",
        "_send_buffer",
        "_session",
        "commands",
    )

    def __init__(
        self,
        context: WebContext,
        request: StreamRequest,
        *,
        messages: MessageSource,
        sink: TransportSink,
        slot: StreamSlot,
        on_end: Callable[[], None],
    ) -> None:
        self._context = context
        self._request_id = request.request_id
        self._on_end = on_end
        self._ended: End | None = None
        self._send_buffer = context.send_buffer(sink, self._stall)
        self._keepalive = WebSocketKeepalive(self, self._send_buffer, context)
        self._session: WebSocketSession = (
            V1Session(self, context, request, self._send_buffer, slot)
            if request.protocol is V1_WS
            else CoreSession(self, context, request, self._send_buffer, slot)
        )
        self.commands = CommandReader(messages, self._session, self, self._keepalive, context)
        """Handles the messages that come."""

    def start(self) -> None:
        """Serve what comes from now on."""
        if self._context.hub.draining:
            failure = Failed(Kind.UNAVAILABLE, "the bridge is draining")
            self.end(End(EndReason.FAILED, failure))
        else:
            self.commands.start()

    @property
    def verified(self) -> bool:
        """Whether the bridge has verified the credential of its client."""
        return self._session.verified

    # ------------------------------------------------------------ the end

    def silence(self) -> None:
        """Drop what is written from now on: nothing follows a close frame."""
        self._send_buffer.drop_writes()

    @property
    def ended(self) -> End | None:
        """How it ended; None while it lasts."""
        return self._ended

    def end(self, end: End) -> None:
        """End it. Idempotent: the first end stays."""
        if self._ended is None:
            self._ended = end
            self.commands.stop()
            self._on_end()

    def _stall(self) -> None:
        self.end(STALLED)

    def fail(self, error: BaseException) -> None:
        """Log a bug, and end without a word to the client."""
        logger.error("a WebSocket session failed", exc_info=error)
        self.end(End(EndReason.CLIENT_GONE))

    async def finish(self) -> None:
        """Say the last words but the close frame, and release everything."""
        end = self._ended or End(EndReason.CLIENT_GONE)
        try:
            self._say_last_words(end)
        except Exception:
            logger.exception("the last words of a WebSocket session failed")
        # All before any wait: aiohttp cancels its handler when the client is gone.
        await self._release(end).close()

    def _say_last_words(self, end: End) -> None:
        if end.failure is not None and end.reason is EndReason.FAILED:
            self._context.stream_log.log_refusal(self._request_id, "ws", end.failure)
        self._session.send_last_message(end)

    def _release(self, end: End) -> CommandReader:
        """Let go of everything; returns the reader, which may have work under way."""
        self._keepalive.stop()
        self._context.detach(self._send_buffer)
        self._session.close(end)
        commands = self.commands
        # They refer to this: only the garbage collector would free them.
        del self.commands, self._session, self._keepalive
        return commands
