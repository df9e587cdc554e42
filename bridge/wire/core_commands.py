"""Commands: what a core client may say over its WebSocket (docs/wire.md §4)."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.query_parser import (
    MAX_BYTES,
    check_limit,
    check_size,
    query_from_tree,
    query_too_large,
    read_cursor,
    read_int32,
)
from bridge.core.value import JsonError, JsonObject, Value, fold_key, parse_json

_ENVELOPE = 1024
"""Bytes that a command may have around its query; more is refused before it is parsed."""


@dataclass(frozen=True, slots=True)
class CoreSubscribe:
    """Open the socket's subscription."""

    query: LiveQuery


@dataclass(frozen=True, slots=True)
class CoreReanchor:
    """Move the window. `cursor` None is the head, `limit` 0 keeps the size."""

    cursor: tuple[Value, ...] | None
    limit: int


@dataclass(frozen=True, slots=True)
class CoreUnsubscribe:
    """End the subscription and the socket."""


@dataclass(frozen=True, slots=True)
class CoreIgnored:
    """A later message that means nothing to core: an unknown action, a second subscribe."""


CoreCommand: TypeAlias = CoreSubscribe | CoreReanchor | CoreUnsubscribe | CoreIgnored


def parse_first_command(text: str, *, max_limit: int = 0) -> CoreSubscribe:
    """Read a socket's first message.

    Raises:
        Failed: MALFORMED or BAD_QUERY (both 4500) when it is no good subscribe,
            MESSAGE_TOO_LARGE (1009) for a query beyond 16 KiB.

    """
    members = _members(text)
    if members["action"] != "subscribe":
        raise _malformed("action", "the first message must be a subscribe")
    if members.get("query") is None:
        raise _malformed("query", "a subscribe needs a query")
    check_size(members["query"])
    return CoreSubscribe(query_from_tree(members["query"], max_limit=max_limit))


def parse_command(text: str, *, max_limit: int = 0) -> CoreCommand:
    """Read any message after the first.

    Raises:
        Failed: as `parse_first_command`, when it is no command at all.

    """
    members = _members(text)
    if members["action"] == "unsubscribe":
        return CoreUnsubscribe()
    if members["action"] == "reanchor":
        check_limit(members["limit"], max_limit)
        return CoreReanchor(members["cursor"], members["limit"])
    return CoreIgnored()


def _members(text: str) -> dict[str, Any]:
    """Check the shape that every command has, whatever its action."""
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES + _ENVELOPE:
        raise query_too_large(size)
    try:
        tree = parse_json(text)
    except JsonError as error:
        raise _malformed("message", str(error)) from None
    if tree is None:  # the empty object, as in Go
        tree = JsonObject([])
    if not isinstance(tree, JsonObject):
        raise _malformed("message", "an object is needed")
    members = {fold_key(key): member for key, member in tree.pairs}
    action = members.get("action")
    if not isinstance(action, str | None):
        raise _malformed("action", "text is needed")
    limit = read_int32(members.get("limit"), "limit")
    if limit < 0:
        raise _malformed("limit", "a limit is not negative")
    query = members.get("query")
    if query is not None:
        _check_shape(query)
    cursor = read_cursor(members.get("cursor"))
    return {"action": action or "", "limit": limit, "cursor": cursor, "query": query}


def _check_shape(query: Any) -> None:
    """Refuse a query of the wrong types; one that is merely refused by its values is let pass."""
    try:
        query_from_tree(query)
    except Failed as failure:
        if failure.kind is Kind.MALFORMED:
            raise


def _malformed(field: str, message: str) -> Failed:
    return Failed(Kind.MALFORMED, message, field=field)
