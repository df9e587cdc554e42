"""The inspector over HTTP: JSON, event streams of it, and a page over these.

`GET /admin/subscriptions`, `/admin/viewers`, `/admin/subscriptions/{id}` answer once.
`GET /admin/live/subscriptions` and `/admin/live/viewers` are event streams of the same trees, as
windows of core over SSE. `/` is the page.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any, Final

from aiohttp import web

from bridge.core.errors import Failed, Kind
from bridge.web.http.response_headers import STREAM_FIELDS
from bridge.wire.sse import sse_event

from .inspector import Inspector
from .live_trees import LiveTrees

INTERVAL: Final = 0.5
"""Seconds between two looks."""
PING_INTERVAL: Final = 15.0
_NO_STORE: Final = {"Cache-Control": "no-store"}
_PAGE_FIELDS: Final = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_STATIC: Final = resources.files("bridge.web.admin") / "static"


@dataclass(frozen=True, slots=True)
class InspectorHandlers:
    """Handlers over an inspector. `drain` begins to drain the bridge."""

    inspector: Inspector
    drain: Callable[[], None]

    async def subscriptions(self, _: web.Request) -> web.Response:
        """Answer with all subscriptions."""
        return _answer(self.inspector.subscriptions())

    async def viewers(self, _: web.Request) -> web.Response:
        """Answer with all viewers."""
        return _answer(self.inspector.viewers())

    async def groups(self, request: web.Request) -> web.Response:
        """Answer with what has changed one window; `?row=` why a row is where it is."""
        text = request.match_info["id"]
        if not (text.isascii() and text.isdecimal() and len(text) < 16):  # noqa: PLR2004 - enough
            raise Failed(Kind.NOT_FOUND, "there is no such subscription", field="id")
        return _answer(self.inspector.groups(int(text), request.query.get("row")))

    async def live_subscriptions(self, request: web.Request) -> web.StreamResponse:
        """Stream all subscriptions, the bridge itself and the replicas as rows of one window."""

        def look() -> list[tuple[str, dict[str, Any]]]:
            found = self.inspector.subscriptions()
            bridge = {name: found[name] for name in ("total", "draining", "replicas")}
            rows = [(str(tree["id"]), tree) for tree in found["subscriptions"]]
            return [("bridge", bridge), *rows]

        return await _stream(request, look)

    async def live_viewers(self, request: web.Request) -> web.StreamResponse:
        """Stream the viewers that lag most."""

        def look() -> list[tuple[str, dict[str, Any]]]:
            found = self.inspector.viewers()["viewers"][:100]
            return [(f"{tree['subscription']}/{tree['id']}", tree) for tree in found]

        return await _stream(request, look)

    async def ask_to_drain(self, _: web.Request) -> web.Response:
        """Begin to drain the bridge."""
        self.drain()
        return web.json_response({"draining": True}, status=202, headers=_NO_STORE)

    async def page(self, request: web.Request) -> web.Response:
        """Answer with a file of the page."""
        name = request.match_info.get("name") or "index.html"
        kind, file = _TYPES.get(PurePosixPath(name).suffix), _STATIC / name
        if kind is None or "/" in name or not file.is_file():
            raise web.HTTPNotFound
        return web.Response(
            body=file.read_bytes(), content_type=kind, charset="utf-8", headers=_PAGE_FIELDS
        )


def _answer(tree: dict[str, Any]) -> web.Response:
    return web.json_response(tree, headers=_NO_STORE)


async def _stream(
    request: web.Request, look: Callable[[], list[tuple[str, dict[str, Any]]]]
) -> web.StreamResponse:
    """Write what changes, until the client is gone."""
    response = web.StreamResponse(headers=STREAM_FIELDS)
    await response.prepare(request)
    await response.write(b"retry: 2000\n\n")
    trees, silent = LiveTrees(), 0.0
    while request.transport is not None and not request.transport.is_closing():
        frames = trees.changes(look())
        silent += INTERVAL
        if frames:
            await response.write(b"".join([sse_event(frame, "") for frame in frames]))
            silent = 0.0
        elif silent >= PING_INTERVAL:
            await response.write(b": ping\n\n")
            silent = 0.0
        await asyncio.sleep(INTERVAL)
    return response
