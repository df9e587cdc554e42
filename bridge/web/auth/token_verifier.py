"""TokenVerifier: whether a token is an issuer's word, and what it says.

Invariants: a token is accepted only after its signature was checked with a key of the issuer that
it names, by an algorithm of that key; what was accepted once is recalled by its text, until a key
set changes; its times are judged at every use.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from bridge.core.algorithms import ALGORITHMS
from bridge.core.errors import Failed, Kind
from bridge.core.metadata import METADATA_VALUE

from .credential import Credential
from .key_store import KeyStore
from .settings import AuthSettings, IssuerSettings
from .token_parser import UnverifiedToken, bad_token, canonical, numeric_date, parse_token

MAX_CACHED: Final = 4096
"""Tokens that are recalled."""
_REQUIRED: Final = ("exp", "iss", "aud", "sub")
_KEY_HEADERS: Final = ("jku", "jwk", "x5u", "x5c")
"""Header parameters by which a token brings or names its own key."""
_CHANGING: Final = frozenset({"exp", "iat", "nbf", "jti"})
"""Claims that differ from one token of a client to the next."""
MAX_SUBJECT: Final = 255
"""Characters of `sub` (OpenID Connect Core §2)."""


@dataclass(slots=True, eq=False)
class VerifiedToken:
    """A token whose signature and claims are right, whatever the time."""

    text: str
    claims: Mapping[str, Any]
    expires_at: float
    not_before: float
    lasting: str
    """The claims that are the same in the next token of the same client, as text."""
    credential: Credential | None = None
    """What a request that carries nothing beside it was accepted with; None: none has come yet."""


class _NotSigned(Failed):
    """No key that is known made the signature."""


class Issuer(NamedTuple):
    """An issuer and its keys."""

    settings: IssuerSettings
    keys: KeyStore


class TokenVerifier:
    """Verifies the tokens of some issuers. `clock`: seconds since the epoch."""

    def __init__(
        self, settings: AuthSettings, issuers: list[Issuer], *, clock: Callable[[], float]
    ) -> None:
        self.issuers = tuple(issuers)
        self._by_name = {issuer.settings.issuer: issuer for issuer in issuers}
        self._types = settings.types
        self._leeway = settings.leeway
        self._clock = clock
        self._cache: dict[str, VerifiedToken] = {}
        for issuer in issuers:
            issuer.keys.on_changed.append(self._cache.clear)

    def keys_needed(self, text: str) -> asyncio.Future[None] | None:
        """Have keys read that a token needs, if they may be; None: `verify` can judge it now.

        Cancelling what is returned would cancel it for all.
        """
        if self._cache.get(text) is not None:
            return None
        try:
            token = parse_token(text)
            issuer = self._issuer(token)
            keys = issuer.keys.current
            if keys is not None and keys.has(_kid(token)):
                return None
            if keys is not None and keys.candidates(_kid(token)):
                # Only its signature can tell whether one of them is its key.
                self._accept(text)
                return None
        except _NotSigned:
            pass
        except Failed:
            return None
        return issuer.keys.read_for_unknown()

    def recall(self, text: str) -> VerifiedToken | None:
        """Return what a token says that was verified before and holds now; else None."""
        token = self._cache.get(text)
        if token is None:
            return None
        now = self._clock()
        in_time = token.not_before - self._leeway <= now < token.expires_at + self._leeway
        return token if in_time else None

    def verify(self, text: str) -> VerifiedToken:
        """Return what a token says.

        Raises:
            Failed: UNAUTHENTICATED; UNAVAILABLE where the key is unknown, and no read of the
                issuer's keys has succeeded: the token may be right.

        """
        token = self._cache.get(text) or self._accept(text)
        now = self._clock()
        if now >= token.expires_at + self._leeway:
            raise bad_token("the token has expired")
        if now < token.not_before - self._leeway:
            raise bad_token("the token is not valid yet")
        return token

    def _accept(self, text: str) -> VerifiedToken:
        """Verify all but the times of a token, and recall it from now on. Raises Failed."""
        token = self._verify(text)
        if len(self._cache) >= MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[text] = token
        return token

    def _issuer(self, token: UnverifiedToken) -> Issuer:
        name = token.claims.get("iss")
        issuer = self._by_name.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise bad_token("the token is of another issuer")
        return issuer

    def _verify(self, text: str) -> VerifiedToken:
        token = parse_token(text)
        self._check_header(token.header)
        issuer = self._issuer(token)
        self._check_signature(token, issuer.keys)
        claims = token.claims
        for name in _REQUIRED:
            if claims.get(name) is None:
                raise bad_token(f"the token has no {name}")
        _check_audience(claims["aud"], issuer.settings.audiences)
        subject = claims["sub"]
        if not isinstance(subject, str) or not fits_metadata(subject, MAX_SUBJECT):
            raise bad_token("sub is not a text of visible ASCII")
        expires_at, not_before = numeric_date(claims, "exp"), numeric_date(claims, "nbf")
        issued_at = numeric_date(claims, "iat")
        if expires_at is None:
            raise bad_token("the token has no exp")
        # RFC 7519 §4.1.6 leaves it open; a token of the future was not issued.
        starts = [time for time in (not_before, issued_at) if time is not None]
        lasting = canonical({n: claims[n] for n in claims if n not in _CHANGING})
        return VerifiedToken(text, claims, expires_at, max(starts, default=0.0), lasting)

    def _check_header(self, header: dict[str, Any]) -> None:
        if header.get("alg") not in ALGORITHMS:
            raise bad_token("alg in the token is none that keys verify")
        if "crit" in header:
            raise bad_token("crit in the token names what is not understood")
        for name in _KEY_HEADERS:
            if name in header:
                raise bad_token(f"{name} in the token: keys are not taken from tokens")
        kind = header.get("typ", "JWT")
        # RFC 7515 §4.1.9: `application/` may be left out.
        if not isinstance(kind, str) or (
            kind.lower().removeprefix("application/") not in self._types
        ):
            raise bad_token("the token is of another type")
        if not isinstance(header.get("kid", ""), str):
            raise bad_token("kid is not a text")

    @staticmethod
    def _check_signature(token: UnverifiedToken, store: KeyStore) -> None:
        algorithm, keys, kid = token.header["alg"], store.current, _kid(token)
        for key in keys.candidates(kid) if keys is not None else ():
            if algorithm in key.algorithms and key.verifies(
                algorithm, token.signed, token.signature
            ):
                return
        if keys is None or (store.failing and not keys.has(kid)):
            raise _NotSigned(
                Kind.UNAVAILABLE, "the keys to verify tokens can't be had", retry_after=5
            )
        raise _NotSigned(
            Kind.UNAUTHENTICATED, "the signature is not of a key of this issuer", field="token"
        )


def fits_metadata(text: str, most: int) -> bool:
    """Whether a text travels as it is: white space around metadata is cut on the way."""
    return (
        0 < len(text) <= most
        and METADATA_VALUE.fullmatch(text) is not None
        and text == text.strip(" ")
    )


def _kid(token: UnverifiedToken) -> str | None:
    kid = token.header.get("kid")
    return kid if isinstance(kid, str) else None


def _check_audience(audience: Any, ours: frozenset[str]) -> None:
    """Check `aud`: a text or a list of texts (RFC 7519 §4.1.3). Raises Failed."""
    names = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(name, str) for name in names) or ours.isdisjoint(names):
        raise bad_token("the token is for another audience")
