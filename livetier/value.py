"""Values: between the contract's ``Value`` and what SQLite stores.

Laws:

- SQLite's order over everything it stores: NULL < numbers < text < blobs. Text compares by code
  point (COLLATE BINARY), whatever collation a column declares.
- Numbers compare by value whatever their kind, integer columns and real ones alike. A boolean is
  the number 1 or 0, as SQLite has none of its own.
- A number that SQLite cannot hold exactly (a decimal of 20 digits) equals nothing but still has
  its place in the order: its literal is the greatest storable number *below* it.
- A blob travels as the JSON object ``{"base64": "..."}``; infinity as the JSON number 9e999.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from enum import Enum

from livequery.v1 import livequery_pb2 as pb

SqlValue = None | int | float | str | bytes

_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1
# Below this every whole number is a double, so no integer hides between two neighbouring doubles.
_DOUBLE_IS_DENSE = 2**53


class Kind(Enum):
    """Storage classes that compare with one another: integer and real are one."""

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


def literal(value: pb.Value) -> Literal:
    """Return what ``value`` means to SQLite; raise ValueError if it means nothing there."""
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
    """Return what ``item`` means to a REAL column.

    A double beyond 2^53 is printed by its shortest spelling, whose zeros are not its digits, and
    comes back as that whole number: there it means the double again.
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


def message(value: SqlValue) -> pb.Value:
    """Return a stored value as the contract spells it; ``literal`` reads it back."""
    match value:
        case None:
            return pb.Value(null_value="NULL_VALUE")
        case int():
            return pb.Value(int_value=value)
        case float():
            if math.isinf(value):
                return pb.Value(json_value=b"9e999" if value > 0 else b"-9e999")
            return pb.Value(double_value=value)
        case str():
            return pb.Value(string_value=value)
        case _:
            encoded = base64.b64encode(value).decode()
            return pb.Value(json_value=json.dumps({"base64": encoded}).encode())


def text(value: SqlValue) -> str:
    """Return a key's value as a row id."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if isinstance(value, str) else repr(value)


def row_json(names: tuple[str, ...], values: tuple[SqlValue, ...]) -> bytes:
    """Return one row as a compact JSON object; blobs as base64 text."""
    plain = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in zip(names, values, strict=True)
    }
    encoded = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    if any(isinstance(value, float) and math.isinf(value) for value in values):
        return _finite(plain)
    return encoded.encode("utf-8", "replace")


def _finite(row: Mapping[str, SqlValue]) -> bytes:
    """Spell infinity as SQLite's own JSON does: JSON has no word for it, but has 9e999."""
    parts = []
    for name, value in row.items():
        spelled = json.dumps(value, ensure_ascii=False).replace("Infinity", "9e999")
        if not isinstance(value, float):
            spelled = json.dumps(value, ensure_ascii=False)
        parts.append(f"{json.dumps(name, ensure_ascii=False)}:{spelled}")
    return ("{" + ",".join(parts) + "}").encode("utf-8", "replace")
