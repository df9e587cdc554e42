"""Revocations: which tokens are refused although they are in order.

A revocation names a subject, a token or claims, and when it was said. It holds for tokens that were
issued until then; whoever gets a newer one is let in again. A token that does not say when it was
issued is refused as long as the revocation stands.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from bridge.core.errors import Failed, Kind

from .token_parser import canonical

MAX_REVOCATION: Final = 16 * 1024
"""Bytes of one."""


class Revocation(NamedTuple):
    """Claims that a revoked token has: their names, in order, and their values as text."""

    names: tuple[str, ...]
    values: tuple[str, ...]

    def matches(self, claims: Mapping[str, Any]) -> bool:
        """Whether a token with these claims is meant, whenever it was issued."""
        return _values(claims, self.names) == self.values


def parse_revocation(data: bytes | str) -> Revocation:
    """Parse `{"sub":…}`, `{"jti":…}` or `{"claims":{…}}`. Raises Failed (MALFORMED)."""
    if len(data) > MAX_REVOCATION:
        raise Failed(Kind.MESSAGE_TOO_LARGE, f"a revocation has {MAX_REVOCATION} bytes at most")
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        raise _malformed("this is not JSON") from None
    match tree:
        case {"sub": str(text), **rest} if text and not rest:
            claims: dict[str, Any] = {"sub": text}
        case {"jti": str(text), **rest} if text and not rest:
            claims = {"jti": text}
        case {"claims": dict(found), **rest} if found and not rest:
            claims = found
        case _:
            raise _malformed("one of sub, jti and claims is needed, and nothing else")
    names = tuple(sorted(claims))
    return Revocation(names, tuple(canonical(claims[name]) for name in names))


class Revocations:
    """Those that stand, each with the time until which it holds (seconds since the epoch).

    They are kept by the names of their claims: a token is looked up once for each set of names.
    """

    def __init__(self) -> None:
        self._said: _Table = {}
        self._in_file: _Table = {}

    def say(self, revocation: Revocation, at: float) -> None:
        """Add one, said at `at`."""
        self._said.setdefault(revocation.names, {})[revocation.values] = at

    def replace_file(self, found: Mapping[Revocation, float]) -> None:
        """Take these for those of the file."""
        table: _Table = {}
        for revocation, at in found.items():
            table.setdefault(revocation.names, {})[revocation.values] = at
        self._in_file = table

    def standing(self) -> list[tuple[Revocation, float]]:
        """Return those that were said to this process."""
        return [
            (Revocation(names, values), at)
            for names, by_values in self._said.items()
            for values, at in by_values.items()
        ]

    def revoked(self, claims: Mapping[str, Any]) -> bool:
        """Whether a token with these claims is refused."""
        issued_at = claims.get("iat")
        for table in (self._said, self._in_file):
            for names, by_values in table.items():
                values = _values(claims, names)
                at = by_values.get(values) if values is not None else None
                if at is not None and (issued_at is None or issued_at <= at):
                    return True
        return False


_Table: TypeAlias = dict[tuple[str, ...], dict[tuple[str, ...], float]]


def _values(claims: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the values of some claims as text; None where one is missing."""
    if not all(name in claims for name in names):
        return None
    return tuple(canonical(claims[name]) for name in names)


def _malformed(message: str) -> Failed:
    return Failed(Kind.MALFORMED, message, field="body")
