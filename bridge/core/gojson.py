r"""Go's JSON: rows, strings, numbers and cursors as encoding/json encodes them, HTML escaping on.

Clients of the original gateway depend on these bytes. The `unescaped_…` functions leave the
escaping to their caller, who does it once per frame: most frames have nothing to escape, and the
search for it costs as much as encoding a string.
"""

import json
import re
from collections.abc import Callable
from types import NoneType
from typing import Any, Final

import msgspec

from .deep_json import is_json
from .json_space import may_have_space
from .value import Cursor, JsonText, Value


class UnreadableError(ValueError):
    """Data that must not reach a client: not JSON, not finite, or a stream_id with a line break."""


# Bytes that are not UTF-8 are decoded to surrogates (PEP 383). Go writes U+FFFD for them.
_SURROGATE = re.compile(f"[{chr(0xD800)}-{chr(0xDFFF)}]")
_STRING_OR_WHITE = re.compile(rb'("(?:[^"\\]++|\\.)*+")|[ \t\r\n]+', re.DOTALL)
_ESCAPES: Final = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)
# Their first bytes. A search for one byte costs a tenth of a regular expression.
_LT: Final = 0x3C
_GT: Final = 0x3E
_AMP: Final = 0x26
_E2: Final = 0xE2
NO_CURSOR: Final = b'{"values":null}'


def escape(data: bytes) -> bytes:
    r"""Escape `< > &` and U+2028/9 in valid JSON as `\u003c` etc.; return `data` if it has none."""
    # Valid JSON has these inside strings only, so they can be replaced anywhere.
    if _LT in data or _GT in data or _AMP in data or _E2 in data:
        for plain, escaped in _ESCAPES:
            data = data.replace(plain, escaped)
    return data


def encode_string(text: str) -> bytes:
    """Encode a string."""
    return escape(unescaped_plain(text))


encode_fast: Final = msgspec.json.Encoder().encode
"""As `unescaped_plain`, but raises FAST_ERRORS for a string with surrogates."""
FAST_ERRORS: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What the fast functions raise where an `unescaped_…` function may succeed."""
_format: Final = msgspec.json.format
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode


def compact_fast(text: bytes) -> bytes:
    """Validate JSON and remove white space; raises FAST_ERRORS.

    It does not check that the text is UTF-8.
    """
    if may_have_space(text):
        return _format(text, indent=-1)
    _check(text)  # which takes an eighth of the time, for nothing is written
    return text


def unescaped_plain(value: Value | Cursor) -> bytes:
    """Encode a string, integer, boolean or null, or a cursor's tuple of these."""
    try:
        return encode_fast(value)
    except UnicodeEncodeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return _SURROGATE.sub(r"\\ufffd", text).encode()


def unescaped_row(row: bytes) -> bytes:
    """Remove white space from a tier's JSON text; all else stays byte for byte.

    Raises:
        UnreadableError: not JSON in UTF-8.

    """
    try:
        compact = compact_fast(row)
        if not row.isascii():
            row.decode()
    except FAST_ERRORS:
        return _unescaped_row_slowly(row)
    return compact


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_slow_decoder = json.JSONDecoder(
    parse_int=str,
    parse_float=str,
    parse_constant=_refuse_constant,
    object_pairs_hook=lambda _: None,
)


def _unescaped_row_slowly(row: bytes) -> bytes:
    """Check again what msgspec refuses: JSON allows lone surrogates, msgspec does not."""
    try:
        _slow_decoder.decode(row.decode())
    except UnicodeDecodeError as error:
        raise UnreadableError("a row that is not UTF-8") from error
    except RecursionError as error:
        if not is_json(row.decode()):
            raise UnreadableError("a row that is not JSON") from error
    except ValueError as error:
        raise UnreadableError("a row that is not JSON") from error
    return _STRING_OR_WHITE.sub(rb"\1", row)


def encode_float(value: float) -> bytes:
    """Encode a double as Go and JavaScript do: an exponent only below 1e-6 and from 1e21 on.

    Raises:
        UnreadableError: NaN or an infinity, which JSON can't express.

    """
    if 1e-4 <= abs(value) < 1e16:  # noqa: PLR2004 - here Python's form differs in `1.0` only
        return repr(value).removesuffix(".0").encode()
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN
        raise UnreadableError("a number that is not finite")
    if value == 0:
        return b"-0" if str(value)[0] == "-" else b"0"
    mantissa, _, exponent = repr(value).partition("e")
    sign = "-" if mantissa[0] == "-" else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    # The value is 0.digits times ten to the power of `point`.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if 1e-6 <= abs(value) < 1e21:  # noqa: PLR2004 - the range of docs/wire.md §2
        return (sign + _fixed_point(digits, point)).encode()
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}".encode()


def _fixed_point(digits: str, point: int) -> str:
    if point <= 0:
        return "0." + "0" * -point + digits
    if point >= len(digits):
        return digits + "0" * (point - len(digits))
    return digits[:point] + "." + digits[point:]


def _unescaped_json_text(value: JsonText) -> bytes:
    # The tier's bytes, valid UTF-8 or not, are decoded on receipt and validated here.
    return unescaped_row(value.text.encode(errors="surrogatepass"))


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    str: unescaped_plain,
    int: unescaped_plain,
    float: encode_float,
    bool: unescaped_plain,
    NoneType: unescaped_plain,
    JsonText: _unescaped_json_text,
}
_PLAIN = frozenset(kind for kind, encoder in _ENCODERS.items() if encoder is unescaped_plain)


def unescaped_cursor(cursor: Cursor) -> bytes:
    """Encode a cursor: None as `{"values":null}`, the empty tuple as `{"values":[]}`.

    Raises:
        UnreadableError: a number that is not finite, or `JsonText` that is not JSON.

    """
    if cursor is None:
        return NO_CURSOR
    for value in cursor:  # a loop: `all` or a set's method costs as much as the encoding
        if type(value) not in _PLAIN:
            break
    else:
        return b'{"values":%b}' % unescaped_plain(cursor)
    return b'{"values":[%b]}' % b",".join([_ENCODERS[type(value)](value) for value in cursor])
