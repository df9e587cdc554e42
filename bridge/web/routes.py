"""Routes, and what holds for every request that aiohttp serves."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

from aiohttp import web

from bridge.core.errors import Failed
from bridge.web.http.aiohttp_connection import AiohttpConnection
from bridge.web.http.problem import http_error_refusal
from bridge.web.http.response_headers import response_headers
from bridge.web.sse.handler import sse_handler
from bridge.web.window.handler import METHODS as WINDOW_METHODS
from bridge.web.window.handler import window_handler
from bridge.web.ws.handler import websocket_handler

from .client_address import client_address
from .context import CONTEXT, WebContext
from .origin_check import check_request_origin
from .pages import handlers
from .probes import ProbeHandlers
from .schema_handler import METHODS as SCHEMA_METHODS
from .schema_handler import schema_handler
from .stream_log import request_id
from .stream_request import CLIENT_ADDRESS, FOREIGN_ORIGIN

HEALTH = ("/healthz", "/readyz")
"""Paths that are served whatever Host names: probes call a pod by its address."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(
    context: WebContext, probes: ProbeHandlers, *, metrics: bool = True
) -> web.Application:
    """Build the public application; `metrics`: with metrics, where no other port has them."""
    settings = context.settings
    app = _application(context)
    add_stream_routes(app, settings.base_path)
    app.router.add_get("/healthz", probes.healthz)
    app.router.add_get("/readyz", probes.readyz)
    if metrics:
        app.router.add_get("/metrics", probes.metrics)
    if settings.pages:
        app.router.add_get("/", handlers.home)
        app.router.add_get("/explorer", handlers.home)
        app.router.add_get("/client/livequery.js", handlers.library)
        app.router.add_get("/explorer/{name:[^/]*}", handlers.explorer(settings.base_path))
    return app


def admin_application(
    context: WebContext, probes: ProbeHandlers, *, loopback: bool
) -> web.Application:
    """Build the operators' application. `loopback`: its port is on a loopback address."""
    settings = replace(context.settings, loopback=loopback, allowed_hosts=())
    app = _application(replace(context, settings=settings))
    app.router.add_get("/healthz", probes.healthz)
    app.router.add_get("/readyz", probes.readyz_with_replicas)
    app.router.add_get("/metrics", probes.metrics)
    return app


def stream_application() -> web.Application:
    """Build an application of the stream routes alone; its owner sets `CONTEXT` on startup."""
    app = _application(None)
    add_stream_routes(app, "")
    return app


def add_stream_routes(app: web.Application, base_path: str) -> None:
    """Add the routes of event streams and WebSockets."""
    app.router.add_get(base_path, sse_handler, allow_head=False)
    app.router.add_post(base_path, sse_handler)
    app.router.add_options(base_path, preflight)
    app.router.add_get(base_path + "/ws", websocket_handler, allow_head=False)
    for path, methods, handler in (
        ("/window", WINDOW_METHODS, window_handler),
        ("/schema", SCHEMA_METHODS, schema_handler),
    ):
        for method in methods:
            app.router.add_route(method, base_path + path, handler)
        app.router.add_options(base_path + path, preflight)


def _application(context: WebContext | None) -> web.Application:
    app = web.Application(middlewares=[failure_middleware])
    if context is not None:
        app[CONTEXT] = context
    app.on_response_prepare.append(add_response_headers)
    return app


@web.middleware
async def failure_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check Host and Origin before anything else; answer every failure with a problem."""
    context = request.app[CONTEXT]
    try:
        settings, connection = context.settings, AiohttpConnection.of(request)
        request[CLIENT_ADDRESS] = client_address(
            (connection and connection.peer) or request.remote or "",
            request.headers,
            settings.trusted_proxies,
        )
        foreign_origin = check_request_origin(
            request.headers, settings, any_host=request.path in HEALTH
        )
        if foreign_origin is not None:
            request[FOREIGN_ORIGIN] = foreign_origin
        return await handler(request)
    except Failed as failure:
        return context.refuse(request_id(request), failure).to_aiohttp()
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004 - a redirect is no failure
            raise
        return http_error_refusal(error).to_aiohttp()


async def add_response_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the common fields to a response of aiohttp's."""
    settings = request.app[CONTEXT].settings
    fields = response_headers(request_id(request), settings, request.get(FOREIGN_ORIGIN))
    response.headers.update(fields)
    if request.app[CONTEXT].hub.draining and response.status != 101:  # noqa: PLR2004 - an upgrade has its own
        # Or a client would keep this connection for its next request, which would be refused.
        response.force_close()
        response.headers["Connection"] = "close"


async def preflight(request: web.Request) -> web.Response:
    """Answer the CORS preflight of a listed origin (Fetch standard)."""
    forward = request.app[CONTEXT].settings.forward
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, HEAD, POST, QUERY",
            "Access-Control-Allow-Headers": ", ".join(
                dict.fromkeys(("content-type", "if-none-match", "last-event-id", *forward))
            ),
            "Access-Control-Max-Age": "600",
        },
    )
