"""Token parser: the parts of a JSON Web Token in compact form, read strictly and judged by nobody.

RFC 7515 §4 and RFC 7519 §4 let a parser choose between refusing repeated names and taking the last
one. Two readers that choose differently see two tokens, so they are refused. So is everything that
Python's json reads although it is not JSON.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

from bridge.core.errors import Failed, Kind

from .base64url import decode_base64url

MAX_TOKEN: Final = 8 * 1024
"""Characters of a token: a header field has no more."""
MAX_NESTING: Final = 32
"""Levels of arrays and objects in a token: more than any claim has, fewer than is costly."""
_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_SAFE: Final = 2**53


class UnverifiedToken(NamedTuple):
    """The parts of a token whose signature was not looked at."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    """What the signature is of."""
    signature: bytes


def bad_token(message: str) -> Failed:
    """Make the failure of a token that is not accepted."""
    return Failed(Kind.UNAUTHENTICATED, message, field="token")


def parse_token(text: str) -> UnverifiedToken:
    """Split and decode a token. Raises Failed (UNAUTHENTICATED)."""
    if len(text) > MAX_TOKEN:
        raise bad_token(f"a token may have {MAX_TOKEN} characters")
    match = _COMPACT.fullmatch(text)
    if match is None:
        raise bad_token("this is no signed token in compact form")
    try:
        header, claims = _decode_object(match[1]), _decode_object(match[2])
        signature = decode_base64url(match[3])
    except ValueError:
        raise bad_token("the token can't be read") from None
    return UnverifiedToken(header, claims, text[: match.end(2)].encode(), signature)


def numeric_date(claims: dict[str, Any], name: str) -> float | None:
    """Return a claim that is a time, in seconds since the epoch; None where there is none.

    Raises:
        Failed: it is not a number, or too large to be exact everywhere.

    """
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _SAFE:
        raise bad_token(f"{name} is not a time")
    return float(value)


def canonical(value: Any) -> str:
    """Return a claim's value as text: equal for equal JSON, different for different JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def strict_json(text: str) -> Any:
    """Parse JSON. Raises ValueError for all that two readers may read differently."""
    try:
        # Only an escape can name a lone surrogate, where the text has none.
        value = (_ESCAPED if "\\" in text else _PLAIN).decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_nesting(value, MAX_NESTING)
    return value


def _decode_object(part: str) -> dict[str, Any]:
    value = strict_json(decode_base64url(part).decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("an object is needed")  # noqa: TRY004 - bad input, no bug
    return value


def _check_nesting(value: Any, levels: int) -> None:
    if isinstance(value, dict | list):
        if levels == 0:
            raise ValueError("nested too deeply")
        for member in value.values() if isinstance(value, dict) else value:
            _check_nesting(member, levels - 1)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _unique_texts(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = _unique(pairs)
    for name, value in pairs:
        # A lone surrogate is no text: it has no UTF-8.
        name.encode()
        if isinstance(value, str):
            value.encode()
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # Python reads 1e400 as one without end
        raise ValueError("a number beyond a double")
    return number


def _decoder(unique: Callable[[list[tuple[str, Any]]], dict[str, Any]]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=unique, parse_constant=_refuse_constant, parse_float=_finite
    )


_PLAIN: Final = _decoder(_unique)
_ESCAPED: Final = _decoder(_unique_texts)
