"""Values of a query as text that PostgreSQL casts to the column's type.

Nothing here decides what a text means: PostgreSQL's own cast does, when the query is compiled.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from livequery.v1 import livequery_pb2 as pb
from livetier.postgres.column_type import ColumnType

_RANGES = {21: 2**15, 23: 2**31, 20: 2**63}


@dataclass(frozen=True, slots=True)
class CastText:
    """A text and the SQL name of the type it is cast to; None is NULL.

    ``by_value``: the column must be cast too, since its type has no such number.
    """

    text: bytes | None
    cast: str
    by_value: bool = False


def literal_of(value: pb.Value, kind: ColumnType) -> CastText:
    """Return the literal of ``value`` for a column; raise ValueError if there is none."""
    which = value.WhichOneof("kind")
    if which is None:
        raise ValueError("a value is missing")
    if which == "null_value":
        return CastText(None, kind.cast)
    if which == "bool_value":
        return CastText(b"true" if value.bool_value else b"false", kind.cast)
    if which == "string_value":
        return _text(value.string_value, kind)
    if which == "json_value":
        return _from_json(value.json_value, kind)
    number: float = getattr(value, which)
    if isinstance(number, float):
        return _number(repr(number), kind)
    return _number(str(int(number)), kind)


def _text(text: str, kind: ColumnType) -> CastText:
    if "\0" in text:
        raise ValueError("text cannot have a NUL character")
    if kind.is_bytes and not text.startswith("\\x"):
        try:
            text = "\\x" + base64.b64decode(text, validate=True).hex()
        except (binascii.Error, ValueError):
            raise ValueError("this is not base64") from None
    if kind.is_number:
        return _number(text.strip(), kind)
    return CastText(text.encode(), kind.cast)


def _number(text: str, kind: ColumnType) -> CastText:
    """Return the literal of a number; PostgreSQL compares whole numbers with any by value."""
    if not kind.is_integer:
        return CastText(_spelling(text), kind.cast)
    try:
        number = Decimal(text)
    except InvalidOperation:
        return CastText(text.encode(), kind.cast)  # PostgreSQL says what is wrong with it
    if not number.is_finite() or number.adjusted() > 400:  # noqa: PLR2004 (far beyond any double)
        return CastText(_spelling(text), "numeric", by_value=True)
    limit = _RANGES[kind.oid]
    if number == number.to_integral_value() and -limit <= number < limit:
        return CastText(str(int(number)).encode(), kind.cast)
    return CastText(_spelling(text), "numeric", by_value=True)


def _spelling(text: str) -> bytes:
    names = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
    return names.get(text, text).encode()


def _from_json(data: bytes, kind: ColumnType) -> CastText:
    try:
        text = data.decode()
        parsed = json.loads(text, parse_float=_Number, parse_int=_Number)
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise ValueError("this is not JSON") from None
    if "\\u0000" in text:
        raise ValueError("text cannot have a NUL character")
    if kind.is_json:
        return CastText(text.encode(), kind.cast)
    match parsed:
        case _Number():
            return _number(str(parsed), kind)
        case None:
            return CastText(None, kind.cast)
        case bool():
            return CastText(b"true" if parsed else b"false", kind.cast)
        case str():
            return _text(parsed, kind)
        case {"base64": str(encoded)} if len(parsed) == 1:
            return _text(encoded, kind)
        case list() if kind.is_array:
            return CastText(array_text(parsed).encode(), kind.cast)
    raise ValueError("this cannot be compared with the column")


class _Number(str):
    """A JSON number, as it is spelled."""

    __slots__ = ()


def array_text(members: object) -> str:
    """Return a JSON value as a member of an array, in PostgreSQL's spelling."""
    match members:
        case list():
            return "{" + ",".join(array_text(member) for member in members) + "}"
        case None:
            return "NULL"
        case bool():
            return "true" if members else "false"
        case _Number():
            return str(members)
        case str():
            return '"' + members.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case dict():
            return array_text(json.dumps(members))
    raise ValueError("this is no array")


def key_literals(identifier: str | int, kinds: list[ColumnType]) -> list[CastText]:
    """Return the key that a row id names; raise ValueError if it names none."""
    if len(kinds) == 1:
        return [_text(str(identifier), kinds[0])]
    try:
        parsed = json.loads(str(identifier), parse_float=_Number, parse_int=_Number)
    except (RecursionError, ValueError):
        parsed = None
    if not isinstance(parsed, list) or len(parsed) != len(kinds):
        raise ValueError(f"the id is a JSON array of {len(kinds)} values")
    if not all(isinstance(member, str | bool) for member in parsed):
        raise ValueError("the id has members that are no keys")
    return [
        _text(str(member).lower() if isinstance(member, bool) else str(member), kind)
        for member, kind in zip(parsed, kinds, strict=True)
    ]
