"""Label: the header fields that every answer carries, and the head of a stream's.

A stream's head is printed here in one piece and written with its first bytes: aiohttp's own would
be an object with a dictionary of fields for each stream, as long as that lasts.
"""

from email.utils import formatdate
from functools import lru_cache
from time import time

from bridge.web.settings import WebSettings
from bridge.web.stream_request import StreamRequest

STREAM_FIELDS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
_STREAM = "HTTP/1.%d 200 OK\r\n" + "".join(f"{n}: {v}\r\n" for n, v in STREAM_FIELDS.items())


def response_headers(name: str, settings: WebSettings, foreign: str | None) -> dict[str, str]:
    """Name an answer, and let a listed foreign page read it (Fetch standard, CORS protocol)."""
    return _fields(bool(settings.allowed_origins), foreign) | {"X-Request-Id": name}


def _fields(some_allowed: bool, foreign: str | None) -> dict[str, str]:  # noqa: FBT001 - a fact
    fields = {"Server": "livequery-bridge"}
    if some_allowed:
        fields["Vary"] = "Origin"
        if foreign is not None:
            fields["Access-Control-Allow-Origin"] = foreign
            fields["Access-Control-Allow-Credentials"] = "true"
            fields["Access-Control-Expose-Headers"] = "Retry-After"
    return fields


def stream_response_head(ask: StreamRequest, settings: WebSettings, *, keep_alive: bool) -> bytes:
    """Print the status line and header of an event stream (RFC 9112 §2.1)."""
    some_allowed = bool(settings.allowed_origins)
    head = _head(int(time()), ask.chunked, keep_alive, some_allowed, ask.foreign_origin)
    return b"%bX-Request-Id: %b\r\n\r\n" % (head, ask.name.encode())


@lru_cache(2)
def http_date(second: int) -> str:
    """Print a time as a header field has it (RFC 9110 §5.6.7); `second`: of the Unix epoch."""
    return formatdate(second, usegmt=True)


@lru_cache(16)
def _head(
    second: int,
    chunked: bool,  # noqa: FBT001 - keys of the memory, as the next two
    keep_alive: bool,  # noqa: FBT001
    some_allowed: bool,  # noqa: FBT001
    foreign: str | None,
) -> bytes:
    """Print all but the name; the same for all who come in one second."""
    lines = [_STREAM % chunked, f"Date: {http_date(second)}\r\n"]
    if chunked:
        lines.append("Transfer-Encoding: chunked\r\n")
        if not keep_alive:
            lines.append("Connection: close\r\n")
    lines += [f"{name}: {value}\r\n" for name, value in _fields(some_allowed, foreign).items()]
    return "".join(lines).encode()
