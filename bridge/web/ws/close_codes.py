"""Close codes and reasons (docs/wire.md §6; RFC 6455 §7.4)."""

from typing import Final

from bridge.core.errors import FAILURES, Kind
from bridge.live.stream_end import End, EndReason
from bridge.wire.websocket import CLOSE_GOING_AWAY, CLOSE_INTERNAL_ERROR, CLOSE_NORMAL

_MAX_REASON: Final = 123
_CODES: Final = {
    EndReason.UNSUBSCRIBED: CLOSE_NORMAL,
    EndReason.COMPLETED: CLOSE_NORMAL,
    EndReason.STALLED: FAILURES[Kind.TOO_SLOW].close_code,
    EndReason.EXPIRED: FAILURES[Kind.EXPIRED].close_code,
    EndReason.DRAINED: CLOSE_GOING_AWAY,
    EndReason.AGED: CLOSE_GOING_AWAY,
}


def close_code(end: End) -> int:
    """Return the code of the close frame for an end."""
    if end.failure is not None and end.reason is EndReason.FAILED:
        return end.failure.row.close_code
    return _CODES.get(end.reason, CLOSE_INTERNAL_ERROR)


def close_reason(end: End) -> bytes:
    """Return the reason in UTF-8: at most 123 bytes, cut between characters."""
    text = end.failure.text() if end.failure is not None else ""
    return text.encode()[:_MAX_REASON].decode(errors="ignore").encode()
