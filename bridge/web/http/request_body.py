"""Bodies of requests that aiohttp reads: bounded, before and after they are decompressed.

aiohttp is told to decompress nothing on the bridge's own listener: a small body may become a very
large one (RFC 9110 §8.4).
"""

import asyncio
import zlib
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bridge.core.errors import Failed, Kind

from .aiohttp_connection import AiohttpConnection

BODY_TIMEOUT = 10.0
"""Seconds that the body of a request may take to come."""
_WINDOW_BITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Formats as zlib names them (RFC 9110 §8.4.1): gzip is RFC 1952, deflate is RFC 1950."""
_RAW: Final = -15
"""RFC 1951 without a header, as some clients send `deflate`."""


async def read_body(request: web.Request, *, limit: int) -> bytes:
    """Read a body of at most `limit` bytes, compressed or not.

    Raises:
        Failed: MESSAGE_TOO_LARGE; MALFORMED for a body that is not what its fields say;
            NO_FIRST_MESSAGE where it takes too long.
        HTTPUnsupportedMediaType: it has another coding than gzip and deflate.

    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await _read(request, limit)
    except TimeoutError:
        raise Failed(Kind.NO_FIRST_MESSAGE, "the query did not come in time") from None
    if AiohttpConnection.of(request) is None:
        return body  # another server has decompressed it
    coding = request.headers.get("Content-Encoding", "").strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in _WINDOW_BITS:
        raise web.HTTPUnsupportedMediaType(headers={"Accept-Encoding": "gzip, deflate"})
    return _decompress(body, _WINDOW_BITS[coding], limit)


async def _read(request: web.Request, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    try:
        body = await request.content.read(limit + 1)
        while len(body) <= limit and not request.content.at_eof():
            body += await request.content.read(limit + 1 - len(body))
    except (web.RequestPayloadError, HttpProcessingError) as error:
        # The one place where aiohttp's errors about a body come out.
        raise Failed(Kind.MALFORMED, "the body is not what its header says") from error
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _decompress(body: bytes, window_bits: int, limit: int) -> bytes:
    try:
        return _decompress_as(body, window_bits, limit)
    except zlib.error as error:
        if window_bits != _WINDOW_BITS["deflate"]:
            raise _wrong_coding() from error
    try:
        return _decompress_as(body, _RAW, limit)
    except zlib.error as error:
        raise _wrong_coding() from error


def _decompress_as(body: bytes, window_bits: int, limit: int) -> bytes:
    decompressor = zlib.decompressobj(window_bits)
    text = decompressor.decompress(body, limit + 1)
    if len(text) > limit:
        raise _too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        raise _wrong_coding()
    return text


def _wrong_coding() -> Failed:
    return Failed(
        Kind.MALFORMED, "the body is not in its Content-Encoding", field="content-encoding"
    )


def _too_large(limit: int) -> Failed:
    return Failed(Kind.MESSAGE_TOO_LARGE, f"a query may have {limit} bytes", field="query")
