"""WindowRequest: one request for a window, read whole and checked (docs/wire.md §8)."""

from dataclasses import dataclass

import msgspec
from aiohttp import web

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.query_parser import parse_query
from bridge.live.resume import Resume
from bridge.web.http.entity_tag import parse_if_none_match
from bridge.web.http.request_body import read_body
from bridge.web.origin_check import check_cookie
from bridge.web.parse_cache import parse_cached
from bridge.web.stream_log import WINDOW
from bridge.web.stream_parameters import read_parameter
from bridge.web.stream_request import StreamRequest
from bridge.wire.window_command import MAX_BODY, WindowCommand, parse_wait, parse_window_body

BODY_METHODS = ("POST", "QUERY")


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """A query, what the client has of its window, and how long it waits for more."""

    stream_request: StreamRequest
    query: LiveQuery
    resume: Resume | None
    """What the client has; None: nothing."""
    wants_frames: bool
    """Whether it is answered by frames, where the window is not as it has it."""
    wait: int
    """Seconds that it waits for the next group; 0: not at all."""


async def read_stream_request(request: web.Request) -> StreamRequest:
    """Read a request whole. Raises Failed."""
    body = await read_body(request, limit=MAX_BODY) if request.method in BODY_METHODS else None
    stream_request = msgspec.structs.replace(
        StreamRequest.from_aiohttp(request, body), protocol=WINDOW
    )
    check_cookie(stream_request)
    return stream_request


def parse_window_request(
    request: web.Request, stream_request: StreamRequest, *, max_rows: int
) -> WindowRequest:
    """Parse what is asked. Raises Failed."""
    command = _command(stream_request, max_rows)
    since = command.since
    if since is None:
        since = _text(request, b"since")
    tags = request.headers.getall("If-None-Match", ())
    present = parse_if_none_match(tags)
    wait = 0
    if (text := _text(request, b"wait")) is not None:
        wait = parse_wait(text)
        if since is None and not tags:
            message = "since or If-None-Match is needed to wait for what follows"
            raise Failed(Kind.MALFORMED, message, field="wait")
    has_nothing = since is None and command.known is None and not present
    resume = None if has_nothing else Resume(since or "", known=command.known, present=present)
    wants_frames = since is not None or command.known is not None
    return WindowRequest(stream_request, command.query, resume, wants_frames, wait)


def _command(request: StreamRequest, max_rows: int) -> WindowCommand:
    if request.body is not None:
        return parse_window_body(request.body, max_limit=max_rows)
    if request.parameters.query is None:
        raise Failed(Kind.MALFORMED, "the parameter is missing", field="query")
    return _parse(request.parameters.query, max_rows)


@parse_cached
def _parse(text: bytes, max_rows: int) -> WindowCommand:
    return WindowCommand(parse_query(text, max_limit=max_rows))


def _text(request: web.Request, name: bytes) -> str | None:
    """Return a parameter of the URL; None where it is missing."""
    value = read_parameter(request.rel_url.raw_query_string, name)
    return None if value is None else value.decode("utf-8", "replace")
