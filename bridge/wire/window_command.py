"""WindowCommand: what a client asks of a window over plain HTTP (docs/wire.md §8)."""

from dataclasses import dataclass
from typing import Any

from bridge.core.errors import Failed, Kind
from bridge.core.json_tree import JsonError, JsonObject, fold_key, parse_json
from bridge.core.query import LiveQuery
from bridge.core.query_parser import check_size, parse_query, query_from_tree
from bridge.core.window import Rows

from .known_rows import read_known

MAX_BODY = 64 * 1024
"""Bytes of a body: a query of 16 KiB, and what the client knows."""
MAX_WAIT = 60
"""Seconds that an answer may be waited for."""


@dataclass(frozen=True, slots=True)
class WindowCommand:
    """A query, and what the client has of its window.

    `since` is a position, None where the client has none; `known` are its rows, None for none.
    """

    query: LiveQuery
    since: str | None = None
    known: Rows | None = None


def parse_window_body(body: bytes, *, max_limit: int) -> WindowCommand:
    """Parse a body: a LiveQuery, or one wrapped as the member `query`.

    A body is wrapped if it has that member, and none called `entity`.

    Raises:
        Failed: MESSAGE_TOO_LARGE, MALFORMED or BAD_QUERY, naming the field.

    """
    members = _wrapped_members(body)
    if members is None:
        return WindowCommand(parse_query(body, max_limit=max_limit))
    tree = members["query"]
    if tree is None:
        raise Failed(Kind.MALFORMED, "a query is needed", field="query")
    check_size(tree, message_size=len(body))
    since = members.get("since")
    if not isinstance(since, str | None):
        raise Failed(Kind.MALFORMED, "text is needed", field="since")
    query = query_from_tree(tree, max_limit=max_limit)
    return WindowCommand(query, since, read_known(members.get("known")))


def _wrapped_members(body: bytes) -> dict[str, Any] | None:
    """Return the members of a wrapped body; None where it is a LiveQuery, right or wrong."""
    try:
        tree = parse_json(body)
    except JsonError:
        return None  # the parser of queries says what is wrong
    if not isinstance(tree, JsonObject):
        return None
    members = {fold_key(key): member for key, member in tree.pairs}
    return members if "query" in members and "entity" not in members else None


def parse_wait(text: str) -> int:
    """Parse `wait`: whole seconds from 1 to `MAX_WAIT`. Raises Failed (MALFORMED)."""
    digits = text.isascii() and text.isdecimal() and len(text) < 10  # noqa: PLR2004 - enough
    if not digits or not 1 <= int(text) <= MAX_WAIT:
        message = f"whole seconds from 1 to {MAX_WAIT} are needed"
        raise Failed(Kind.MALFORMED, message, field="wait")
    return int(text)
