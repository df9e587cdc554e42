"""AdminToken: the operators' bearer token, without which no command is taken."""

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

    def guard(self, handler: Handler) -> Handler:
        """Return a handler that answers 401 to whoever does not send the token."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            self._check(request)
            return await handler(request)

        return guarded

    def _check(self, request: web.Request) -> None:
        sent = request.headers.getall("Authorization", ())
        token = bearer_token(sent[0]) if len(sent) == 1 else None
        # Bytes: text that is not ASCII would raise.
        given = (token or "").encode(errors="replace")
        if not hmac.compare_digest(given, self._token):
            raise Failed(
                Kind.UNAUTHENTICATED, "the operators' token is needed", field="authorization"
            )
