"""AdminToken: the operators' bearer token, without which no command is taken."""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from bridge.core.errors import Failed, Kind
from bridge.web.auth.presented import bearer_token

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AdminToken:
    """Guards handlers. `token` is the secret."""

    def __init__(self, token: bytes) -> None:
        self._token = token

    def guard(self, handler: Handler, *, page: bool = False) -> Handler:
        """Return a handler that answers 401 to whoever does not send the token.

        `page`: it is for browsers, too. They ask for it as the password of any user (RFC 7617).
        """

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                self._check(request)
            except Failed:
                if not page:
                    raise
                challenge = {"WWW-Authenticate": 'Basic realm="livequery-bridge", charset="UTF-8"'}
                return web.Response(
                    status=401, text="The operators' token is needed.\n", headers=challenge
                )
            return await handler(request)

        return guarded

    def _check(self, request: web.Request) -> None:
        sent = request.headers.getall("Authorization", ())
        token = (bearer_token(sent[0]) or _password(sent[0])) if len(sent) == 1 else None
        # Bytes: text that is not ASCII would raise.
        given = (token or "").encode(errors="replace")
        if not hmac.compare_digest(given, self._token):
            raise Failed(
                Kind.UNAUTHENTICATED, "the operators' token is needed", field="authorization"
            )


def _password(authorization: str) -> str | None:
    """Return the password of a Basic credential; None where it is none (RFC 7617 §2)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None
