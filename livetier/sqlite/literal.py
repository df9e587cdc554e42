"""Literals: what a ``Value`` of a query means to SQLite.

Laws:

- SQLite's order over everything it stores: NULL < numbers < text < blobs. Text compares by code
  point (COLLATE BINARY), whatever collation a column declares.
- Numbers compare by value, integers and reals alike. A boolean is the number 1 or 0: SQLite has
  no booleans.
- A number that SQLite cannot store exactly (a decimal of 20 digits) equals no stored number but
  has its place in the order: its literal is the greatest storable number *below* it.
- A blob is the JSON object ``{"base64": "..."}``, as ``engine.value`` encodes it.
"""

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from enum import Enum

from livequery.v1 import livequery_pb2 as pb

SqlValue = None | int | float | str | bytes

_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1
# Up to here every whole number is a double: no integer lies between two neighbouring doubles.
_DOUBLE_IS_DENSE = 2**53


class Kind(Enum):
    """Classes of values that compare by value: integers and reals are one class."""

    NULL = "null"
    NUMBER = "number"
    TEXT = "text"
    BLOB = "blob"


@dataclass(frozen=True, slots=True)
class Literal:
    """A value to bind. Not ``exact``: the true number lies just above ``value``."""

    kind: Kind
    value: SqlValue
    exact: bool = True


NULL = Literal(Kind.NULL, None)


def literal_of(value: pb.Value) -> Literal:
    """Return the literal of ``value``; raise ValueError if SQLite has none."""
    which = value.WhichOneof("kind")
    if which is None:
        raise ValueError("a value is missing")
    if which == "null_value":
        return NULL
    if which == "string_value":
        return Literal(Kind.TEXT, value.string_value)
    if which == "json_value":
        return _from_json(value.json_value)
    number: int | float = getattr(value, which)
    if isinstance(number, float):
        if math.isnan(number):
            raise ValueError("NaN is not a value")
        return Literal(Kind.NUMBER, number)
    if int(number) <= _MAX_INT:
        return Literal(Kind.NUMBER, int(number))
    return _number(Decimal(number))


def as_real(item: Literal) -> Literal:
    """Return the literal that ``item`` is for a REAL column.

    A double beyond 2^53 is printed in its shortest spelling, which ends in zeros that are not its
    digits. A client sends that back as a whole number; for a REAL column it is the double again.
    """
    if item.exact and isinstance(item.value, int) and abs(item.value) >= _DOUBLE_IS_DENSE:
        nearest = float(item.value)
        if Decimal(repr(nearest)) == item.value:
            return Literal(Kind.NUMBER, nearest)
    return item


def _from_json(text: bytes) -> Literal:
    try:
        spelling = text.decode()
        if _JSON_NUMBER.fullmatch(spelling.strip()):
            return _number(Decimal(spelling.strip()))
        parsed = json.loads(spelling)
    except (UnicodeDecodeError, DecimalException, RecursionError, ValueError):
        raise ValueError("this is not JSON that can be compared") from None
    match parsed:
        case {"base64": str(encoded)} if len(parsed) == 1:
            try:
                return Literal(Kind.BLOB, base64.b64decode(encoded, validate=True))
            except binascii.Error:
                raise ValueError("this is not base64") from None
        case None:
            return NULL
        case bool():
            return Literal(Kind.NUMBER, int(parsed))
        case str():
            return Literal(Kind.TEXT, parsed)
    raise ValueError("arrays and objects cannot be compared")


def _number(number: Decimal) -> Literal:
    """Return the literal of a decimal of any size and precision."""
    if _fits(number) and int(number) == number:
        return Literal(Kind.NUMBER, int(number))
    nearest = float(number)
    if math.isinf(nearest) or number in (Decimal(nearest), Decimal(repr(nearest))):
        return Literal(Kind.NUMBER, nearest)
    if abs(number) >= _DOUBLE_IS_DENSE and _fits(math.floor(number)):
        return Literal(Kind.NUMBER, math.floor(number), exact=False)
    below = nearest if Decimal(nearest) < number else math.nextafter(nearest, -math.inf)
    return Literal(Kind.NUMBER, below, exact=False)


def _fits(number: Decimal | int) -> bool:
    return _MIN_INT <= number <= _MAX_INT
