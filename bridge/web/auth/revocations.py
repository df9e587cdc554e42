"""Revocations: which tokens are refused although they are in order.

A revocation names a subject, a token or claims, and when it was said. It holds for tokens that were
issued until then; whoever gets a newer one is let in again. A token that does not say when it was
issued is refused as long as the revocation stands.

Invariant: what is said is kept within bounds. A word is forgotten once all tokens that it can mean
have expired, where that is known; none is forgotten to make room for another.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from bridge.core.errors import Failed, Kind

from .token_parser import canonical, strict_json

MAX_REVOCATION: Final = 16 * 1024
"""Bytes of one."""
MAX_SAID: Final = 50_000
MAX_SAID_SIZE: Final = 16 * 1024 * 1024
"""Characters of all that were said."""
MAX_SHAPES: Final = 64
"""Sets of claims' names among them: each is looked up for each token."""


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
        raise _malformed(f"a revocation has {MAX_REVOCATION} bytes at most")
    try:
        tree = strict_json(data.decode() if isinstance(data, bytes) else data)
    except ValueError:
        raise _malformed("this is not JSON, or has a name twice") from None
    return revocation_of(tree)


def revocation_of(tree: Any) -> Revocation:
    """Read a revocation that is parsed already. Raises Failed (MALFORMED)."""
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
        self._lapses: dict[Revocation, float] = {}
        """When those that were said mean nothing any more, where that is known."""
        self._number = 0
        self._size = 0

    def say(self, revocation: Revocation, at: float, lapses: float | None = None) -> None:
        """Add one, said at `at`. `lapses`: when no token can be meant any more, if that is known.

        Raises:
            Failed: QUOTA where as many stand as may.

        """
        names, values = revocation
        if values not in self._said.get(names, ()):
            if self._full(revocation):
                self._forget_lapsed(at)
            if self._full(revocation):
                message = "too many revocations stand: a file of --revocations has room for more"
                raise Failed(Kind.QUOTA, message, limit="revocations")
            self._number += 1
            self._size += _size(revocation)
        by_values = self._said.setdefault(names, {})
        by_values[values] = max(at, by_values.get(values, at))
        if lapses is not None:
            self._lapses[revocation] = max(lapses, self._lapses.get(revocation, lapses))

    def _full(self, revocation: Revocation) -> bool:
        return (
            self._number >= MAX_SAID
            or self._size + _size(revocation) > MAX_SAID_SIZE
            or (revocation.names not in self._said and len(self._said) >= MAX_SHAPES)
        )

    def _forget_lapsed(self, now: float) -> None:
        for revocation in [one for one, end in self._lapses.items() if end <= now]:
            names, values = revocation
            del self._lapses[revocation], self._said[names][values]
            if not self._said[names]:
                del self._said[names]
            self._number -= 1
            self._size -= _size(revocation)

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


def _size(revocation: Revocation) -> int:
    return sum(map(len, (*revocation.names, *revocation.values)))


def _values(claims: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the values of some claims as text; None where one is missing."""
    if not all(name in claims for name in names):
        return None
    return tuple(canonical(claims[name]) for name in names)


def _malformed(message: str) -> Failed:
    return Failed(Kind.MALFORMED, message, field="body")
