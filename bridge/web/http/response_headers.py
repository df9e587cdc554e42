"""Header fields that every response carries, and the head of an event stream.

A stream's head is printed in one piece and written with its first bytes. aiohttp's would be an
object with a dictionary of fields for each stream, as long as the stream lasts.
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


def response_headers(
    request_id: str, settings: WebSettings, foreign_origin: str | None
) -> dict[str, str]:
    """Return the common fields; a listed foreign page may read the response (Fetch, CORS)."""
    return common_fields(bool(settings.allowed_origins), foreign_origin) | {
        "X-Request-Id": request_id
    }


def common_fields(any_allowed: bool, foreign_origin: str | None) -> dict[str, str]:  # noqa: FBT001
    """Return the common fields that no request's own id is in."""
    fields = {"X-Content-Type-Options": "nosniff"}  # a problem or a stream is no page
    if any_allowed:
        fields["Vary"] = "Origin"
        if foreign_origin is not None:
            fields["Access-Control-Allow-Origin"] = foreign_origin
            fields["Access-Control-Allow-Credentials"] = "true"
            fields["Access-Control-Expose-Headers"] = "ETag, Retry-After, X-Request-Id"
    return fields


def stream_response_head(
    request: StreamRequest, settings: WebSettings, *, keep_alive: bool
) -> bytes:
    """Print the status line and header of an event stream (RFC 9112 §2.1)."""
    any_allowed = bool(settings.allowed_origins)
    head = _stream_head(
        int(time()), request.chunked, keep_alive, any_allowed, request.foreign_origin
    )
    return b"%bX-Request-Id: %b\r\n\r\n" % (head, request.request_id.encode())


@lru_cache(2)
def http_date(second: int) -> str:
    """Print a time as a header field has it (RFC 9110 §5.6.7); `second`: of the Unix epoch."""
    return formatdate(second, usegmt=True)


@lru_cache(16)
def _stream_head(
    second: int,
    chunked: bool,  # noqa: FBT001 - keys of the cache, as the next two
    keep_alive: bool,  # noqa: FBT001
    any_allowed: bool,  # noqa: FBT001
    foreign_origin: str | None,
) -> bytes:
    """Print all but the request id: it is the same for all requests of one second."""
    lines = [_STREAM % chunked, f"Date: {http_date(second)}\r\n"]
    if chunked:
        lines.append("Transfer-Encoding: chunked\r\n")
        if not keep_alive:
            lines.append("Connection: close\r\n")
    lines += [
        f"{name}: {value}\r\n" for name, value in common_fields(any_allowed, foreign_origin).items()
    ]
    return "".join(lines).encode()
