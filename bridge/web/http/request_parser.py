"""Reading: a request for a stream or a socket, from the bytes that came, where they are all of it.

The plainest are read by a pattern, others by aiohttp's parser, under the limits that hold for every
request. What is not wholly a request for a stream, and nobody else's business, is not judged here.
Clients of one page often send the same, byte for byte: that is read once (as `recall` has it).
"""

import asyncio
from typing import Final

import msgspec
from aiohttp import HttpVersion11
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from multidict import CIMultiDictProxy

from bridge.core.errors import Failed
from bridge.core.query_parser import MAX_BYTES
from bridge.web.origin_check import check_request_origin
from bridge.web.parse_cache import MAX_ENTRIES, MAX_LENGTH
from bridge.web.settings import WebSettings
from bridge.web.stream_log import ClientProtocol, new_request_id, request_id_of
from bridge.web.stream_parameters import NO_PARAMETERS, StreamParameters, parse_parameters
from bridge.web.stream_request import StreamRequest, sse_protocol, ws_protocol
from bridge.web.ws.handshake import is_valid_upgrade

from .request_head import RequestHead
from .request_head import parse_plain_head as read_plain

# A query of 16 KiB may triple in a URL; other lines are judged as headers are.
MAX_LINE: Final = 64 * 1024
MAX_HEADER: Final = 8 * 1024
MAX_HEADERS: Final = 64
_MOST: Final = 32 * 1024
"""Bytes of the largest request: below the mark at which the parser would hold its sender back."""
_END: Final = b"\r\n\r\n"


class RequestParser:
    """One for all connections; a parser for each request, for it may keep bytes of a next one."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._path = settings.base_path
        self._sockets = f"{settings.base_path}/ws"
        path = settings.base_path.encode()
        self._starts = tuple(
            b"%b %b%b" % (method, path, after)
            for method in (b"GET", b"POST")
            for after in (b"?", b" ", b"/ws ", b"/ws?")
        )
        self._known: dict[bytes, StreamRequest] = {}
        self._telling = ("Cookie", "Authorization", "X-Request-Id", *settings.forward)

    def read(self, data: bytes, remote: str) -> StreamRequest | None:
        """Read what a client at `remote` asks; None where that is for aiohttp to see."""
        known = self._known.get(data)
        if known is not None:
            return msgspec.structs.replace(known, name=new_request_id(), remote=remote)
        if not data.startswith(self._starts):
            return None
        plain = read_plain(data)
        if plain is not None:
            return self._of_plain(plain, data, remote)
        if len(data) > _MOST or not (data.endswith(_END) or data.startswith(b"POST")):
            return None
        return self._parsed(data, remote)

    def _of_plain(self, plain: RequestHead, data: bytes, remote: str) -> StreamRequest | None:
        path, _, query_string = plain.target.partition("?")
        if path != self._path:
            if path != self._sockets or not plain.upgrade or not is_valid_upgrade(plain.headers):
                return None
            return self._ask(plain.headers, ws_protocol(plain.headers), NO_PARAMETERS, remote)
        if plain.upgrade:
            return None
        url = parse_parameters(query_string)
        ask = self._ask(plain.headers, sse_protocol(url), url, remote)
        if ask is not None and len(data) <= MAX_LENGTH:
            self._note(data, ask)
        return ask

    def _note(self, data: bytes, ask: StreamRequest) -> None:
        """Keep what was read of a request, unless it tells who sent it."""
        if any(name in ask.headers for name in self._telling):
            return
        if len(self._known) >= MAX_ENTRIES:
            del self._known[next(iter(self._known))]
        self._known[data] = ask

    def _parsed(self, data: bytes, remote: str) -> StreamRequest | None:
        try:
            messages, upgraded, rest = self._parser().feed_data(data)
        except HttpProcessingError:
            return None
        if len(messages) != 1 or upgraded or rest:
            return None
        message, payload = messages[0]
        body = None if payload is EMPTY_PAYLOAD else _whole(payload)
        if body is None and payload is not EMPTY_PAYLOAD:
            return None
        # A parser says nothing of the bytes of a next request that it keeps.
        if data.find(_END) + len(_END) + len(body or b"") != len(data):
            return None
        return self._plain_enough(message, body, remote)

    def _plain_enough(
        self, message: RawRequestMessage, body: bytes | None, remote: str
    ) -> StreamRequest | None:
        headers, url = message.headers, message.url
        if url.raw_path != self._path or "Expect" in headers or message.compression:
            return None
        if (message.method == "GET") is not (body is None):
            return None
        said = parse_parameters(url.raw_query_string)
        return self._ask(
            headers,
            sse_protocol(said),
            said,
            remote,
            body=body,
            chunked=message.version >= HttpVersion11,
            keep_alive=not message.should_close,
        )

    def _parser(self) -> HttpRequestParser:
        return HttpRequestParser(
            BaseProtocol(self._loop),
            self._loop,
            2 * _MOST,
            max_line_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            max_field_size=MAX_HEADER,
            auto_decompress=False,  # or a few bytes could become many
        )

    def _ask(
        self,
        headers: CIMultiDictProxy[str],
        protocol: ClientProtocol,
        url: StreamParameters,
        remote: str,
        *,
        body: bytes | None = None,
        chunked: bool = True,
        keep_alive: bool = True,
    ) -> StreamRequest | None:
        try:
            foreign_origin = check_request_origin(headers, self._settings)
        except Failed:
            return None
        return StreamRequest(
            name=request_id_of(headers),
            protocol=protocol,
            url=url,
            headers=headers,
            body=body,
            chunked=chunked,
            keep_alive=keep_alive,
            remote=remote,
            foreign_origin=foreign_origin,
        )


def _whole(payload: StreamReader) -> bytes | None:
    """Return a body that has come and is not too large."""
    if not payload.is_eof() or payload.exception() is not None:
        return None
    body = payload.read_nowait()
    return body if len(body) <= MAX_BYTES else None
