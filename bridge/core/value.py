"""Values of a query or a cursor: numbers keep their digits.

A value is `None`, `bool`, `int` (64 bits, signed or unsigned), `float`, `str`, or `JsonText` for
everything else: arrays, objects, and numbers that a double would round.
"""

import json
import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from .json_tree import JsonNumber, JsonObject, format_tree

INT64_MIN = -(2**63)
UINT64_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class JsonText:
    """A value kept as JSON text, because no scalar type holds it without loss."""

    text: str


Value: TypeAlias = bool | int | float | str | JsonText | None
Cursor: TypeAlias = tuple[Value, ...] | None


def value_from_tree(tree: Any) -> Value:
    """Convert a parsed tree to a value.

    Raises:
        ValueError: a number beyond a double, at any depth.

    """
    if isinstance(tree, JsonNumber):
        return _number(tree.text)
    if isinstance(tree, list | JsonObject):
        _check_numbers(tree)
        return JsonText(format_tree(tree))
    scalar: bool | str | None = tree
    return scalar


def _number(text: str) -> Value:
    integral = not any(mark in text for mark in ".eE")
    # 20 characters hold every 64-bit integer. Longer text is not parsed: that takes quadratic time.
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


def _check_numbers(tree: Any) -> None:
    """Refuse a number beyond a double at any depth."""
    if isinstance(tree, JsonNumber):
        _number(tree.text)
    elif isinstance(tree, list):
        for member in tree:
            _check_numbers(member)
    elif isinstance(tree, JsonObject):
        for _, member in tree.pairs:
            _check_numbers(member)


def canonical_text(value: Value) -> str:
    """Return text that is equal for values of equal kind and digits only: `1`, `1.0`, `true`."""
    if isinstance(value, JsonText):
        return value.text
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)
