"""Deep JSON: checks JSON text of any depth, without recursion (RFC 8259).

Python's parsers give up at a depth that depends on how deep the caller is. Slow: only what they
give up on comes here.
"""

import re
from typing import Final

MAX_DEPTH: Final = 10_000
"""Levels of arrays and objects: more than that, Go's encoding/json refuses, too."""
_TOKEN: Final = re.compile(
    r'[ \t\n\r]*+(?:([\[\]{},:])|("(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+")'
    r"|(?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null))"
)
_VALUE, _FIRST_VALUE, _KEY, _FIRST_KEY, _COLON, _END = range(6)
"""What may come next: `_END` is a comma or the closing bracket."""


def is_json(text: str) -> bool:
    """Return whether a text is one JSON value, at most `MAX_DEPTH` deep."""
    closers: list[str] = []
    expected, at = _VALUE, 0
    while expected != _END or closers:
        match = _TOKEN.match(text, at)
        if match is None:
            return False
        at, mark = match.end(), match[1]
        if mark in ("[", "{") and expected in (_VALUE, _FIRST_VALUE):
            if len(closers) == MAX_DEPTH:
                return False
            closers.append("]" if mark == "[" else "}")
            expected = _FIRST_VALUE if mark == "[" else _FIRST_KEY
        elif mark is not None and closers and mark == closers[-1]:
            if expected not in (_END, _FIRST_VALUE, _FIRST_KEY):
                return False
            closers.pop()
            expected = _END
        else:
            following = _after(expected, mark, closers, is_string=match[2] is not None)
            if following is None:
                return False
            expected = following
    return not text[at:].strip(" \t\n\r")


def _after(expected: int, mark: str | None, closers: list[str], *, is_string: bool) -> int | None:
    """Return what may come after a scalar, a colon or a comma; None: it may not be here."""
    if mark is None:
        if expected in (_VALUE, _FIRST_VALUE):
            return _END
        return _COLON if is_string and expected in (_KEY, _FIRST_KEY) else None
    if mark == ":" and expected == _COLON:
        return _VALUE
    if mark == "," and expected == _END and closers:
        return _VALUE if closers[-1] == "]" else _KEY
    return None
