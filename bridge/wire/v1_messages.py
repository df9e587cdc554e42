"""v1 messages: what a client is sent (docs/wire.md §5). For `frames` see `encodings`, too."""

import json
from datetime import UTC, datetime
from math import floor
from typing import Any

from bridge.core.errors import Failed, Kind
from bridge.core.gojson import encode_string


def frames_prefix(sub: str) -> bytes:
    """Encode the members of a `frames` message that are the client's; `v1_ws_suffix` follows."""
    return b'{"type":"frames","sub":%b,' % encode_string(sub)


def format_message(kind: str, **members: Any) -> bytes:
    """Encode a message of type `kind`; members that are None are left out."""
    present = {key: member for key, member in members.items() if member is not None}
    return json.dumps({"type": kind, **present}, ensure_ascii=False, separators=(",", ":")).encode()


def rfc3339(seconds: float | None) -> str | None:
    """Return a time since the epoch as RFC 3339 has it, to the second below; None for None.

    It has the years 1 to 9999: a time beyond them is told as the first or the last of theirs.
    """
    if seconds is None:
        return None
    told = floor(max(_FIRST_TIME, min(seconds, _LAST_TIME)))
    return datetime.fromtimestamp(told, UTC).isoformat().replace("+00:00", "Z")


_FIRST_TIME = int(datetime.min.replace(tzinfo=UTC).timestamp())
_LAST_TIME = int(datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp())


def error_members(failure: Failed, sub: str | None = None) -> dict[str, Any]:
    """Return the members of an `error` message."""
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


_ENDED_REASONS = {
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
    """Return the `reason` of an `ended` message; `asked`: the client unsubscribed."""
    if failure is None:
        return "unsubscribed" if asked else "completed"
    return _ENDED_REASONS.get(failure.kind, "failed")
