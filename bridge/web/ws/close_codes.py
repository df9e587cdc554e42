"""Close codes and reasons (docs/wire.md §6; RFC 6455 §7.4)."""

from typing import Final

from bridge.live.observer import EndReason
from bridge.live.viewer import End

NORMAL: Final = 1000
_BROKEN: Final = 1011
_MAX_REASON: Final = 123
_CODES: Final = {
    EndReason.UNSUBSCRIBED: NORMAL,
    EndReason.COMPLETED: NORMAL,
    EndReason.STALLED: 4000,
    EndReason.EXPIRED: 4001,
    EndReason.DRAINED: 1001,
}


def close_code(end: End) -> int:
    """Return the code of the close frame for an end."""
    if end.failure is not None and end.reason is EndReason.FAILED:
        return end.failure.row.close
    return _CODES.get(end.reason, _BROKEN)


def close_reason(end: End) -> bytes:
    """Return the reason in UTF-8: at most 123 bytes, cut between characters."""
    text = end.failure.text() if end.failure is not None else ""
    return text.encode()[:_MAX_REASON].decode(errors="ignore").encode()
