"""v1 commands: what a client may send (docs/wire.md §5)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from bridge.core.errors import Failed, Kind
from bridge.core.json_tree import JsonError, JsonObject, fold_key, parse_json
from bridge.core.query import LiveQuery
from bridge.core.query_parser import (
    check_limit,
    check_size,
    query_from_tree,
    read_cursor,
    read_int32,
)
from bridge.core.value import Cursor
from bridge.core.window import Rows

from .known_rows import read_known

SUBPROTOCOL = "livequery.v1"
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class V1Authenticate:
    """Use this credential from now on."""

    token: str


@dataclass(frozen=True, slots=True)
class V1Subscribe:
    """Open a subscription under the name that the client gives it.

    `resume` is a `pos`, empty for none. `known` are the rows that the client has, None for none.
    """

    sub: str
    query: LiveQuery
    resume: str
    known: Rows | None


@dataclass(frozen=True, slots=True)
class V1Reanchor:
    """Move a window. `cursor` None is the head; `limit` 0 keeps the size."""

    sub: str
    cursor: Cursor
    limit: int


@dataclass(frozen=True, slots=True)
class V1Unsubscribe:
    """End a subscription."""

    sub: str


@dataclass(frozen=True, slots=True)
class V1Ping:
    """Ask for a `pong`."""


V1Command: TypeAlias = V1Authenticate | V1Subscribe | V1Reanchor | V1Unsubscribe | V1Ping


class V1Message:
    """One text message of a client, parsed as JSON.

    `sub` is the subscription's name, for errors about this message; None if it has no valid one.
    """

    def __init__(self, text: str) -> None:
        """Parse the JSON of a message.

        Raises:
            Failed: MALFORMED if it is not JSON. This closes the socket.

        """
        try:
            tree = parse_json(text)
        except JsonError as error:
            raise Failed(Kind.MALFORMED, str(error), field="message") from None
        self._size = len(text.encode())
        self._is_object = isinstance(tree, JsonObject)
        pairs = tree.pairs if isinstance(tree, JsonObject) else []
        self._members = {fold_key(key): member for key, member in pairs}
        sub = self._members.get("sub")
        self.sub = sub if isinstance(sub, str) and len(sub) <= MAX_NAME else None

    def command(self, *, max_limit: int = 0) -> V1Command:
        """Parse the command.

        Raises:
            Failed: the command is refused with a v1 `error`; the socket stays open.

        """
        if not self._is_object:
            raise _malformed("message", "an object is needed")
        action = self._members.get("action")
        if not isinstance(action, str):
            raise _malformed("action", "text is needed")
        parse = _PARSERS.get(action)
        if parse is None:
            raise Failed(Kind.UNIMPLEMENTED, "no such action", field="action")
        return parse(self, max_limit)

    def _authenticate(self, _: int) -> V1Authenticate:
        token = self._members.get("token")
        if not isinstance(token, str) or not token:
            raise _malformed("token", "text is needed")
        return V1Authenticate(token)

    def _subscribe(self, max_limit: int) -> V1Subscribe:
        name = self._name()
        tree = self._members.get("query")
        if tree is None:
            raise _malformed("query", "a subscribe needs a query")
        check_size(tree, message_size=self._size)
        query = query_from_tree(tree, max_limit=max_limit)
        resume = self._members.get("resume")
        if not isinstance(resume, str | None):
            raise _malformed("resume", "text is needed")
        known = read_known(self._members.get("known"))
        return V1Subscribe(name, query, resume or "", known)

    def _reanchor(self, max_limit: int) -> V1Reanchor:
        name = self._name()
        limit = read_int32(self._members.get("limit"), "limit")
        if limit < 0:
            raise _malformed("limit", "a limit is not negative")
        check_limit(limit, max_limit)
        return V1Reanchor(name, read_cursor(self._members.get("cursor")), limit)

    def _unsubscribe(self, _: int) -> V1Unsubscribe:
        return V1Unsubscribe(self._name())

    def _ping(self, _: int) -> V1Ping:
        return V1Ping()

    def _name(self) -> str:
        if not self.sub:
            raise _malformed("sub", f"a name of 1 to {MAX_NAME} characters is needed")
        return self.sub


_PARSERS: dict[str, Callable[[V1Message, int], V1Command]] = {
    "authenticate": V1Message._authenticate,  # noqa: SLF001 - the table belongs to the class
    "subscribe": V1Message._subscribe,  # noqa: SLF001
    "reanchor": V1Message._reanchor,  # noqa: SLF001
    "unsubscribe": V1Message._unsubscribe,  # noqa: SLF001
    "ping": V1Message._ping,  # noqa: SLF001
}


def _malformed(field: str, message: str) -> Failed:
    return Failed(Kind.MALFORMED, message, field=field)
