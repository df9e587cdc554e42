# ruff: noqa: S608 (a column's SQL is quoted already)
"""What a column's type means here: how it is sent, compared and indexed.

PostgreSQL compares, sorts and prints; this table only says which of its texts become JSON numbers
in a cursor, and for which types two facts are certain: that equal values print alike (``exact``),
and that their order is one that Python shares (``order``).
"""

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.value import Scalar

Comparable: TypeAlias = int | bytes | str
JS_SAFE = 2**53 - 1

_BOOL, _UUID, _BYTEA, _TIMESTAMP, _TIMESTAMPTZ, _DATE = 16, 2950, 17, 1114, 1184, 1082
_TEXT, _VARCHAR, _NAME, _BPCHAR = 25, 1043, 19, 1042
_INTEGERS = (20, 21, 23)
_FLOATS = (700, 701)
_JSON = (114, 3802)
_EXACT = (_BOOL, *_INTEGERS, 26, _UUID, _DATE, _TIMESTAMP, _TIMESTAMPTZ, 1083, _BYTEA)
_EXACT_TEXT = (_TEXT, _VARCHAR, _NAME)

_KINDS = {
    _BOOL: pb.COLUMN_TYPE_BOOL,
    20: pb.COLUMN_TYPE_INT,
    21: pb.COLUMN_TYPE_INT,
    23: pb.COLUMN_TYPE_INT,
    700: pb.COLUMN_TYPE_DOUBLE,
    701: pb.COLUMN_TYPE_DOUBLE,
    1700: pb.COLUMN_TYPE_DECIMAL,
    _TIMESTAMPTZ: pb.COLUMN_TYPE_TIMESTAMP,
    _DATE: pb.COLUMN_TYPE_DATE,
    _BYTEA: pb.COLUMN_TYPE_BYTES,
    114: pb.COLUMN_TYPE_JSON,
    3802: pb.COLUMN_TYPE_JSON,
}


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type, domains seen through.

    ``cast`` is its name as SQL. ``category`` and ``form`` are ``typcategory`` and ``typtype`` of
    pg_type, ``element`` the oid of an array's element. ``comparable``: it has an order.
    ``deterministic``: equal text is the same text; ``by_bytes``: text sorts by its bytes.
    """

    oid: int
    cast: str
    category: str
    form: str
    element: int
    comparable: bool
    deterministic: bool
    by_bytes: bool

    @property
    def kind(self) -> pb.ColumnType:
        """How the column's values look in a row's JSON."""
        if self.is_array or self.is_composite:
            return pb.COLUMN_TYPE_JSON
        return _KINDS.get(self.oid, pb.COLUMN_TYPE_STRING)

    @property
    def is_text(self) -> bool:
        """Whether patterns suit it."""
        return self.category == "S" and self.deterministic

    @property
    def is_integer(self) -> bool:
        """Whether it holds whole numbers of at most 64 bits."""
        return self.oid in _INTEGERS

    @property
    def is_number(self) -> bool:
        """Whether numbers of any kind compare with it by value."""
        return self.category == "N" and self.oid in (*_INTEGERS, *_FLOATS, 1700)

    @property
    def is_json(self) -> bool:
        """Whether a value of it is JSON text."""
        return self.oid in _JSON

    @property
    def is_array(self) -> bool:
        """Whether a value of it is an array."""
        return self.category == "A"

    @property
    def is_composite(self) -> bool:
        """Whether a value of it has fields."""
        return self.form == "c"

    @property
    def is_bytes(self) -> bool:
        """Whether it is binary."""
        return self.oid == _BYTEA

    @property
    def exact(self) -> bool:
        """Whether two values are equal exactly if PostgreSQL prints them alike."""
        if self.oid in _EXACT_TEXT:
            return self.deterministic
        return self.oid in _EXACT or self.form == "e"

    @property
    def order(self) -> Callable[[bytes], Comparable | None] | None:
        """A function from text to what sorts in Python as PostgreSQL sorts; None: not shared.

        The function returns None for a value whose place it does not know.
        """
        if self.oid in _INTEGERS:
            return int
        if self.oid in (_BOOL, _UUID):
            return bytes  # "f" < "t"; hexadecimal digits of one width
        if self.oid in (_TIMESTAMP, _TIMESTAMPTZ, _DATE):
            return _by_date
        if self.oid == _BYTEA:
            return _by_hex
        return bytes if self.oid in (_TEXT, _VARCHAR) and self.by_bytes else None

    def json_of(self, column: str) -> str:
        """Return the SQL of a row's member; ``column`` is SQL already."""
        if self.oid == _BYTEA:
            return _base64(column)
        if self.is_array and self.element == _BYTEA:
            inner = f"SELECT {_base64('e')} FROM pg_catalog.unnest({column}) WITH ORDINALITY"
            return f"CASE WHEN {column} IS NOT NULL THEN ARRAY({inner} AS u(e, n) ORDER BY n) END"
        return column

    @staticmethod
    def base64_of(value: bytes) -> str:
        """Return binary data as a row shows it."""
        return base64.b64encode(value).decode()

    def scalar(self, text: bytes | None) -> Scalar:
        """Return a value, of which PostgreSQL printed ``text``, as a member of a cursor.

        What JavaScript would not give back digit for digit is text.
        """
        if text is None:
            return None
        if self.oid in _INTEGERS:
            number = int(text)
            return number if -JS_SAFE <= number <= JS_SAFE else text.decode()
        if self.oid in _FLOATS:
            return _float(text)
        if self.oid == _BOOL:
            return text == b"t"
        if self.oid in (_TIMESTAMP, _TIMESTAMPTZ):
            return _iso(text.decode(), zone=self.oid == _TIMESTAMPTZ)
        if self.oid == _BYTEA:
            return bytes.fromhex(text[2:].decode())
        return text.decode("utf-8", "replace")


def _float(text: bytes) -> Scalar:
    number = float(text)
    return number if math.isfinite(number) else text.decode()


def _iso(text: str, *, zone: bool) -> str:
    """Return a time stamp in the form of RFC 3339, as PostgreSQL's own JSON has it."""
    era = text.endswith(" BC")
    plain = text.removesuffix(" BC")
    day, separator, hours = plain.partition(" ")
    if not separator:
        return text  # infinity
    if zone and hours.endswith("+00"):
        hours += ":00"
    return f"{day}T{hours}{' BC' * era}"


def _by_date(text: bytes) -> bytes | None:
    """Return a time stamp or date as text that sorts; only years of four digits do."""
    plain = text[4:5] == b"-" and not text.endswith(b"BC")
    return text.removesuffix(b"+00") if plain else None


def _by_hex(text: bytes) -> bytes:
    return bytes.fromhex(text[2:].decode())


def _base64(column: str) -> str:
    return f"pg_catalog.translate(pg_catalog.encode({column}, 'base64'), E'\\n', '')"
