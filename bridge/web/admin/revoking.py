"""Revoking: a revocation takes effect: it stands, streams end, upstream calls change hands."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from bridge.live.backend import Identity
from bridge.live.hub import Hub
from bridge.web.auth.authenticator import Authenticator
from bridge.web.auth.revocations import MAX_REVOCATION, Revocation, parse_revocation


class Revoking:
    """What revocations change in this process."""

    def __init__(self, authenticator: Authenticator, hub: Hub) -> None:
        self._authenticator = authenticator
        self._hub = hub

    def revoke(self, revocation: Revocation, at: float) -> int:
        """Refuse the tokens that are meant, end their streams; return how many streams those were.

        `at`: when it was said, in seconds since the epoch. Raises Failed (QUOTA) where too many
        stand.
        """
        authenticator = self._authenticator
        authenticator.revocations.say(revocation, at, authenticator.lapses(revocation))
        return self._end(revocation.matches)

    def replace_file(self, found: Mapping[Revocation, float]) -> int:
        """Take these for the file's revocations; return how many streams that ended."""
        revocations = self._authenticator.revocations
        revocations.replace_file(found)
        return self._end(revocations.revoked)

    def _end(self, meant: Callable[[Mapping[str, Any]], bool]) -> int:
        ended = self._authenticator.watch.end_revoked(meant)

        def withdrawn(identity: Identity) -> bool:
            claims = identity.credential
            return isinstance(claims, Mapping) and meant(claims)

        self._hub.withdraw(withdrawn)
        return ended


def revoke_handler(
    revoke: Callable[[Revocation], Awaitable[int]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Make the handler of `POST /admin/revoke`. `revoke` revokes in all processes of the bridge."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.content.read(MAX_REVOCATION + 1)
        while len(body) <= MAX_REVOCATION and not request.content.at_eof():
            body += await request.content.read(MAX_REVOCATION + 1 - len(body))
        ended = await revoke(parse_revocation(body))
        return web.json_response(text=f'{{"ended":{ended}}}', headers={"Cache-Control": "no-store"})

    return handle
