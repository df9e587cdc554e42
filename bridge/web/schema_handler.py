"""`GET {base}/schema`: what the tier says can be asked for (docs/wire.md §7)."""

from aiohttp import web

from bridge.core.client_address import counted_address
from bridge.core.errors import Failed, Kind
from bridge.web.context import CONTEXT
from bridge.web.http.entity_tag import format_tag, parse_if_none_match
from bridge.web.origin_check import check_cookie
from bridge.web.stream_request import StreamRequest

METHODS = ("GET", "HEAD")


async def schema_handler(request: web.Request) -> web.Response:
    """Answer with the schema of the caller's scope, or 304 where the client has it."""
    context = request.app[CONTEXT]
    stream_request = StreamRequest.from_aiohttp(request)
    check_cookie(stream_request)
    if context.hub.draining:
        raise Failed(Kind.UNAVAILABLE, "the bridge is draining", retry_after=1)
    address = counted_address(stream_request.remote)
    context.admission.admit(address)  # it may cost the tier a call, as a stream does
    try:
        credential = await context.authenticator.authenticate(stream_request)
        schema = await context.schemas.get(credential.identity)
    finally:
        context.admission.release(address)
    if context.authenticator.revocations.revoked(credential.claims):  # meanwhile
        raise Failed(Kind.UNAUTHENTICATED, "the credential was revoked", field="token")
    fields = {"Cache-Control": "private, no-cache", "ETag": format_tag(schema.tag)}
    present = parse_if_none_match(request.headers.getall("If-None-Match", ()))
    if schema.tag in present or "*" in present:
        return web.Response(status=304, headers=fields)
    return web.Response(body=schema.body, content_type="application/json", headers=fields)
