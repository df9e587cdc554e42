"""Why a client's stream ends."""

import enum
from dataclasses import dataclass

from bridge.core.errors import Failed


class EndReason(enum.StrEnum):
    """Why a stream ended, as metrics and logs name it. Every stream ends with exactly one."""

    CLIENT_GONE = "client_gone"
    UNSUBSCRIBED = "unsubscribed"
    COMPLETED = "completed"
    STALLED = "stalled"
    EXPIRED = "expired"
    DRAINED = "drained"
    AGED = "aged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class End:
    """Why a stream ended. `failure` is what the client is told, None where it is told nothing."""

    reason: EndReason
    failure: Failed | None = None
