"""Authenticator: from a request, or a token, to the credential of its client.

Three steps, for one of them may have to wait for a key: find what was sent, have missing keys read,
judge. Only the first uses a ticket up.
"""

import asyncio
import json
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from bridge.core.client_address import counted_address
from bridge.core.errors import Failed, Kind
from bridge.core.metadata import TRACE_HEADER
from bridge.web.stream_request import StreamRequest

from .credential import Credential
from .credential_watch import CredentialWatch
from .identities import Identities
from .key_store import KeyStore
from .presented import Presented, find_credential
from .revocations import Revocation, Revocations
from .settings import AuthMode, AuthSettings
from .tickets import Tickets
from .token_parser import bad_token
from .token_verifier import TokenVerifier

_ADDRESSES: Final = 4096
"""Addresses whose credential is recalled."""
_NO_HEADERS: Final = CIMultiDictProxy(CIMultiDict[str]())


class Authenticator:
    """One for a bridge. `verifier`: in `jwt` mode. `tickets`: in all modes but `none`."""

    def __init__(
        self,
        settings: AuthSettings,
        identities: Identities,
        *,
        verifier: TokenVerifier | None = None,
        tickets: Tickets | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self.verifier = verifier
        self.revocations = Revocations()
        self.watch = CredentialWatch(clock)
        self._settings = settings
        self._identities = identities
        self._tickets = tickets
        self._of_address = lru_cache(_ADDRESSES)(self._judge_address)

    @property
    def key_stores(self) -> list[KeyStore]:
        """The keys of all issuers."""
        return [issuer.keys for issuer in self.verifier.issuers] if self.verifier else []

    @property
    def required(self) -> bool:
        """Whether nobody is served without a credential."""
        return self.verifier is not None

    # ------------------------------------------------------------ the steps

    def recall(self, request: StreamRequest) -> Credential | None:
        """Return what a request like this was accepted with; None: it has to be found and judged.

        A request that shows no credential depends on nothing but its address; one that shows a
        verified token, and nothing beside it, on that, its times and revocations. Raises Failed,
        as `judge`, where the tier judges.
        """
        if self.verifier is None:
            return self._of_address(request.remote) if request.anonymous else None
        text = request.sole_token
        token = self.verifier.recall(text) if text is not None else None
        if token is None or self.revocations.revoked(token.claims):
            return None
        return token.credential

    def find(self, request: StreamRequest) -> Presented:
        """Find what a request came with; a ticket is used up. Raises Failed."""
        if self._settings.mode is AuthMode.NONE:
            return Presented(request.headers, request.remote)
        self._check_url(request)
        return self._find(request, self._tickets)

    def _check_url(self, request: StreamRequest) -> None:
        """Refuse a token where logs would keep it, even beside a good one. Raises Failed."""
        name = request.parameters.token
        if self.required and name is not None:
            message = "a token does not belong in a URL: send a ticket"
            raise Failed(Kind.UNAUTHENTICATED, message, field=name)

    def _find(self, request: StreamRequest, tickets: Tickets | None) -> Presented:
        cookie = self._settings.cookie
        return find_credential(request, cookie=cookie, tickets=tickets, bearer_only=self.required)

    def keys_needed(self, presented: Presented) -> asyncio.Future[None] | None:
        """Return what `judge` has to wait for, not to be cancelled; None nearly always."""
        if self.verifier is None or presented.token is None:
            return None
        return self.verifier.keys_needed(presented.token)

    def judge(self, presented: Presented) -> Credential:
        """Accept what was presented. Raises Failed."""
        if self.verifier is None:
            return self._forwarded(presented)
        if presented.token is None:
            raise Failed(Kind.UNAUTHENTICATED, "a token is needed", field="authorization")
        token = self.verifier.verify(presented.token)
        if self.revocations.revoked(token.claims):
            raise bad_token("the token was revoked")
        beside = self._identities.reads_beside_token(presented.headers)
        if token.credential is not None and not beside:
            return token.credential
        credential = Credential(
            identity=self._identities.of_token(presented.headers, token),
            claims=token.claims,
            expires_at=token.expires_at,
            ends_at=token.expires_at + self._settings.leeway,
        )
        if not beside:
            token.credential = credential
        return credential

    def _judge_address(self, remote: str) -> Credential:
        return self._forwarded(Presented(_NO_HEADERS, remote))

    def _forwarded(self, presented: Presented) -> Credential:
        """Take what the tier will judge."""
        token = presented.token if presented.replaces else None
        identity = self._identities.of_headers(presented.headers, token)
        # Nobody has verified it: limits count the address, too.
        return Credential(replace(identity, address=counted_address(presented.remote)))

    def header_holder(self, request: StreamRequest) -> Hashable:
        """Return whom the credential in a request's header names, before it is needed.

        None where there is none, where it is not valid, and where a key must be read first.
        """
        if self._settings.mode is AuthMode.NONE or request.parameters.tickets:
            return None
        try:
            recalled = self.recall(request)
            if recalled is not None:
                return recalled.identity.holder
            presented = self._find(request, None)
            if self.keys_needed(presented) is not None:
                return None
            return self.judge(presented).identity.holder
        except Failed:
            return None

    def lapses(self, revocation: Revocation) -> float | None:
        """Return when every token that it can mean has ended; None: that is not known.

        It is known of a token with a stream, for `jti` is one token's (RFC 7519 §4.1.7), and of all
        with a certain `exp`.
        """
        if revocation.names == ("jti",):
            return self.watch.last_end(revocation.matches)
        if "exp" in revocation.names:
            value = json.loads(revocation.values[revocation.names.index("exp")])
            if isinstance(value, int | float):
                return value + self._settings.leeway
        return None

    # ------------------------------------------------------------ all of them

    async def authenticate(self, request: StreamRequest) -> Credential:
        """Find, wait, judge. Raises Failed."""
        recalled = self.recall(request)
        if recalled is not None:
            return recalled
        return await self.accept(self.find(request))

    async def accept(self, presented: Presented) -> Credential:
        """Wait for keys, then judge. Raises Failed."""
        keys = self.keys_needed(presented)
        if keys is not None:
            await asyncio.wait([keys])
        return self.judge(presented)

    async def accept_token(self, presented: Presented, token: str) -> Credential:
        """Judge a token that a client sent later, in place of what its request came with."""
        return await self.accept(presented._replace(token=token, found=True, replaces=True))

    # ------------------------------------------------------------ tickets

    @property
    def issues_tickets(self) -> bool:
        """Whether there are tickets: in all modes but `none`."""
        return self._tickets is not None

    async def issue_ticket(self, request: StreamRequest) -> tuple[str, float]:
        """Accept a request and seal its credential; return the ticket and its end. Raises Failed.

        NOT_FOUND where there are no tickets.
        """
        if self._tickets is None:
            raise Failed(Kind.NOT_FOUND, "there are no tickets here")
        self._check_url(request)
        presented = self._find(request, None)
        credential = await self.accept(presented)
        if credential.verified:
            token, carried = presented.token, self._identities.forwarded(presented.headers)
            # The token itself takes the place of this one.
            headers = [pair for pair in _lasting(carried) if pair[0] != "authorization"]
        else:
            token, headers = None, _lasting(credential.identity.metadata)
            if not headers:
                raise Failed(Kind.UNAUTHENTICATED, "a credential is needed", field="authorization")
        # A form of a foreign page could send a cookie, but not this type (CSRF).
        by_cookie = presented.replaces or any(name == "cookie" for name, _ in headers)
        if by_cookie and request.content_type != "application/json":
            raise Failed(
                Kind.MALFORMED, "application/json is needed beside a cookie", field="content-type"
            )
        return self._tickets.issue(token, headers, request.foreign_origin)


def _lasting(metadata: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out what differs from request to request."""
    return [pair for pair in metadata if not TRACE_HEADER.fullmatch(pair[0])]
