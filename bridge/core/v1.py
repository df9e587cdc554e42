"""Protocol v1: what clients may say, and every message they are told (docs/wire.md §5)."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from .diff import known
from .errors import Failed, Kind
from .frame import Frame
from .gojson import quote
from .query import LiveQuery
from .reader import check_limit, check_size, integer, read, read_cursor
from .value import JsonError, Members, Number, Value, fold, parse

SUBPROTOCOL = "livequery.v1"
MAX_NAME = 64
MAX_KNOWN = 1000
MAX_SUBSCRIPTIONS = 64
_JS_SAFE = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Use this credential from now on."""

    token: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Open a subscription under the client's own name for it."""

    sub: str
    query: LiveQuery
    resume: str
    known: tuple[Frame, ...] | None


@dataclass(frozen=True, slots=True)
class Reanchor:
    """Move a window."""

    sub: str
    cursor: tuple[Value, ...] | None
    limit: int


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """End a subscription."""

    sub: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask for a sign of life."""


Command: TypeAlias = Authenticate | Subscribe | Reanchor | Unsubscribe | Ping


class Message:
    """One text message of a client's. `sub` is told back with every error about it."""

    def __init__(self, text: str) -> None:
        """Open a message.

        Raises:
            Failed: MALFORMED when it is no JSON at all; that closes the socket.

        """
        try:
            tree = parse(text)
        except JsonError as error:
            raise Failed(Kind.MALFORMED, str(error), field="message") from None
        self._object = isinstance(tree, Members)
        pairs = tree.pairs if isinstance(tree, Members) else []
        self._members = {fold(key): member for key, member in pairs}
        sub = self._members.get("sub")
        self.sub = sub if isinstance(sub, str) and len(sub) <= MAX_NAME else None

    def command(self, *, max_limit: int = 0) -> Command:
        """Read the command.

        Raises:
            Failed: what the client is told as `error`; the rest goes on.

        """
        if not self._object:
            raise _malformed("message", "an object is needed")
        action = self._members.get("action")
        if not isinstance(action, str):
            raise _malformed("action", "text is needed")
        reader = _READERS.get(action)
        if reader is None:
            raise Failed(Kind.UNIMPLEMENTED, "no such action", field="action")
        return reader(self, max_limit)

    def _text(self, name: str) -> str:
        text = self._members.get(name)
        if not isinstance(text, str) or not text:
            raise _malformed(name, "text is needed")
        return text

    def _name(self) -> str:
        if self.sub is None or not self.sub:
            raise _malformed("sub", f"a name of 1 to {MAX_NAME} characters is needed")
        return self.sub

    def _authenticate(self, _: int) -> Authenticate:
        return Authenticate(self._text("token"))

    def _subscribe(self, max_limit: int) -> Subscribe:
        name = self._name()
        tree = self._members.get("query")
        if tree is None:
            raise _malformed("query", "a subscribe needs a query")
        check_size(tree)
        query = read(tree, max_limit=max_limit)
        resume = self._members.get("resume")
        if not isinstance(resume, str | None):
            raise _malformed("resume", "text is needed")
        return Subscribe(name, query, resume or "", self._known())

    def _known(self) -> tuple[Frame, ...] | None:
        tree = self._members.get("known")
        if tree is None:
            return None
        pairs = tree.pairs if isinstance(tree, Members) else tree
        if not isinstance(pairs, list):
            raise _malformed("known", "a list of [agg_id, version] is needed")
        if len(pairs) > MAX_KNOWN:
            raise _malformed("known", f"at most {MAX_KNOWN} rows")
        return known(_pair(pair, at) for at, pair in enumerate(pairs))

    def _reanchor(self, max_limit: int) -> Reanchor:
        name = self._name()
        limit = integer(self._members.get("limit"), "limit")
        if limit < 0:
            raise _malformed("limit", "a limit is not negative")
        check_limit(limit, max_limit)
        return Reanchor(name, read_cursor(self._members.get("cursor")), limit)

    def _unsubscribe(self, _: int) -> Unsubscribe:
        return Unsubscribe(self._name())

    def _ping(self, _: int) -> Ping:
        return Ping()


_READERS: dict[str, Callable[[Message, int], Command]] = {
    "authenticate": Message._authenticate,  # noqa: SLF001 - the table belongs to the class
    "subscribe": Message._subscribe,  # noqa: SLF001
    "reanchor": Message._reanchor,  # noqa: SLF001
    "unsubscribe": Message._unsubscribe,  # noqa: SLF001
    "ping": Message._ping,  # noqa: SLF001
}


def _pair(pair: Any, at: int) -> tuple[str, int]:
    if not isinstance(pair, list | tuple) or not pair or not isinstance(pair[0], str):
        raise _malformed(f"known[{at}]", "[agg_id, version] is needed")
    number = pair[1] if len(pair) > 1 else None
    if isinstance(number, Number) and number.text.lstrip("-").isdecimal() and len(number.text) < 20:  # noqa: PLR2004 - no int64 has more digits
        version = int(number.text)
        # What JavaScript can't have kept exactly is as good as unknown.
        return pair[0], version if -_JS_SAFE <= version <= _JS_SAFE else 0
    return pair[0], 0


def _malformed(field: str, message: str) -> Failed:
    return Failed(Kind.MALFORMED, message, field=field)


# ---------------------------------------------------------------- what clients are told


def frames_head(sub: str) -> bytes:
    """Print what a `frames` message has before the part that all viewers share."""
    return b'{"type":"frames","sub":%b,' % quote(sub)


def notice(kind: str, **members: Any) -> bytes:
    """Print a message; members that are None are left out."""
    told = {key: member for key, member in members.items() if member is not None}
    return json.dumps({"type": kind, **told}, ensure_ascii=False, separators=(",", ":")).encode()


def error(failure: Failed, sub: str | None = None) -> dict[str, Any]:
    """Return the members of an `error`."""
    after = failure.retry_after
    return {
        "sub": sub,
        "code": failure.code,
        "status": failure.row.status,
        "message": failure.message,
        "field": failure.field,
        "retryable": failure.row.retryable,
        "retry_after_ms": None if after is None else round(after * 1000),
    }


_ENDED = {
    Kind.UNAUTHENTICATED: "denied",
    Kind.DENIED: "denied",
    Kind.EXPIRED: "denied",
    Kind.UNAVAILABLE: "unavailable",
    Kind.DEADLINE: "unavailable",
    Kind.BROKEN: "unavailable",
    Kind.DRAINING: "unavailable",
    Kind.QUOTA: "unavailable",
}


def ended_reason(failure: Failed | None, *, asked: bool) -> str:
    """Say in v1's words why a subscription ended; `asked`: the client wanted it so."""
    if failure is None:
        return "unsubscribed" if asked else "completed"
    return _ENDED.get(failure.kind, "failed")
