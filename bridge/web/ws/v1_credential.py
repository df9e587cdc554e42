"""V1Credential: the credential of a v1 socket: its request's, then that of the last `authenticate`.

A socket may begin without one where the tier judges. Where the bridge does, `authenticate` must
come within the time of the first message, and before anything that asks for rows.
"""

import asyncio
from collections.abc import Callable

from bridge.core.errors import Failed, Kind
from bridge.live.backend import Identity
from bridge.live.stream_end import End, EndReason
from bridge.web.auth.credential import Credential
from bridge.web.auth.credential_watch import Lease
from bridge.web.auth.presented import Presented
from bridge.web.context import WebContext
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot

from .websocket_session import Work


class V1Credential:
    """One for each socket. `end` ends the session; `on_expiring` is called before the end."""

    def __init__(
        self,
        context: WebContext,
        request: StreamRequest,
        slot: StreamSlot,
        *,
        end: Callable[[End], None],
        on_expiring: Callable[[float], None],
    ) -> None:
        self._authenticator = context.authenticator
        self._timeout = context.settings.first_message_timeout
        self._request: StreamRequest | None = request
        """None once it is judged."""
        self._slot = slot
        self._presented = Presented(request.headers, request.remote)
        self._end = end
        self._on_expiring = on_expiring
        self._current: Credential | None = None
        self._lease: Lease | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def missing(self) -> bool:
        """Whether nothing may be asked for before `authenticate`."""
        return self._current is None and self._authenticator.required

    @property
    def verified(self) -> bool:
        """Whether the bridge has verified the present one."""
        return self._lease is not None

    def begin(self) -> Work:
        """Judge what the request came with, if there was something. Raises Failed.

        What is returned has to be waited for, and raises it, too: a key has to be read.
        """
        authenticator, request, self._request = self._authenticator, self._request, None
        if request is None:
            return None
        self._presented = presented = authenticator.find(request)
        if presented.found and (authenticator.required or request.parameters.tickets):
            if authenticator.keys_needed(presented) is not None:
                return self._accept(presented)
            self.use(authenticator.judge(presented))
        elif not authenticator.required:
            try:
                self._current = authenticator.judge(presented)
            except Failed as failure:
                # A token may come yet; headers that contradict stay as they are.
                if failure.kind is Kind.MALFORMED:
                    raise
        return None

    async def _accept(self, presented: Presented) -> None:
        self.use(await self._authenticator.accept(presented))

    def identity(self) -> Identity:
        """Return on whose behalf the tier is asked. Raises Failed."""
        return self.credential().identity

    def credential(self) -> Credential:
        """Return the present credential. Raises Failed."""
        if self._current is None:
            if self.missing:
                raise Failed(Kind.UNAUTHENTICATED, "`authenticate` comes first", field="token")
            # Of the request, whose headers the tier judges.
            self._current = self._authenticator.judge(self._presented)
        return self._current

    async def judge(self, token: str, *, in_use: Callable[[], bool]) -> Credential:
        """Accept a token, to be used in place of what there was.

        `in_use` returns whether the client has subscriptions.

        Raises:
            Failed: EXPIRED for a token of another scope; else the old one stands.

        """
        credential = await self._authenticator.accept_token(self._presented, token)
        stands = in_use() or (self._authenticator.required and self._current is not None)
        if stands and _rights(credential.identity) != _rights(self.identity()):
            raise Failed(Kind.EXPIRED, "a credential of another scope", field="token")
        return credential

    def start_deadline(self) -> None:
        """Give the client of a socket without a credential its time. Idempotent."""
        if self.missing and self._timer is None and self._timeout:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._timeout, self._on_deadline)

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._lease is not None:
            self._lease.release(self)

    def use(self, credential: Credential) -> None:
        """Ask on its behalf from now on. Raises Failed: QUOTA where it has too many streams."""
        self._slot.identify(credential.identity)
        self._current = credential
        if self._timer is not None:
            self._timer.cancel()
        if self._lease is not None:
            self._lease.release(self)
        self._lease = self._authenticator.watch.hold(credential, self)

    def on_credential_ended(self, failure: Failed) -> None:
        """End the session: no newer credential came in time, or it was revoked."""
        self._end(End(EndReason.EXPIRED, failure))

    def on_credential_expiring(self, expires_at: float) -> None:
        """Tell the client."""
        self._on_expiring(expires_at)

    def _on_deadline(self) -> None:
        failure = Failed(Kind.UNAUTHENTICATED, "no credential came in time", field="token")
        self._end(End(EndReason.FAILED, failure))


def _rights(identity: Identity) -> tuple[object, ...]:
    """Return what windows were opened by: what the tier judges, and what rules for queries ask."""
    return identity.scope, frozenset(identity.claims)
