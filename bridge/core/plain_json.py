r"""Plain JSON: text that clients may be sent byte for byte, told in one pass.

Plain is JSON (RFC 8259) without white space outside its strings, without `\u` and without what is
escaped for HTML. Most rows are. What is not plain may still be JSON: then `gojson` judges it.

It is meant for the compiled build. Interpreted, msgspec is quicker.
"""

import contextlib
from typing import Final

with contextlib.suppress(ImportError):  # it is there while this is compiled, and not looked up then
    from mypy_extensions import i64

_COLON: Final = 0x3A
_COMMA: Final = 0x2C
_MINUS: Final = 0x2D
_PLUS: Final = 0x2B
_POINT: Final = 0x2E
_ZERO: Final = 0x30
_NINE: Final = 0x39
_EXPONENT: Final = 0x65
_SMALL: Final = 0x20
"""The bit that a small letter has and its capital has not."""
_ARRAY: Final = 0x5B
_OBJECT: Final = 0x7B
_TO_END: Final = 2
"""From what begins an array or an object to what ends it."""
_QUOTED: Final = 0x22
_NAMES: Final = {0x74: b"true", 0x66: b"false", 0x6E: b"null"}
_ESCAPED: Final = b'"\\/bfnrt'
_DEEPEST: Final = 60
"""Levels of what is plain: one bit of a number each."""

# What a byte is in a string: itself, its end, the beginning of an escape, of more than ASCII.
_ITSELF: Final = 0
_END: Final = 1
_ESCAPE: Final = 2
_WIDE: Final = 3
_NOT_PLAIN: Final = 4


def _kind(byte: int) -> int:
    if byte == _QUOTED:
        return _END
    if byte == ord("\\"):
        return _ESCAPE
    if byte < ord(" ") or byte in b"<>&\x7f\xe2":  # U+2028 begins with the last
        return _NOT_PLAIN
    return _ITSELF if byte < ord("\x80") else _WIDE


_KINDS: Final = bytes([_kind(byte) for byte in range(256)])


def is_plain_text(content: bytes) -> bool:
    """Return whether ASCII text is the content of its own JSON string."""
    at: i64 = 0
    end: i64 = len(content)
    while at < end:
        if _KINDS[content[at]]:
            return False
        at += 1
    return True


def is_plain(text: bytes) -> bool:
    """Return whether text is plain JSON in UTF-8."""
    try:
        return _is_plain(text)
    except (IndexError, UnicodeDecodeError):  # it ends too early; it is not UTF-8
        return False


def _is_plain(text: bytes) -> bool:  # noqa: C901, PLR0912 - one pass: calls would cost more than it
    at: i64 = 0
    depth: i64 = 0
    objects: i64 = 0  # a bit for each level, the innermost last: whether it is an object
    is_name = wide = False
    while True:
        byte: i64 = text[at]
        if byte == _QUOTED:
            at = _after_text(text, at + 1)
            if at <= 0:
                if not at:
                    return False
                wide, at = True, -at
            if is_name:
                if text[at] != _COLON:
                    return False
                at += 1
                is_name = False
                continue
        elif is_name:
            return False
        elif byte in (_OBJECT, _ARRAY):
            if depth == _DEEPEST:
                return False
            depth += 1
            is_name = byte == _OBJECT
            objects = objects << 1 | is_name
            at += 1
            if text[at] != byte + _TO_END:
                continue
        else:
            at = _after_scalar(text, at)
            if not at:
                return False
        # A value has ended. What holds it goes on, or ends with it.
        while depth:
            byte = text[at]
            at += 1
            if byte == _COMMA:
                break
            if byte != (_OBJECT if objects & 1 else _ARRAY) + _TO_END:
                return False
            depth -= 1
            objects >>= 1
        else:
            if wide:
                text.decode()
            return at == len(text)
        is_name = objects & 1 == 1


def _after_text(text: bytes, at: "i64") -> "i64":
    """Return where a string has ended; negative if it is not ASCII, 0 if it is not plain."""
    wide = False
    while True:
        kind: i64 = _KINDS[text[at]]
        at += 1
        if kind == _ITSELF:
            continue
        if kind == _END:
            return -at if wide else at
        if kind == _WIDE:
            wide = True
        elif kind == _ESCAPE and text[at] in _ESCAPED:
            at += 1
        else:
            return 0


def _after_scalar(text: bytes, at: "i64") -> "i64":
    """Return where a number or a name has ended, 0 if it is none."""
    byte: i64 = text[at]
    if byte > _NINE:
        return _after_name(text, at, _NAMES.get(byte, b""))
    end: i64 = len(text)
    if byte == _MINUS:
        at += 1
    if at < end and text[at] == _ZERO:  # no digit follows it
        at += 1
    else:
        at = _after_digits(text, at, end)
    if at and at < end and text[at] == _POINT:
        at = _after_digits(text, at + 1, end)
    if at and at < end and text[at] | _SMALL == _EXPONENT:
        at += 1
        if at < end and (text[at] == _PLUS or text[at] == _MINUS):
            at += 1
        at = _after_digits(text, at, end)
    return at


def _after_name(text: bytes, at: "i64", name: bytes) -> "i64":
    i: i64 = 0
    while i < len(name):
        if text[at] != name[i]:
            return 0
        at += 1
        i += 1
    return at if i else 0


def _after_digits(text: bytes, at: "i64", end: "i64") -> "i64":
    """Return where digits have ended, 0 if there are none."""
    begin = at
    while at < end:
        byte: i64 = text[at]
        if not _ZERO <= byte <= _NINE:
            break
        at += 1
    return at if at > begin else 0
