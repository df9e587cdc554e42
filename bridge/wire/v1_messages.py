"""v1 messages: what a client is sent (docs/wire.md §5), `frames` apart (see `encodings`)."""

import json
from typing import Any

from bridge.core.errors import Failed, Kind
from bridge.core.gojson import encode_string


def frames_head(sub: str) -> bytes:
    """Print what a `frames` message has before the part that all viewers share."""
    return b'{"type":"frames","sub":%b,' % encode_string(sub)


def format_message(kind: str, **members: Any) -> bytes:
    """Print a message; members that are None are left out."""
    told = {key: member for key, member in members.items() if member is not None}
    return json.dumps({"type": kind, **told}, ensure_ascii=False, separators=(",", ":")).encode()


def error_members(failure: Failed, sub: str | None = None) -> dict[str, Any]:
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
