"""AiohttpConnection: a connection that aiohttp serves.

It ends direct sends in time. What aiohttp can't read, or fails to handle, it answers as the bridge
answers everything: with a problem (RFC 9457) that quotes nothing of the request.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from aiohttp import web
from aiohttp.http import WebSocketReader
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, InvalidHeader, LineTooLong

from bridge.core.errors import Failed, Kind
from bridge.live.send_buffer import SendBuffer
from bridge.web.settings import WebSettings
from bridge.web.stream_log import request_id
from bridge.web.stream_request import FOREIGN_ORIGIN

from .problem import Refusal, http_error_refusal
from .registry import ConnectionRegistry
from .request_fields import not_ascii, steering_field_at_fault
from .written_response import WrittenResponse

logger = logging.getLogger("bridge.http")

_DETAILS = (
    (LineTooLong, "a line, or the number of lines, is over a limit"),
    (BadHttpMethod, "this is no HTTP/1.1 request"),
    (InvalidHeader, "a header is malformed"),
)
"""What is said of a request that can't be read; aiohttp's own texts quote it."""
HALF_CLOSE_GRACE: Final = 1.0
"""Seconds that an answer may take for a client that has closed its side."""
MAX_HEAD: Final = 128 * 1024
"""Bytes of a head that are looked at; aiohttp refuses longer ones."""
_LAST: Final = re.compile(rb"(?im)^connection:[ \t]*close[ \t]*\r$")
_UNKNOWN_END: Final = re.compile(rb"(?im)^(?:transfer-encoding|upgrade)[ \t]*:")
_LENGTH: Final = re.compile(rb"(?im)^content-length:[ \t]*([0-9]{1,9})[ \t]*\r$")


class ConnectionOwner(Protocol):
    """A connection that calls its send buffer when it is lost, before its descriptor is closed."""

    send_buffer: SendBuffer | None


class AiohttpConnection(web.RequestHandler):
    """aiohttp's protocol; its stream, if it has one, sends to its descriptor directly.

    Transports call `connection_lost` before they close the descriptor (uvloop's and asyncio's
    alike); direct sends must end there, for the descriptor's number is soon another connection's.

    `refuse`: counts and logs a failure, and makes the response. `registry`: has the connections
    that aiohttp does not serve. The other arguments are aiohttp's.
    """

    __slots__ = (
        "_half_closed",
        "_head",
        "_left",
        "_on_half_close",
        "_parser_paused",
        "_refuse",
        "_settings",
        "_unanswered",
        "peer",
        "registry",
        "send_buffer",
    )

    send_buffer: SendBuffer | None
    peer: str | None
    """The client's address, where a PROXY header named it."""

    def __init__(
        self,
        *arguments: Any,
        settings: WebSettings,
        refuse: Callable[[str, Failed], Refusal],
        registry: ConnectionRegistry | None = None,
        **more: Any,
    ) -> None:
        super().__init__(*arguments, **more)
        self.peer = None
        self.registry = registry
        self._settings = settings
        self._refuse = refuse
        self._on_half_close: Callable[[], None] | None = None
        self._unanswered = False
        """Whether something came that is not answered yet."""
        self._half_closed = False
        self._head: bytes | None = None
        """What came of the head of a request, while that is not complete."""
        self._left: int | None = None
        """The bytes that may still come, where the request shall be the last."""
        self._parser_paused = False
        """Whether the parser may have something left, because a body is read slowly."""

    @classmethod
    def of(cls, request: web.BaseRequest) -> "AiohttpConnection | None":
        """Return a request's connection; None where another server than the bridge's has it."""
        return request.protocol if isinstance(request.protocol, cls) else None

    # ------------------------------------------------------------ called by the transport

    def data_received(self, data: bytes) -> None:
        """Let aiohttp read, but nothing behind a request that shall be the last (RFC 9112 §9.6).

        aiohttp's parser would refuse that request, too.
        """
        if data:  # else aiohttp goes on with what it has
            if not self._unanswered:
                self._unanswered, self._head = True, b""
            if self._head is not None:
                self._read_head(self._head, data)
            if self._left is not None:
                data = data[: self._left]
                self._left -= len(data)
                if not data:
                    return
        super().data_received(data)

    def _read_head(self, before: bytes, data: bytes) -> None:
        """Find out where the request ends, if it shall be the last."""
        self._head = head = before + data
        end = head.find(b"\r\n\r\n", max(len(before) - 3, 0)) + 4
        if end > 3:  # noqa: PLR2004 - it was found
            self._head = None
            lines = head[:end]
            if _LAST.search(lines) and not _UNKNOWN_END.search(lines):
                length = _LENGTH.search(lines)
                self._left = end - len(before) + (int(length[1]) if length else 0)
        elif len(head) > MAX_HEAD:
            self._head = None

    def pause_reading(self) -> None:
        """Read no more while a body is not taken."""
        self._parser_paused = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        """Read on, and let the parser go on where it was paused.

        aiohttp asks it to for each piece of a body that is taken. A parser that has met an error
        meets it again each time, and all are kept: tens of thousands, from a body of tiny chunks.
        """
        parse = resume_parser and self._parser_paused
        if resume_parser:
            self._parser_paused = False
        super().resume_reading(parse)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep the connection for an answer that is due (RFC 9112 §9.6); else close it.

        TLS has no half-closed connections.
        """
        if self.transport is None or self.transport.get_extra_info("sslcontext") is not None:
            return None
        self._half_closed = True
        if self._on_half_close is not None:
            self._on_half_close()
        elif self._unanswered:
            asyncio.get_running_loop().call_later(HALF_CLOSE_GRACE, self._end_half_closed)
        return self._unanswered

    def _end_half_closed(self) -> None:
        """Close: nothing can be written before the answer to see whether the client is there."""
        if self._on_half_close is None and self.transport is not None:
            self.transport.close()

    def watch_half_close(self, callback: Callable[[], None] | None) -> None:
        """Call back when the client has closed its side; None: no more."""
        self._on_half_close = callback
        if callback is not None and self._half_closed:
            callback()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop direct sends, then let aiohttp end its handler."""
        send_buffer = getattr(self, "send_buffer", None)
        if send_buffer is not None:
            self.send_buffer = None
            send_buffer.on_connection_lost()
        self._on_half_close = None
        super().connection_lost(exc)

    def give_away(self) -> tuple[asyncio.Transport, bytes] | None:
        """Let another protocol have the transport; None: the client is gone.

        Returns it with what came behind the request for an upgrade. To aiohttp the connection is
        lost, so the handler that calls this is cancelled where it next waits.
        """
        transport, rest = self.transport, _Rest()
        if transport is None or transport.is_closing():
            return None
        self.set_parser(cast("WebSocketReader", rest))
        self.transport = None  # or aiohttp would close it
        self.connection_lost(None)
        return transport, bytes(rest.data)

    # ------------------------------------------------------------ called by aiohttp

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response; aiohttp's own error pages, as of `Expect`, as problems."""
        if isinstance(resp, web.HTTPException) and resp.status >= 400:  # noqa: PLR2004
            resp = self._problem(request, resp).to_aiohttp()
        if not request.content.is_eof():
            # aiohttp waits for the rest, and would parse it. The client is told to come back on
            # another connection (RFC 9112 §9.6).
            resp.force_close()
            self._left = 0
        finished = await super().finish_response(request, resp, start_time)
        self._unanswered = False
        if self._half_closed:
            self.close()
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what can't be read or handled; the connection closes."""
        del status, message
        if isinstance(exc, HttpProcessingError):
            exc.with_traceback(None)  # its frames refer to it, and to what was read
            detail = next((text for kind, text in _DETAILS if isinstance(exc, kind)), None)
            failure = Failed(Kind.MALFORMED, detail or "this is no HTTP/1.1 request")
            answer = self._refuse(request_id(request), failure)
        else:
            answer = self._problem(request, web.HTTPInternalServerError(), exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a response has begun")
        return self.answer(request, answer)

    def _problem(
        self, request: web.BaseRequest, error: web.HTTPException, cause: BaseException | None = None
    ) -> Refusal:
        """Make the answer to a request that failed before the bridge saw it."""
        field = steering_field_at_fault(request.headers)
        if field is not None:
            return self._refuse(request_id(request), not_ascii(field))
        if cause is not None:
            logger.error("a request failed", exc_info=cause)
        return http_error_refusal(error)

    def answer(self, request: web.BaseRequest, answer: Refusal) -> web.StreamResponse:
        """Write a refusal as HTTP/1.1, whatever the request is; the connection closes."""
        if self.transport is not None:
            answer_bytes = answer.to_bytes(
                self._settings,
                request_id=request_id(request),
                foreign_origin=request.get(FOREIGN_ORIGIN),
                keep_alive=False,
                draining=False,
            )
            self.transport.write(answer_bytes)
        return WrittenResponse(keep_alive=False)


class _Rest:
    """Takes what aiohttp has read and not parsed, as its parsers of WebSockets do."""

    def __init__(self) -> None:
        self.data = bytearray()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        pass
