"""Request body: read whole, within bounds of size and time, where aiohttp has the connection."""

import asyncio

from aiohttp import web

from bridge.core.errors import Failed, Kind

BODY_TIMEOUT = 10.0
"""Seconds that the body of a request may take to come."""


async def read_body(request: web.Request, *, limit: int) -> bytes:
    """Read the body of a request.

    Raises:
        Failed: MESSAGE_TOO_LARGE beyond `limit` bytes, NO_FIRST_MESSAGE where it takes too long.

    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await _read(request, limit)
    except TimeoutError:
        raise Failed(Kind.NO_FIRST_MESSAGE, "the query did not come in time") from None


async def _read(request: web.Request, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    body = await request.content.read(limit + 1)
    while len(body) <= limit and not request.content.at_eof():
        body += await request.content.read(limit + 1 - len(body))
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> Failed:
    return Failed(Kind.MESSAGE_TOO_LARGE, f"a query may have {limit} bytes", field="query")
