"""Label: the header fields that every answer carries, and the head of a stream's.

A stream's head is printed here in one piece and written with its first bytes: aiohttp's own would
be an object with a dictionary of fields for each stream, as long as that lasts.
"""

from email.utils import formatdate
from functools import lru_cache
from time import time

from aiohttp import web

from .ask import Ask
from .settings import WebSettings

FOREIGN_ORIGIN = web.RequestKey("foreign_origin", str)
"""The listed origin of a page that is not the listener's own."""
STREAM_FIELDS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
_STREAM = "HTTP/1.%d 200 OK\r\n" + "".join(f"{n}: {v}\r\n" for n, v in STREAM_FIELDS.items())


def label(name: str, settings: WebSettings, foreign: str | None) -> dict[str, str]:
    """Name an answer, and let a listed foreign page read it (Fetch standard, CORS protocol)."""
    fields = {"Server": "livequery-bridge", "X-Request-Id": name}
    if settings.allowed_origins:
        fields["Vary"] = "Origin"
        if foreign is not None:
            fields["Access-Control-Allow-Origin"] = foreign
            fields["Access-Control-Allow-Credentials"] = "true"
            fields["Access-Control-Expose-Headers"] = "Retry-After"
    return fields


def stream_head(ask: Ask, settings: WebSettings, *, keep_alive: bool) -> bytes:
    """Print the status line and header of an event stream (RFC 9112 §2.1)."""
    lines = [_STREAM % ask.chunked]
    if ask.chunked:
        lines.append("Transfer-Encoding: chunked\r\n")
    lines.append(_date(int(time())))
    if ask.chunked and not keep_alive:
        lines.append("Connection: close\r\n")
    fields = label(ask.name, settings, ask.foreign_origin)
    lines += [f"{name}: {value}\r\n" for name, value in fields.items()]
    lines.append("\r\n")
    return "".join(lines).encode()


@lru_cache(1)
def _date(second: int) -> str:
    return f"Date: {formatdate(second, usegmt=True)}\r\n"
