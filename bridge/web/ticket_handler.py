"""Tickets over HTTP: `POST {base}/ticket` (docs/wire.md §5)."""

from aiohttp import web

from bridge.wire.v1_messages import rfc3339

from .context import CONTEXT
from .stream_request import StreamRequest

TICKET_PATH = "/ticket"


async def ticket_handler(request: web.Request) -> web.Response:
    """Answer a ticket for the credential of the request. Raises Failed."""
    authenticator = request.app[CONTEXT].authenticator
    if authenticator.issues_tickets and request.method != "POST":
        raise web.HTTPMethodNotAllowed(request.method, ["POST"])
    ticket, expires_at = await authenticator.issue_ticket(StreamRequest.from_aiohttp(request))
    return web.json_response(
        {"ticket": ticket, "expires_at": rfc3339(expires_at)},
        headers={"Cache-Control": "no-store"},
    )
