r"""Frame: one change to a window, as the tier said it and as a browser sees it (docs/wire.md §2).

The bytes are those of Go's encoding/json with HTML escaping, as clients of the original gateway
know them. Encoding happens once per group, however many viewers there are.
"""

import json
import re
from collections.abc import Callable
from types import NoneType
from typing import Any

import msgspec

from .delta import NAMES, Op
from .value import Cursor, JsonText, Value


class UnreadableError(ValueError):
    """A delta that must not reach a client: its row is no JSON, or its id would break a line."""


_LINE_BREAKING = re.compile(r"[\r\n\0]")
# What no UTF-8 text has: bytes that were none come as these (PEP 383), and Go prints them so.
_SURROGATE = re.compile("[\ud800-\udfff]")
_STRING_OR_WHITE = re.compile(rb'("(?:[^"\\]++|\\.)*+")|[ \t\r\n]+', re.DOTALL)
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)
# The bytes that those begin with: to look for one byte costs a tenth of what a pattern does.
_LT, _GT, _AMP, _E2 = b"<>&\xe2"
_print_string = msgspec.json.Encoder().encode
NO_CURSOR = b'{"values":null}'


def quote(text: str) -> bytes:
    r"""Print a string: `< > &` as `\u003c \u003e \u0026`, U+2028/9 and controls escaped."""
    try:
        return _escape(_print_string(text))
    except UnicodeEncodeError:
        printed = _SURROGATE.sub(r"\\ufffd", json.dumps(text, ensure_ascii=False))
        return _escape(printed.encode())


def _escape(data: bytes) -> bytes:
    # Valid JSON has these only inside strings, so replacing them everywhere is right.
    if _LT in data or _GT in data or _AMP in data or _E2 in data:
        for plain, escaped in _ESCAPES:
            data = data.replace(plain, escaped)
    return data


def compact(row: bytes) -> bytes:
    """Pass a tier's JSON text through: white space out, `< > &` escaped, the rest untouched.

    Raises:
        UnreadableError: not JSON in UTF-8.

    """
    try:
        # Drops white space and nothing else, while it validates; but not that it is UTF-8.
        bare = msgspec.json.format(row, indent=-1)
        if not row.isascii():
            row.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        bare = _compact_slowly(row)
    return _escape(bare)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_slow_decoder = json.JSONDecoder(
    parse_int=str,
    parse_float=str,
    parse_constant=_refuse_constant,
    object_pairs_hook=lambda _: None,
)


def _compact_slowly(row: bytes) -> bytes:
    """Judge again what msgspec refuses: it is stricter than JSON on lone surrogates."""
    try:
        _slow_decoder.decode(row.decode())
    except UnicodeDecodeError as error:
        raise UnreadableError("a row that is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableError("a row that is not JSON") from error
    return _STRING_OR_WHITE.sub(rb"\1", row)


def number(value: float) -> bytes:
    """Print a double as Go and JavaScript do: exponent only below 1e-6 and from 1e21 on.

    Raises:
        UnreadableError: NaN or an infinity, which JSON has no word for.

    """
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN
        raise UnreadableError("a number that is not finite")
    if value == 0:
        return b"-0" if str(value)[0] == "-" else b"0"
    mantissa, _, exponent = repr(value).partition("e")
    sign = "-" if mantissa[0] == "-" else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    # The value is 0.digits times ten to the power of point.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if 1e-6 <= abs(value) < 1e21:  # noqa: PLR2004 - the range is the contract's
        return (sign + _fixed(digits, point)).encode()
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}".encode()


def _fixed(digits: str, point: int) -> str:
    if point <= 0:
        return "0." + "0" * -point + digits
    if point >= len(digits):
        return digits + "0" * (point - len(digits))
    return digits[:point] + "." + digits[point:]


def _json_text(value: JsonText) -> bytes:
    # The tier's bytes, UTF-8 or not, become text on the way in; here they are judged.
    return compact(value.text.encode(errors="surrogatepass"))


_PRINTERS: dict[type, Callable[[Any], bytes]] = {
    str: quote,
    int: b"%d".__mod__,
    float: number,
    bool: lambda value: b"true" if value else b"false",
    NoneType: lambda _: b"null",
    JsonText: _json_text,
}


