"""Identities: what of a request goes to the tier, and what of that limits sharing."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from multidict import CIMultiDict, CIMultiDictProxy

from bridge.core.errors import Failed, Kind
from bridge.core.metadata import METADATA_VALUE, TRACE_HEADER
from bridge.live.backend import Identity

from .token_parser import bad_token, canonical
from .token_verifier import VerifiedToken, fits_metadata

ANONYMOUS: Final = Identity()
MAX_CLAIM: Final = 4096
"""Characters of a claim that goes to the tier."""
_HOLDER_CLAIMS: Final = ("iss", "sub")
_AUTHORIZATION: Final = "authorization"


class Identities:
    """Made by the options that say what travels.

    `forward`: header names that travel; `scope`: names that limit sharing, None for all but trace
    headers; `claims`: claims that travel, each with its name there; `rule_claims`: claims that
    rules for queries ask for.
    """

    def __init__(
        self,
        forward: tuple[str, ...],
        scope: tuple[str, ...] | None,
        claims: tuple[tuple[str, str], ...] = (),
        rule_claims: frozenset[str] = frozenset(),
    ) -> None:
        from_token = {name for _, name in claims}
        # What a client sends under a name that is the token's never travels.
        self._forward = tuple(name for name in forward if name not in from_token)
        self._beside_token = tuple(name for name in self._forward if name != _AUTHORIZATION)
        self._scope = scope
        self._claims = claims
        self._rule_claims = rule_claims

    def forwarded(self, headers: CIMultiDictProxy[str]) -> list[tuple[str, str]]:
        """Return the header fields that travel; an empty one counts as missing.

        Raises:
            Failed: MALFORMED for a value that gRPC can't carry, and for a header of the scope that
                is there twice: which of them is meant?

        """
        metadata: list[tuple[str, str]] = []
        for name in self._forward:
            values = [value for value in headers.getall(name, ()) if value.strip(" \t")]
            if len(values) > 1 and self._limits_sharing(name):
                raise Failed(Kind.MALFORMED, "this header is there twice", field=name)
            for value in values:
                if not METADATA_VALUE.fullmatch(value):
                    raise Failed(Kind.MALFORMED, "a header of visible ASCII is needed", field=name)
                metadata.append((name, value))
        return metadata

    def _limits_sharing(self, name: str) -> bool:
        return not TRACE_HEADER.fullmatch(name) if self._scope is None else name in self._scope

    def of_headers(self, headers: CIMultiDictProxy[str], token: str | None = None) -> Identity:
        """Return the identity of a request that the tier judges; `token` replaces Authorization.

        Raises:
            Failed: MALFORMED as `forwarded`; UNAUTHENTICATED without a header that `scope` names,
                for windows must not be shared by clients of unknown scope.

        """
        if token is not None:
            headers = _with_token(headers, token)
        if len(headers.getall("Authorization", ())) > 1:
            raise Failed(Kind.MALFORMED, "this header is there twice", field=_AUTHORIZATION)
        metadata = self.forwarded(headers)
        if not metadata and not self._scope:
            return ANONYMOUS
        holder = _lasting(metadata) or None
        return Identity(tuple(metadata), self._scope_of(metadata), holder)

    def reads_beside_token(self, headers: CIMultiDictProxy[str]) -> bool:
        """Whether the identity of a verified token depends on a header beside it."""
        return any(name in headers for name in self._beside_token)

    def of_token(self, headers: CIMultiDictProxy[str], token: VerifiedToken) -> Identity:
        """Return the identity of a request whose token was verified.

        Raises:
            Failed: MALFORMED as above; UNAUTHENTICATED without a claim that `scope` names, or with
                one that gRPC can't carry.

        """
        metadata = self.forwarded(_with_token(headers, token.text))
        for claim, name in self._claims:
            value = claim_text(token.claims, claim)
            if value is not None:
                metadata.append((name, value))
        pairs = self._scope_of(metadata)
        # One text: limits look it up for each stream, and a text keeps its hash.
        holder = canonical([token.claims[name] for name in _HOLDER_CLAIMS])
        claims = tuple(pair for name in self._rule_claims for pair in _values(token.claims, name))
        if _AUTHORIZATION not in self._forward:
            return Identity(tuple(metadata), pairs, holder, claims=claims)
        pairs = tuple(
            (name, token.lasting if name == _AUTHORIZATION else value) for name, value in pairs
        )
        return Identity(
            tuple(metadata),
            pairs,
            holder,
            claims=claims,
            expires_at=token.expires_at,
            credential=token.claims,
        )

    def _scope_of(self, metadata: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        if self._scope is None:
            return _lasting(metadata)
        present = {name for name, _ in metadata}
        for name in self._scope:
            if name not in present:
                raise Failed(Kind.UNAUTHENTICATED, "this header is needed", field=name)
        return tuple(pair for pair in metadata if pair[0] in self._scope)


def _lasting(metadata: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Leave out what differs from request to request."""
    return tuple(pair for pair in metadata if not TRACE_HEADER.fullmatch(pair[0]))


def _values(claims: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    """Yield a claim as pairs of text: one for each value of a list."""
    claim = claims.get(name)
    for value in claim if isinstance(claim, list) else [] if claim is None else [claim]:
        yield name, value if isinstance(value, str) else canonical(value)


def claim_text(claims: Mapping[str, Any], name: str) -> str | None:
    """Return a claim as metadata: text as it is, anything else as JSON; None where there is none.

    Raises:
        Failed: UNAUTHENTICATED for one that metadata can't carry unchanged.

    """
    value = claims.get(name)
    if value is None or value == "":
        return None
    text = value if isinstance(value, str) else canonical(value)
    if not fits_metadata(text, MAX_CLAIM):
        raise bad_token(f"the claim {name} can't travel: visible ASCII is needed")
    return text


def _with_token(headers: CIMultiDictProxy[str], token: str) -> CIMultiDictProxy[str]:
    replaced = CIMultiDict(headers)
    replaced["Authorization"] = f"Bearer {token}"
    return CIMultiDictProxy(replaced)
