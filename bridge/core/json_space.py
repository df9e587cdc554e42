"""JSON space: whether JSON text has white space outside its strings (RFC 8259 §2)."""

import contextlib
from typing import Final

from .build import IS_COMPILED

with contextlib.suppress(ImportError):  # it is there while this is compiled, and not looked up then
    from mypy_extensions import i64

_LF: Final = 0x0A
_TAB: Final = 0x09
_CR: Final = 0x0D
_SPACE: Final = 0x20


def may_have_space(text: bytes) -> bool:
    """Return whether valid JSON may have white space outside its strings.

    Interpreted, a space anywhere is enough: to look where it is takes longer than to remove it.
    """
    if _SPACE in text:
        return not IS_COMPILED or has_space(text)
    return _LF in text or _TAB in text or _CR in text  # a string can't contain them


def has_space(text: bytes) -> bool:
    """Return whether valid JSON has white space outside its strings."""
    at: i64 = 0
    end: i64 = len(text)
    in_string = False
    while at < end:
        byte: i64 = text[at]
        if byte == 0x22:  # noqa: PLR2004 - a quote
            in_string = not in_string
        elif byte == 0x5C:  # noqa: PLR2004 - a backslash, which is in a string
            at += 1
        elif byte <= 0x20 and not in_string:  # noqa: PLR2004 - white space
            return True
        at += 1
    return False
