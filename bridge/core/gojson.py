r"""Go's JSON: rows, strings, numbers and cursors as encoding/json prints them with HTML escaping.

Clients of the original gateway know these bytes. The `bare_…` functions leave the escaping to their
caller, who does it once for a whole frame: mostly there is nothing to escape, and to find that out
costs as much as to print a string.
"""

import json
import re
from collections.abc import Callable
from types import NoneType
from typing import Any

import msgspec

from .value import Cursor, JsonText, Value


class UnreadableError(ValueError):
    """What must not reach a client: no JSON, no finite number, or a name that breaks a line."""


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
NO_CURSOR = b'{"values":null}'


def escape(data: bytes) -> bytes:
    r"""Spell `< > &` and U+2028/9 in valid JSON `\u003c` and so on; without them, return `data`."""
    # Valid JSON has these only inside strings, so replacing them everywhere is right.
    if _LT in data or _GT in data or _AMP in data or _E2 in data:
        for plain, escaped in _ESCAPES:
            data = data.replace(plain, escaped)
    return data


def quote(text: str) -> bytes:
    """Print a string."""
    return escape(unescaped_plain(text))


encode_plain = msgspec.json.Encoder().encode
"""Prints as `unescaped_plain` does, or stumbles."""
strip = msgspec.json.format
"""With `indent=-1`, drops white space and nothing else while it validates, or stumbles.

That its text is UTF-8 it leaves to the caller."""
ENCODE_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What those raise where a `bare_…` function may know better."""


def unescaped_plain(value: Value | Cursor) -> bytes:
    """Print a string, integer, boolean, null, or a cursor of these, but for the escaping."""
    try:
        return encode_plain(value)
    except UnicodeEncodeError:
        printed = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return _SURROGATE.sub(r"\\ufffd", printed).encode()


def unescaped_row(row: bytes) -> bytes:
    """Pass a tier's JSON text through: white space out, the rest untouched, but for the escaping.

    Raises:
        UnreadableError: not JSON in UTF-8.

    """
    try:
        bare = strip(row, indent=-1)
        if not row.isascii():
            row.decode()
    except ENCODE_ERRORS:
        return _bare_row_slowly(row)
    return bare


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_slow_decoder = json.JSONDecoder(
    parse_int=str,
    parse_float=str,
    parse_constant=_refuse_constant,
    object_pairs_hook=lambda _: None,
)


def _bare_row_slowly(row: bytes) -> bytes:
    """Judge again what msgspec refuses: it is stricter than JSON on lone surrogates."""
    try:
        _slow_decoder.decode(row.decode())
    except UnicodeDecodeError as error:
        raise UnreadableError("a row that is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableError("a row that is not JSON") from error
    return _STRING_OR_WHITE.sub(rb"\1", row)


def format_number(value: float) -> bytes:
    """Print a double as Go and JavaScript do: exponent only below 1e-6 and from 1e21 on.

    Raises:
        UnreadableError: NaN or an infinity, which JSON has no word for.

    """
    if 1e-4 <= abs(value) < 1e16:  # noqa: PLR2004 - where Python prints as they do, but for 1.0
        return repr(value).removesuffix(".0").encode()
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


def _bare_json_text(value: JsonText) -> bytes:
    # The tier's bytes, UTF-8 or not, become text on the way in; here they are judged.
    return unescaped_row(value.text.encode(errors="surrogatepass"))


_PRINTERS: dict[type, Callable[[Any], bytes]] = {
    str: unescaped_plain,
    int: unescaped_plain,
    float: format_number,
    bool: unescaped_plain,
    NoneType: unescaped_plain,
    JsonText: _bare_json_text,
}
_PLAIN = frozenset(kind for kind, printer in _PRINTERS.items() if printer is unescaped_plain)


def unescaped_cursor(cursor: Cursor) -> bytes:
    """Print a cursor, but for the escaping: absent as `{"values":null}`, empty as `{"values":[]}`.

    Raises:
        UnreadableError: a number that is not finite, or JSON text that is none.

    """
    if cursor is None:
        return NO_CURSOR
    for value in cursor:  # a loop: `all` or a set's method costs as much as all the rest
        if type(value) not in _PLAIN:
            break
    else:
        return b'{"values":%b}' % unescaped_plain(cursor)
    return b'{"values":[%b]}' % b",".join([_PRINTERS[type(value)](value) for value in cursor])
