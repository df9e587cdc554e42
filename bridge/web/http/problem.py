"""Refusals over HTTP: RFC 9457 problem details, with the members of docs/wire.md §6.

One function makes a refusal, whether aiohttp or the bridge read the request. aiohttp sends it, or
it is printed for a connection that aiohttp does not serve. The bytes are the same.
"""

import json
import math
from dataclasses import dataclass
from http import HTTPStatus
from time import time

from aiohttp import web

from bridge.core.errors import Failed, Kind
from bridge.web.settings import WebSettings

from .response_headers import STREAM_FIELDS, http_date, response_headers

CONTENT_TYPE = "application/problem+json"
_SAID_WITH_ERRORS = ("Accept-Encoding", "Allow", "Sec-WebSocket-Version")
"""Fields in which aiohttp's errors say what would be right."""
_PASSING = (429, 503, 504)
"""Statuses of failures that pass: with `soft=1` they are reported as a stream that ends."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response instead of a stream. `fields` are those that depend on the failure alone."""

    status: int
    fields: dict[str, str]
    body: bytes

    def to_aiohttp(self) -> web.Response:
        """Return it for aiohttp to send."""
        return web.Response(status=self.status, headers=self.fields, body=self.body)

    def to_bytes(
        self,
        settings: WebSettings,
        *,
        request_id: str,
        foreign_origin: str | None,
        keep_alive: bool,
        draining: bool,
    ) -> bytes:
        """Print it as aiohttp would, in answer to an HTTP/1.1 request (RFC 9112 §2.1)."""
        fields = dict(self.fields)
        fields["Content-Length"] = str(len(self.body))
        fields["Date"] = http_date(int(time()))
        if not keep_alive:
            fields["Connection"] = "close"
        fields |= response_headers(request_id, settings, foreign_origin)
        if draining:
            fields["Connection"] = "close"
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        head = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n{lines}\r\n"
        return head.encode() + self.body


def refusal(failure: Failed, *, soft: bool = False) -> Refusal:
    """Make the response to a request that fails.

    `soft`: a failure that passes is an event stream that ends at once, with `retry:`. EventSource
    comes back after that; on any status but 200 it gives up for good.
    """
    row, seconds = failure.row, retry_after(failure)
    if soft and row.status in _PASSING:
        return Refusal(200, STREAM_FIELDS, b"retry: %d\n\n" % ((seconds or 1) * 1000))
    body: dict[str, str | int | bool] = {
        "type": "about:blank",
        "title": row.title,
        "status": row.status,
        "detail": failure.message,
        "code": failure.code,
        "retryable": row.retryable,
    }
    if failure.field:
        body["field"] = failure.field
    fields = {}
    if seconds is not None:
        fields["Retry-After"] = str(seconds)
    if failure.kind is Kind.UNAUTHENTICATED:
        fields["WWW-Authenticate"] = "Bearer"
    return _problem(row.status, body, fields)


def retry_after(failure: Failed) -> int | None:
    """Return Retry-After in whole seconds: 429 and 503 always have it. None: no such field."""
    if failure.retry_after is not None:
        return max(1, math.ceil(failure.retry_after))
    return 1 if failure.row.status in (429, 503) else None


def http_error_refusal(error: web.HTTPException) -> Refusal:
    """Make the response to one of aiohttp's own errors (404, 405, 413, …)."""
    body: dict[str, str | int | bool] = {
        "type": "about:blank",
        "title": error.reason,
        "status": error.status,
    }
    fields = {name: error.headers[name] for name in _SAID_WITH_ERRORS if name in error.headers}
    return _problem(error.status, body, fields)


def _problem(status: int, body: dict[str, str | int | bool], fields: dict[str, str]) -> Refusal:
    text = json.dumps(body, ensure_ascii=False).encode() + b"\n"
    return Refusal(
        status, {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE} | fields, text
    )
