"""Routes, and what holds for every request that aiohttp serves."""

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, TypeAlias

from aiohttp import HttpVersion10, web

from bridge.core.errors import Failed, Kind
from bridge.web.admin.admin_token import AdminToken
from bridge.web.admin.inspector_handlers import InspectorHandlers
from bridge.web.http.aiohttp_connection import AiohttpConnection
from bridge.web.http.preflight import is_preflight, preflight_fields
from bridge.web.http.problem import http_error_refusal
from bridge.web.http.request_fields import check_steering_fields
from bridge.web.http.response_headers import response_headers
from bridge.web.http.written_response import WrittenResponse
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
from .ticket_handler import TICKET_PATH, ticket_handler

HEALTH = ("/healthz", "/readyz")
"""Paths that are served whatever Host names: probes call a pod by its address."""

_ODD_TARGET: Final = re.compile(r"#|^[^/?]*://[^/?]*@")
"""A target with a fragment, or with a user."""

logger = logging.getLogger(__name__)

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
        board = handlers.page("board", settings.base_path)
        app.router.add_get("/", board if settings.board else handlers.to_explorer)
        app.router.add_get("/explorer", handlers.to_explorer)
        app.router.add_get("/client/{name:[^/]*}", handlers.library)
        app.router.add_get("/explorer/{name:[^/]*}", handlers.page("explorer", settings.base_path))
        if settings.board:
            app.router.add_get("/board/{name:[^/]+}", board)
    return app


def admin_application(
    context: WebContext,
    probes: ProbeHandlers,
    *,
    loopback: bool,
    token: AdminToken | None,
    commands: dict[str, Handler],
    inspector: InspectorHandlers,
) -> web.Application:
    """Build the operators' application. `loopback`: its port is on a loopback address.

    `token` guards all but health and metrics. `commands`: handlers of POST below `/admin/`, by
    name; without a token there are none.
    """
    settings = replace(context.settings, loopback=loopback, allowed_hosts=(), tls=False)
    app = _application(replace(context, settings=settings))
    app.middlewares.append(own_pages_only)
    app.router.add_get("/healthz", probes.healthz)
    app.router.add_get("/readyz", probes.readyz_with_replicas)
    app.router.add_get("/metrics", probes.metrics)
    if token is not None:
        for name, handler in commands.items():
            app.router.add_post(f"/admin/{name}", token.guard(handler))
    for path, handler, page in (
        ("/", inspector.page, True),
        ("/inspector/{name:[^/]*}", inspector.page, True),
        ("/admin/subscriptions", inspector.subscriptions, False),
        ("/admin/subscriptions/{id}", inspector.groups, False),
        ("/admin/viewers", inspector.viewers, False),
        ("/admin/live/subscriptions", inspector.live_subscriptions, False),
        ("/admin/live/viewers", inspector.live_viewers, False),
    ):
        app.router.add_get(path, handler if token is None else token.guard(handler, page=page))
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
    app.router.add_options(base_path, options)
    app.router.add_get(base_path + "/ws", websocket_handler, allow_head=False)
    for path, methods, handler in (
        ("/window", WINDOW_METHODS, window_handler),
        ("/schema", SCHEMA_METHODS, schema_handler),
    ):
        for method in methods:
            app.router.add_route(method, base_path + path, handler)
        app.router.add_options(base_path + path, options)
    app.router.add_options(base_path + TICKET_PATH, options)
    app.router.add_route("*", base_path + TICKET_PATH, ticket_handler)


def _application(context: WebContext | None) -> web.Application:
    app = web.Application(middlewares=[failure_middleware])
    if context is not None:
        app[CONTEXT] = context
    app.on_response_prepare.append(add_response_headers)
    return app


@web.middleware
async def failure_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check fields, Host and Origin before anything else; answer every failure with a problem.

    Whatever is raised below is translated here, once.
    """
    context, connection = request.app[CONTEXT], AiohttpConnection.of(request)
    settings = context.settings
    try:
        _check_request_line(request)
        check_steering_fields(request.headers)
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
        if is_preflight(request.method, request.headers):
            return _preflight(request)
        return await handler(request)
    except Failed as failure:
        answer = context.refuse(request_id(request), failure)
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004 - a redirect is no failure
            raise
        answer = http_error_refusal(error)
    except ConnectionError:
        return WrittenResponse(keep_alive=False)  # the client is gone
    except Exception:
        logger.exception("a request failed")
        answer = http_error_refusal(web.HTTPInternalServerError())
    if connection is not None and request.version.major != 1:
        return connection.answer(request, answer)  # aiohttp would repeat the version
    return answer.to_aiohttp()


@web.middleware
async def own_pages_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse pages of other origins, listed ones too: a browser adds a remembered password."""
    if FOREIGN_ORIGIN in request:
        del request[FOREIGN_ORIGIN]  # or the refusal would be for that page to read
        raise Failed(Kind.DENIED, "this origin is not allowed", field="origin")
    return await handler(request)


def _check_request_line(request: web.Request) -> None:
    """Refuse other versions than HTTP/1 (RFC 9110 §15.6.6), and odd targets. Raises Failed.

    A target has no fragment (RFC 9112 §3.2), no user (RFC 9110 §4.2.4) and the host of Host.
    """
    if request.version < HttpVersion10:
        raise Failed(Kind.MALFORMED, "a request line ends with the version of HTTP")
    if request.version.major != 1:
        raise web.HTTPVersionNotSupported
    if _ODD_TARGET.search(request.raw_path):
        raise Failed(Kind.MALFORMED, "the request line has a fragment or a user in it")
    host = request.headers.get("Host")
    if host is not None and request.host != host and request.url.raw_authority != host.lower():
        raise Failed(Kind.MALFORMED, "the request line names another host", field="host")


async def add_response_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the common fields to a response of aiohttp's."""
    settings = request.app[CONTEXT].settings
    fields = response_headers(request_id(request), settings, request.get(FOREIGN_ORIGIN))
    response.headers.popall("Server", None)  # aiohttp's banner
    response.headers.update(fields)
    draining = request.app[CONTEXT].hub.draining
    if draining and response.status != 101:  # noqa: PLR2004 - an upgrade has its own
        # Or a client would keep this connection for its next request, which would be lost.
        response.force_close()
        response.headers["Connection"] = "close"


def _preflight(request: web.Request) -> web.Response:
    """Answer the preflight of a page that may ask."""
    forward = request.app[CONTEXT].settings.forward
    return web.Response(status=204, headers=preflight_fields(request.headers, forward))


async def options(request: web.Request) -> web.Response:
    """Answer OPTIONS without a preflight's fields, as one with them."""
    return _preflight(request)
