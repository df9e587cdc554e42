"""Failures over HTTP: RFC 9457 problem details, with the members of docs/wire.md §6."""

import json
import math

from aiohttp import web

from bridge.core.errors import Failed, Kind

CONTENT_TYPE = "application/problem+json"


def problem(failure: Failed) -> web.Response:
    """Tell a failure as `application/problem+json`."""
    row = failure.row
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
    response = _response(row.status, body)
    after = retry_after(failure)
    if after is not None:
        response.headers["Retry-After"] = str(after)
    if failure.kind is Kind.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def retry_after(failure: Failed) -> int | None:
    """Return whole seconds to stay away, where the failure passes: 429 and 503 always say."""
    if failure.retry_after is not None:
        return max(1, math.ceil(failure.retry_after))
    return 1 if failure.row.status in (429, 503) else None


def http_problem(error: web.HTTPException) -> web.Response:
    """Tell one of aiohttp's own refusals (404, 405, 413, …) the same way."""
    body: dict[str, str | int | bool] = {
        "type": "about:blank",
        "title": error.reason,
        "status": error.status,
    }
    response = _response(error.status, body)
    for name in ("Allow", "Location"):
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response


def _response(status: int, body: dict[str, str | int | bool]) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(body, ensure_ascii=False).encode() + b"\n",
        content_type=CONTENT_TYPE,
        headers={"Cache-Control": "no-store"},
    )
