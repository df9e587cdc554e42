"""Commands: what a core client may say over its WebSocket (docs/wire.md §4)."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from .errors import Failed, Kind
from .query import LiveQuery
from .reader import MAX_BYTES, check_limit, check_size, integer, read, read_cursor, too_large
from .value import JsonError, Members, Value, fold, parse

_ENVELOPE = 1024
"""Bytes that a command may have around its query; more is refused before it is parsed."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Open the socket's subscription."""

    query: LiveQuery


@dataclass(frozen=True, slots=True)
class Reanchor:
    """Move the window. `cursor` None is the head, `limit` 0 keeps the size."""

    cursor: tuple[Value, ...] | None
    limit: int


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """End the subscription and the socket."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A later message that means nothing to core: an unknown action, a second subscribe."""


Command: TypeAlias = Subscribe | Reanchor | Unsubscribe | Ignored


def first(text: str, *, max_limit: int = 0) -> Subscribe:
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
    return Subscribe(read(members["query"], max_limit=max_limit))


def later(text: str, *, max_limit: int = 0) -> Command:
    """Read any message after the first.

    Raises:
        Failed: as `first`, when it is no command at all.

    """
    members = _members(text)
    if members["action"] == "unsubscribe":
        return Unsubscribe()
    if members["action"] == "reanchor":
        check_limit(members["limit"], max_limit)
        return Reanchor(members["cursor"], members["limit"])
    return Ignored()


def _members(text: str) -> dict[str, Any]:
    """Check the shape that every command has, whatever its action."""
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES + _ENVELOPE:
        raise too_large(size)
    try:
        tree = parse(text)
    except JsonError as error:
        raise _malformed("message", str(error)) from None
    if tree is None:  # the empty object, as in Go
        tree = Members([])
    if not isinstance(tree, Members):
        raise _malformed("message", "an object is needed")
    members = {fold(key): member for key, member in tree.pairs}
    action = members.get("action")
    if not isinstance(action, str | None):
        raise _malformed("action", "text is needed")
    limit = integer(members.get("limit"), "limit")
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
        read(query)
    except Failed as failure:
        if failure.kind is Kind.MALFORMED:
            raise


def _malformed(field: str, message: str) -> Failed:
    return Failed(Kind.MALFORMED, message, field=field)
