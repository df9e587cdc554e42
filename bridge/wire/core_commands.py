"""Core commands: what a core client may send over its WebSocket (docs/wire.md §4)."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from bridge.core.errors import Failed, Kind
from bridge.core.json_tree import JsonError, JsonObject, fold_key, parse_json
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
from bridge.core.value import Cursor

_MAX_ENVELOPE = 1024
"""Bytes that a command may have around its query. A larger message is refused unparsed."""


@dataclass(frozen=True, slots=True)
class CoreSubscribe:
    """Open the subscription of the socket."""

    query: LiveQuery


@dataclass(frozen=True, slots=True)
class CoreReanchor:
    """Move the window. `cursor` None is the head; `limit` 0 keeps the size."""

    cursor: Cursor
    limit: int


@dataclass(frozen=True, slots=True)
class CoreUnsubscribe:
    """End the subscription and close the socket."""


@dataclass(frozen=True, slots=True)
class CoreIgnored:
    """A later message that core ignores: an unknown action, or a second subscribe."""


CoreCommand: TypeAlias = CoreSubscribe | CoreReanchor | CoreUnsubscribe | CoreIgnored


@dataclass(frozen=True, slots=True)
class _Message:
    """The members of a command; `query` and `cursor` are trees that are not read yet."""

    size: int
    action: str
    limit: int
    query: Any
    cursor: Any


def parse_first_command(text: str, *, max_limit: int = 0) -> CoreSubscribe:
    """Parse the first message of a socket, which must be a subscribe.

    Raises:
        Failed: MALFORMED or BAD_QUERY (both 4500), or MESSAGE_TOO_LARGE (1009) for a query of more
            than 16 KiB.

    """
    message = _parse_message(text)
    if message.query is None:
        _check_first(message)
        raise _malformed("query", "a subscribe needs a query")
    try:
        query = query_from_tree(message.query)
    except Failed as failure:
        if failure.kind is not Kind.MALFORMED:
            # A wrong value is refused after a wrong type anywhere in the message.
            _check_first(message)
            # A limit above `max_limit` is refused before what follows it in a query.
            query_from_tree(message.query, max_limit=max_limit)
        raise
    _check_first(message)
    check_limit(query.limit, max_limit)
    return CoreSubscribe(query)


def _check_first(message: _Message) -> None:
    """Check a first message in all but the members of its query."""
    read_cursor(message.cursor)
    if message.action != "subscribe":
        raise _malformed("action", "the first message must be a subscribe")
    check_size(message.query, message_size=message.size)


def parse_command(text: str, *, max_limit: int = 0) -> CoreCommand:
    """Parse any message after the first.

    Raises:
        Failed: as `parse_first_command`, when the message is no command at all.

    """
    message = _parse_message(text)
    if message.query is not None:
        _check_query_types(message.query)
    cursor = read_cursor(message.cursor)
    if message.action == "unsubscribe":
        return CoreUnsubscribe()
    if message.action == "reanchor":
        check_limit(message.limit, max_limit)
        return CoreReanchor(cursor, message.limit)
    return CoreIgnored()


def _parse_message(text: str) -> _Message:
    """Parse the members that every command may have, whatever its action."""
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES + _MAX_ENVELOPE:
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
    return _Message(size, action or "", limit, members.get("query"), members.get("cursor"))


def _check_query_types(tree: Any) -> None:
    """Refuse a query with a member of the wrong type. A wrong value is accepted: it is ignored."""
    try:
        query_from_tree(tree)
    except Failed as failure:
        if failure.kind is Kind.MALFORMED:
            raise


def _malformed(field: str, message: str) -> Failed:
    return Failed(Kind.MALFORMED, message, field=field)