def value_bytes(value: Value) -> bytes:
    """Print one cursor value."""
    return _PRINTERS[type(value)](value)


def cursor_bytes(cursor: Cursor) -> bytes:
    """Print a cursor: absent as `{"values":null}`, empty as `{"values":[]}`."""
    if cursor is None:
        return NO_CURSOR
    return b'{"values":[%b]}' % b",".join([_PRINTERS[type(value)](value) for value in cursor])


class Frame(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One change as clients see it: row and cursor are printed already, `data` is the FRAME.

    `op` is a plain number: what the schema does not list is passed through. Indexes are positions
    at that moment of a sequential apply, -1 is outside the window. `stream_id` names the source
    change; `at` is its time in seconds since the epoch, 0 when unknown. `data` is empty where the
    change must not reach a client.

    Frames compare by identity: the window's searches rely on it.
    """

    op: int
    agg_id: str
    version: int
    row: bytes
    cursor: bytes
    old_index: int
    new_index: int
    stream_id: str
    data: bytes
    at: float = 0.0

    @property
    def name(self) -> str:
        """The op as it is printed; one that the schema does not list is `delta`."""
        return NAMES[self.op] if 0 <= self.op < len(NAMES) else NAMES[0]


def encode(  # noqa: PLR0917 - the parts of the schema's LiveDelta, in its order
    op: int,
    agg_id: str = "",
    version: int = 0,
    row: bytes = b"",
    old_index: int = 0,
    new_index: int = 0,
    cursor: Cursor = None,
    stream_id: str = "",
    at: float = 0.0,
) -> Frame:
    """Print a delta, `row` being the tier's JSON text, empty for none.

    Of one that must not reach a client no `data` is printed: whoever meets it re-subscribes.
    """
    try:
        tail = _tail(stream_id) if stream_id else b"}"
        printed = cursor_bytes(cursor)
        row = compact(row) if row else b""
    except UnreadableError:
        return Frame(op, agg_id, version, b"", b"", old_index, new_index, stream_id, b"", at)
    data = _print(op, agg_id, version, row, printed, old_index, new_index, tail)
    return Frame(op, agg_id, version, row, printed, old_index, new_index, stream_id, data, at)


def make(  # noqa: PLR0917 - a frame has these parts, in this order
    op: int,
    agg_id: str,
    version: int,
    row: bytes,
    cursor: bytes,
    old_index: int,
    new_index: int,
    stream_id: str,
) -> Frame:
    """Build a frame around a row and cursor that are printed already.

    Raises:
        UnreadableError: a stream_id that would break a line.

    """
    tail = _tail(stream_id) if stream_id else b"}"
    data = _print(op, agg_id, version, row, cursor, old_index, new_index, tail)
    return Frame(op, agg_id, version, row, cursor, old_index, new_index, stream_id, data)


_HEADS = tuple(b'{"op":"%b"' % name.encode() for name in NAMES)
# What most frames have in common is printed in one go.
_WHOLE = b'%b,"agg_id":%b,"version":%d,"row":%b,"old_index":%d,"new_index":%d,"cursor":%b%b'
_SPARSE = b'%b%b%b%b,"old_index":%d,"new_index":%d,"cursor":%b%b'


def _print(  # noqa: PLR0917
    op: int,
    agg_id: str,
    version: int,
    row: bytes,
    cursor: bytes,
    old_index: int,
    new_index: int,
    tail: bytes,
) -> bytes:
    head = _HEADS[op] if 0 <= op < len(_HEADS) else _HEADS[0]
    if agg_id and version and row:
        return _WHOLE % (head, quote(agg_id), version, row, old_index, new_index, cursor, tail)
    agg_id_part = b',"agg_id":' + quote(agg_id) if agg_id else b""
    version_part = b',"version":%d' % version if version else b""
    row_part = b',"row":' + row if row else b""
    parts = (head, agg_id_part, version_part, row_part, old_index, new_index, cursor, tail)
    return _SPARSE % parts


def _tail(stream_id: str) -> bytes:
    printed = quote(stream_id)
    # As long as the text itself: nothing was escaped, so nothing can break a line.
    if len(printed) != len(stream_id) + 2 and _LINE_BREAKING.search(stream_id):
        raise UnreadableError("a stream_id that would break a line")
    return b',"stream_id":%b}' % printed


RESET = encode(Op.RESET)
