"""JSON text parsed without loss: number digits, key order and repeated keys are kept.

A tree is `None`, `bool`, `str`, `JsonNumber`, `JsonObject`, or a list of trees.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 200
"""Levels of arrays and objects in one message. More than any query, fewer than Python's limit."""


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A JSON number as it was written. Its range is checked where it is used."""

    text: str


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object as its (key, tree) pairs, in order, repeated keys included."""

    pairs: list[tuple[str, Any]]


class JsonError(ValueError):
    """The text is not JSON (RFC 8259) in UTF-8, or is nested deeper than `MAX_DEPTH`."""


def _refuse_constant(name: str) -> Any:
    raise JsonError(f"{name} is not JSON")


# Keys are compared under case folding and the last repeat wins, so a dict would lose the order.
_decoder = json.JSONDecoder(
    object_pairs_hook=JsonObject,
    parse_int=JsonNumber,
    parse_float=JsonNumber,
    parse_constant=_refuse_constant,
)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_SHORT_ESCAPES = frozenset('"\\\b\f\n\r\t')


def parse_json(data: bytes | str) -> Any:
    """Parse strict JSON into a tree.

    Raises:
        JsonError: not UTF-8, not JSON, a byte order mark, a lone surrogate, or too deep.

    """
    try:
        text = (data if isinstance(data, bytes) else data.encode()).decode()
        tree = _decoder.decode(text)
    except UnicodeError as error:
        raise JsonError("not UTF-8") from error
    except RecursionError as error:
        raise JsonError("nested too deeply") from error
    except JsonError:
        raise
    except ValueError as error:
        raise JsonError(_syntax_message(text, error)) from error
    _check_tree(tree, MAX_DEPTH, surrogates=_SURROGATE_ESCAPE.search(text) is not None)
    return tree


def _syntax_message(text: str, error: ValueError) -> str:
    if text.startswith("\ufeff"):
        return "not JSON: it begins with a byte order mark (RFC 8259 §8.1)"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at character {error.pos}"
    return "not JSON"


def _check_tree(tree: Any, depth: int, *, surrogates: bool) -> None:
    """Refuse what the decoder accepts: depth and, if the text has surrogate escapes, lone ones."""
    if depth == 0:
        raise JsonError("nested too deeply")
    if isinstance(tree, str):
        if surrogates:
            _check_surrogates(tree)
    elif isinstance(tree, JsonObject):
        for key, member in tree.pairs:
            if surrogates:
                _check_surrogates(key)
            _check_tree(member, depth - 1, surrogates=surrogates)
    elif isinstance(tree, list):
        for member in tree:
            _check_tree(member, depth - 1, surrogates=surrogates)


def _check_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise JsonError("a lone surrogate is no text") from None


def format_tree(tree: Any) -> str:
    """Return a tree as compact JSON text, number digits and repeated keys as they were written."""
    if isinstance(tree, JsonNumber):
        return tree.text
    if isinstance(tree, list):
        return "[" + ",".join(map(format_tree, tree)) + "]"
    if isinstance(tree, JsonObject):
        members = (
            f"{json.dumps(key, ensure_ascii=False)}:{format_tree(m)}" for key, m in tree.pairs
        )
        return "{" + ",".join(members) + "}"
    return json.dumps(tree, ensure_ascii=False)


def compact_size(tree: Any) -> int:
    """Return the number of UTF-8 bytes of `format_tree(tree)`, without making that text."""
    if isinstance(tree, str):
        return _string_size(tree)
    if isinstance(tree, JsonNumber):
        return len(tree.text)
    if isinstance(tree, list):
        return 2 + sum(map(compact_size, tree)) + max(len(tree) - 1, 0)
    if isinstance(tree, JsonObject):
        pairs = tree.pairs
        members = sum(_string_size(key) + 1 + compact_size(member) for key, member in pairs)
        return 2 + members + max(len(pairs) - 1, 0)
    return 5 if tree is False else 4  # false, true, null


def _string_size(text: str) -> int:
    size = 2 + (len(text) if text.isascii() else len(text.encode()))
    for char in _ESCAPED.findall(text):
        size += 1 if char in _SHORT_ESCAPES else 5  # a backslash, or five characters of \u00xx
    return size


def fold_key(key: str) -> str:
    """Fold the case of a key as Go does: Unicode simple folding, one character for one."""
    if key.isascii():
        return key.lower()
    return "".join(f if len(f := c.casefold()) == 1 else c for c in key)
