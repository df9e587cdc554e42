"""A window over plain HTTP: one request, one answer, and the shared subscription behind it.

Invariants: a request counts as a stream from its query to the last byte of its answer; whatever
ends it, its subscription is released.
"""

import asyncio

from aiohttp import web

from bridge.core.errors import Failed, Kind
from bridge.live.stream_end import End, EndReason
from bridge.live.window_reader import WindowReader
from bridge.web.context import CONTEXT
from bridge.web.http.entity_tag import format_tag
from bridge.web.session_end import random_delay_ms
from bridge.web.stream_log import request_id
from bridge.web.stream_slot import StreamSlot
from bridge.wire.window_json import whole_window, window_changes

from .window_request import WindowRequest, parse_window_request, read_stream_request

METHODS = ("GET", "HEAD", "POST", "QUERY")
RETRY_SECONDS = (1, 5)
"""Range of seconds after which clients of a draining bridge come back."""
DISCONNECT_POLL = 1.0
"""Seconds between two checks whether the client is gone, where aiohttp does not cancel handlers."""
WRITE_TIMEOUT = 30.0
"""Seconds that a client may take to read an answer."""


async def window_handler(request: web.Request) -> web.StreamResponse:
    """Serve `{base}/window`."""
    context = request.app[CONTEXT]
    stream_request = await read_stream_request(request)
    # Before the query is looked at: whoever is nobody is told nothing about it.
    credential = await context.authenticator.authenticate(stream_request)
    asked = parse_window_request(request, stream_request, max_rows=context.settings.max_rows)
    reader = WindowReader(context.hub, context.stall_monitor, asked.resume)

    def end_early(_: End) -> None:
        delay = random_delay_ms(*RETRY_SECONDS)
        draining = Failed(Kind.UNAVAILABLE, "the bridge is draining", retry_after=delay)
        reader.end(End(EndReason.DRAINED, draining))

    reason = EndReason.CLIENT_GONE
    slot = StreamSlot(context, stream_request, end_early)
    with slot:
        answer = _WatchedAnswer(reader)
        lease = context.authenticator.watch.hold(credential, answer)
        try:
            slot.identify(credential.identity)
            await reader.open(asked.query, credential.identity)
            if asked.wait and reader.unchanged:
                await _wait(request, reader, asked.wait)
            response = _answer(asked, reader)
            reason = EndReason.UNSUBSCRIBED
        except Failed as failure:
            reason = EndReason.DRAINED if context.hub.draining else EndReason.FAILED
            response = context.refuse(request_id(request), failure).to_aiohttp()
        finally:
            if lease is not None:
                lease.release(answer)
            reader.close(reason)
        return await _write(request, response)


class _WatchedAnswer:
    """An answer that is awaited, and becomes 401 when its client's credential ends."""

    def __init__(self, reader: WindowReader) -> None:
        self._reader = reader

    def on_credential_ended(self, failure: Failed) -> None:
        """Refuse instead of answering."""
        refused = Failed(Kind.UNAUTHENTICATED, failure.message, field=failure.field)
        self._reader.end(End(EndReason.EXPIRED, refused))

    def on_credential_expiring(self, expires_at: float) -> None:
        """Say nothing: there is one answer only."""


async def _wait(request: web.Request, reader: WindowReader, seconds: float) -> None:
    """Wait for the next group, while the client is there."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not reader.frames and (left := end - loop.time()) > 0:
        if request.transport is None or request.transport.is_closing():
            raise Failed(Kind.UNAVAILABLE, "the client is gone")
        await reader.wait_for_group(min(left, DISCONNECT_POLL))


def _answer(asked: WindowRequest, reader: WindowReader) -> web.Response:
    window = reader.finish()
    position, stale = window.log.head_position, window.lost
    fields = {"Cache-Control": "private, no-cache", "ETag": format_tag(position)}
    if reader.unchanged:
        return web.Response(status=304, headers=fields)
    if asked.wants_frames:
        body = window_changes(
            reader.frames,
            position=position,
            digest=window.digest(),
            stale=stale,
            resumed=reader.resumed,
        )
    else:
        body = whole_window(window.snapshot(), digest=window.digest(), stale=stale)
    return web.Response(body=body, content_type="application/json", headers=fields)


async def _write(request: web.Request, response: web.Response) -> web.Response:
    """Write an answer; drop the connection of a client that does not read it."""
    try:
        async with asyncio.timeout(WRITE_TIMEOUT):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response
