"""Server: routes, and the rules at the edge."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

from aiohttp import web

from bridge.core.errors import Failed
from bridge.web.http.problem import http_problem, problem
from bridge.web.http.response_headers import response_headers
from bridge.web.sse.handler import sse_handler
from bridge.web.ws.handler import websocket_handler

from .context import CONTEXT, WebContext
from .health import HealthHandlers
from .origin_check import check_request_origin
from .pages import handlers
from .stream_log import request_id
from .stream_request import FOREIGN_ORIGIN

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(
    context: WebContext, health: HealthHandlers, *, metrics: bool = True
) -> web.Application:
    """Build what browsers see; `metrics`: and operators too, who have no port of their own."""
    settings = context.settings
    app = web.Application(middlewares=[failure_middleware])
    app[CONTEXT] = context
    app.on_response_prepare.append(_label)
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)
    if metrics:
        app.router.add_get("/metrics", health.metrics)
    app.router.add_get(settings.base_path, sse_handler, allow_head=False)
    app.router.add_post(settings.base_path, sse_handler)
    app.router.add_options(settings.base_path, preflight)
    app.router.add_get(settings.base_path + "/ws", websocket_handler, allow_head=False)
    if settings.pages:
        app.router.add_get("/", handlers.home)
        app.router.add_get("/explorer", handlers.home)
        app.router.add_get("/client/livequery.js", handlers.library)
        app.router.add_get("/explorer/{name:[^/]*}", handlers.explorer(settings.base_path))
    return app


def admin_application(
    context: WebContext, health: HealthHandlers, *, loopback: bool
) -> web.Application:
    """Build what operators see on a port of its own. `loopback`: of a loopback address."""
    app = web.Application(middlewares=[failure_middleware])
    app[CONTEXT] = replace(context, settings=replace(context.settings, loopback=loopback))
    app.on_response_prepare.append(_label)
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz_in_full)
    app.router.add_get("/metrics", health.metrics)
    return app


@web.middleware
async def failure_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Judge Host and Origin before anything else; tell every failure as a problem."""
    context = request.app[CONTEXT]
    try:
        foreign = check_request_origin(request.headers, context.settings)
        if foreign is not None:
            request[FOREIGN_ORIGIN] = foreign
        return await handler(request)
    except Failed as failure:
        context.stream_log.refuse(request_id(request), "http", failure)
        return problem(failure)
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004 - a redirect is no failure
            raise
        return http_problem(error)


async def _label(request: web.Request, response: web.StreamResponse) -> None:
    """Label an answer of aiohttp's making."""
    settings = request.app[CONTEXT].settings
    fields = response_headers(request_id(request), settings, request.get(FOREIGN_ORIGIN))
    response.headers.update(fields)
    if request.app[CONTEXT].hub.draining and response.status != 101:  # noqa: PLR2004 - an upgrade says its own
        # Or a client would keep this connection for its next request, which would be refused.
        response.force_close()
        response.headers["Connection"] = "close"


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
