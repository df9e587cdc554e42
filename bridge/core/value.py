"""JSON values as a query and a cursor carry them: numbers keep their digits.

A value is `None`, `bool`, `int` (64 bits, signed or unsigned), `float`, `str`, or `JsonText` for
everything else: arrays, objects and numbers whose digits a double would lose.
"""

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

INT64_MIN = -(2**63)
UINT64_MAX = 2**64 - 1
MAX_DEPTH = 200
"""Levels of arrays and objects in one message; far beyond any query, below Python's own limit."""


@dataclass(frozen=True, slots=True)
class JsonText:
    """JSON kept as text: what no scalar type carries without loss."""

    text: str


Value: TypeAlias = bool | int | float | str | JsonText | None
Cursor: TypeAlias = tuple[Value, ...] | None


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A JSON number as it was written, judged only where it is used."""

    text: str


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object as the pairs that were written, in order, repeats included."""

    pairs: list[tuple[str, Any]]


class JsonError(ValueError):
    """Text that is no JSON (RFC 8259) in UTF-8, or that is nested beyond reason."""


def _refuse_constant(name: str) -> Any:
    raise JsonError(f"{name} is not JSON")


# parse_int and parse_float hand over the digits; the pairs hook keeps repeated keys, of which the
# last wins under case folding, which no dict can tell.
_decoder = json.JSONDecoder(
    object_pairs_hook=JsonObject,
    parse_int=JsonNumber,
    parse_float=JsonNumber,
    parse_constant=_refuse_constant,
)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(data: bytes | str) -> Any:
    """Parse strict JSON into `None | bool | str | Number | list | Members`.

    Raises:
        JsonError: not UTF-8, not JSON, a byte order mark, a lone surrogate, or too deep.

    """
    try:
        text = (data if isinstance(data, bytes) else data.encode()).decode()
        tree = _decoder.decode(text)
    except UnicodeError as error:
        raise JsonError("not UTF-8") from error
    except RecursionError as error:
        raise JsonError("nested too deeply") from error
    except JsonError:
        raise
    except ValueError as error:
        raise JsonError(_position(error)) from error
    _check(tree, MAX_DEPTH, surrogates=_SURROGATE_ESCAPE.search(text) is not None)
    return tree


def _position(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at character {error.pos}"
    return "not JSON"


def _check(tree: Any, depth: int, *, surrogates: bool) -> None:
    """Refuse what the parser lets through: depth and, where an escape hints at it, surrogates."""
    if depth == 0:
        raise JsonError("nested too deeply")
    if isinstance(tree, str):
        if surrogates and not _encodes(tree):
            raise JsonError("a lone surrogate is no text")
    elif isinstance(tree, JsonObject):
        for key, member in tree.pairs:
            if surrogates and not _encodes(key):
                raise JsonError("a lone surrogate is no text")
            _check(member, depth - 1, surrogates=surrogates)
    elif isinstance(tree, list):
        for member in tree:
            _check(member, depth - 1, surrogates=surrogates)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def value_of(tree: Any) -> Value:
    """Type a parsed member.

    Raises:
        ValueError: a number beyond a double.

    """
    if isinstance(tree, JsonNumber):
        return _number(tree.text)
    if isinstance(tree, list | JsonObject):
        _judge(tree)
        return JsonText(text_of(tree))
    typed: bool | str | None = tree
    return typed


def _number(text: str) -> Value:
    integral = not any(mark in text for mark in ".eE")
    # 20 characters hold every 64-bit integer; longer ones need no (quadratic) parsing.
    if integral and len(text) <= 20 and INT64_MIN <= (number := int(text)) <= UINT64_MAX:  # noqa: PLR2004
        return number
    double = float(text)
    if math.isinf(double):
        raise ValueError("number beyond a double")
    try:
        exact = Decimal(text) == Decimal(repr(double))
    except InvalidOperation:
        exact = False
    return double if exact else JsonText(text)


def _judge(tree: Any) -> None:
    """Refuse numbers beyond a double wherever they stand."""
    if isinstance(tree, JsonNumber):
        _number(tree.text)
    elif isinstance(tree, list):
        for member in tree:
            _judge(member)
    elif isinstance(tree, JsonObject):
        for _, member in tree.pairs:
            _judge(member)


def text_of(tree: Any) -> str:
    """Print a parsed member again, compact, digits and repeated keys as they were written."""
    if isinstance(tree, JsonNumber):
        return tree.text
    if isinstance(tree, list):
        return "[" + ",".join(map(text_of, tree)) + "]"
    if isinstance(tree, JsonObject):
        members = (f"{json.dumps(key, ensure_ascii=False)}:{text_of(m)}" for key, m in tree.pairs)
        return "{" + ",".join(members) + "}"
    return json.dumps(tree, ensure_ascii=False)


def canonical(value: Value) -> str:
    """Print a value so that equal text means equal kind and equal digits: `1`, `1.0`, `true`."""
    if isinstance(value, JsonText):
        return value.text
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def fold_key(key: str) -> str:
    """Fold a key's case as Go does: Unicode simple folding, one character for one."""
    if key.isascii():
        return key.lower()
    return "".join(f if len(f := c.casefold()) == 1 else c for c in key)
