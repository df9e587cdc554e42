"""The explorer, the demo's board and the browser library, from package data."""

from collections.abc import Awaitable, Callable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from aiohttp import web

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_LIBRARY_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "no-cache",
}
"""The library is public: a page of any origin may import it. What it may ask is another matter."""
_STATIC = resources.files("bridge.web.pages") / "static"
_BASE = b'content="/api/v1/live"'


async def to_explorer(_: web.Request) -> web.Response:
    """Redirect to the explorer."""
    return web.Response(status=302, headers={"Location": "/explorer/", **_HEADERS})


async def library(request: web.Request) -> web.Response:
    """Serve a module of the browser library; `livequery.js` is its entry."""
    response = _file(_STATIC / "client", request.match_info["name"])
    response.headers.update(_LIBRARY_HEADERS)
    return response


def page(folder: str, base_path: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Make the handler of a page's files; the page gets the path of the streams."""

    async def serve(request: web.Request) -> web.Response:
        name = request.match_info.get("name") or "index.html"
        return _file(_STATIC / folder, name, base_path)

    return serve


def _file(folder: Traversable, name: str, base_path: str = "") -> web.Response:
    kind = _TYPES.get(PurePosixPath(name).suffix)
    file = folder / name
    if kind is None or "/" in name or not file.is_file():
        raise web.HTTPNotFound
    body = file.read_bytes()
    if kind == "text/html":
        body = body.replace(_BASE, b'content="%b"' % base_path.encode())
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=_HEADERS)
