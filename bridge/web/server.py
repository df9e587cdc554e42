"""Server: routes, the rules at the edge, and the listener."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bridge.core.errors import Failed, Kind
from bridge.core.origin import check_loopback_host, check_origin

from . import pages
from .context import CONTEXT, Context
from .health import Health
from .problem import http_problem, problem
from .settings import WebSettings
from .sse import stream
from .ws import converse

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

# A query of 16 KiB may triple in a URL; other lines are judged as headers are.
MAX_LINE = 64 * 1024
MAX_HEADER = 8 * 1024
MAX_HEADERS = 64
KEEPALIVE = 10.0
FOREIGN_ORIGIN = web.RequestKey("foreign_origin", str)


def application(context: Context, health: Health) -> web.Application:
    """Build the application."""
    settings = context.settings
    app = web.Application(middlewares=[edge])
    app[CONTEXT] = context
    app.on_response_prepare.append(_share)
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/metrics", health.metrics)
    app.router.add_get(settings.base_path, stream, allow_head=False)
    app.router.add_post(settings.base_path, stream)
    app.router.add_options(settings.base_path, preflight)
    app.router.add_get(settings.base_path + "/ws", converse, allow_head=False)
    if settings.pages:
        app.router.add_get("/", pages.home)
        app.router.add_get("/explorer", pages.home)
        app.router.add_get("/client/livequery.js", pages.library)
        app.router.add_get("/explorer/{name:[^/]*}", pages.explorer(settings.base_path))
    return app


@web.middleware
async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Judge Host and Origin before anything else; tell every failure as a problem."""
    try:
        settings = request.app[CONTEXT].settings
        _judge(request, settings)
        return await handler(request)
    except Failed as failure:
        return problem(failure)
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004 - a redirect is no failure
            raise
        return http_problem(error)


def _judge(request: web.Request, settings: WebSettings) -> None:
    hosts = request.headers.getall("Host", [])
    if len(hosts) > 1:
        raise Failed(Kind.MALFORMED, "one Host is enough", field="host")
    host = hosts[0] if hosts else ""
    if settings.loopback and hosts:
        check_loopback_host(host, settings.allowed_origins)
    foreign = check_origin(request.headers.getall("Origin", []), host, settings.allowed_origins)
    if foreign is not None:
        request[FOREIGN_ORIGIN] = foreign


async def _share(request: web.Request, response: web.StreamResponse) -> None:
    """Let a listed foreign page read the answer (Fetch standard, CORS protocol)."""
    response.headers["Server"] = "livequery-bridge"
    if request.app[CONTEXT].settings.allowed_origins:
        response.headers.add("Vary", "Origin")
    foreign = request.get(FOREIGN_ORIGIN)
    if foreign is not None:
        response.headers["Access-Control-Allow-Origin"] = foreign
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"


async def preflight(request: web.Request) -> web.Response:
    """Answer a browser that asks before it posts from a listed origin."""
    forward = request.app[CONTEXT].settings.forward
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": ", ".join(
                dict.fromkeys(("content-type", "last-event-id", *forward))
            ),
            "Access-Control-Max-Age": "600",
        },
    )


class _NoTraceback(logging.Filter):
    """Keeps what clients send malformed from filling the log: one line, no traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | ConnectionError):
            record.exc_info = None
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg = f"{record.msg}: {type(error).__name__}"
        return True


def _logger() -> logging.Logger:
    logger = logging.getLogger("bridge.http")
    if not logger.filters:
        logger.addFilter(_NoTraceback())
    return logger


class Listener:
    """The open port. Streams are ended by the hub before it is closed."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            logger=_logger(),
            keepalive_timeout=KEEPALIVE,
            max_line_size=MAX_LINE,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            shutdown_timeout=1.0,
        )
        self._site: web.TCPSite | None = None

    async def open(self, host: str, port: int) -> str:
        """Listen; returns the URL, with the port that was picked where 0 was asked for."""
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, host, port, backlog=1024)
        await self._site.start()
        # The one place that knows the port is the socket; [host, port, …] for either family.
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop_accepting(self) -> None:
        """Close the port; connections stay."""
        if self._site is not None:
            await self._site.stop()

    async def close(self) -> None:
        """End what is left."""
        await self._runner.cleanup()
