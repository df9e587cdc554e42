"""StreamLog: counts of clients and refusals, and a log line for each stream.

Counts are plain integers, read by the metrics. A stream that had started is logged when it ends: at
`info` where the bridge or the tier cut it, at `debug` where the client or the operator ended it. A
refusal is logged at `debug`.
"""

import logging
import random
import re
from collections import Counter
from typing import NamedTuple

from aiohttp import web
from multidict import CIMultiDictProxy

from bridge.core.errors import Failed
from bridge.live.stream_end import End, EndReason

logger = logging.getLogger("bridge.streams")

REQUEST_ID = web.RequestKey("request_id", str)
_VISIBLE = re.compile(r"[!-~]{1,128}")
_CUT = frozenset([EndReason.STALLED, EndReason.EXPIRED, EndReason.FAILED])


def request_id(request: web.BaseRequest) -> str:
    """Return the id of a request, as logs and the response have it.

    The client's own X-Request-Id if that is 1 to 128 characters of visible ASCII, else a new one.
    """
    known: str | None = request.get(REQUEST_ID)
    if known is None:
        known = request[REQUEST_ID] = request_id_of(request.headers)
    return known


def request_id_of(headers: CIMultiDictProxy[str]) -> str:
    """Return the id of a request that is seen for the first time."""
    sent = headers.get("X-Request-Id")
    if sent is not None and _VISIBLE.fullmatch(sent):
        return sent
    return new_request_id()


def new_request_id() -> str:
    """Make an id for a request that came without one."""
    return f"{random.getrandbits(64):016x}"


class ClientProtocol(NamedTuple):
    """Transport and protocol of a client, as metrics label them."""

    transport: str
    """`sse`, `ws` or `http`."""
    protocol: str
    """`core`, `v1` or `window`."""


CORE_SSE, V1_SSE = ClientProtocol("sse", "core"), ClientProtocol("sse", "v1")
CORE_WS, V1_WS = ClientProtocol("ws", "core"), ClientProtocol("ws", "v1")
WINDOW = ClientProtocol("http", "window")
"""One answer and no stream; it counts as one while it is awaited."""
CLIENT_PROTOCOLS = (CORE_SSE, V1_SSE, CORE_WS, V1_WS, WINDOW)

LIMITS = (
    "connections",
    "connections_per_ip",
    "connections_per_identity",
    "accept_rate",
    "accept_rate_per_ip",
    "memory",
    "subscriptions_per_socket",
    "subscriptions_per_identity",
    "queries",
    "queries_per_identity",
    "commands",
    "rows",
    "conditions",
    "entities",
    "revocations",
)
"""Names of limits, as `Failed.limit` and metrics have them: those of the options, without `max`."""


class StreamLog:
    """One per bridge."""

    def __init__(self) -> None:
        self.open: Counter[tuple[str, ...]] = Counter(dict.fromkeys(CLIENT_PROTOCOLS, 0))
        """Open streams (SSE) and sockets (WebSocket) by transport and protocol."""
        self.refused: Counter[tuple[str, ...]] = Counter()
        """Failures reported to clients, by transport and kind."""
        self.limited: Counter[tuple[str, ...]] = Counter({(name,): 0 for name in LIMITS})
        """Requests and commands over a limit, by its name."""

    def log_refusal(self, request_id: str, transport: str, failure: Failed) -> None:
        """Count and log a failure reported to a client."""
        self.refused[transport, failure.kind.name.lower()] += 1
        if failure.limit is not None:
            self.limited[failure.limit,] += 1
        if logger.isEnabledFor(logging.DEBUG):
            fields = {
                "request": request_id,
                "transport": transport,
                "status": failure.row.status,
                "code": failure.code,
                "detail": failure.text(),
            }
            logger.debug("refused", extra={"fields": fields})

    def log_end(
        self,
        request_id: str,
        protocol: ClientProtocol,
        *,
        entity: str,
        end: End,
        seconds: float,
        frames: int,
    ) -> None:
        """Log the end of a stream that had started."""
        level = logging.INFO if end.reason in _CUT else logging.DEBUG
        if not logger.isEnabledFor(level):
            return
        fields: dict[str, str | int | float] = {
            "request": request_id,
            "transport": f"{protocol.transport}/{protocol.protocol}",
            "entity": entity,
            "reason": str(end.reason),
            "seconds": round(seconds, 3),
            "frames": frames,
        }
        if end.failure is not None and end.reason is EndReason.FAILED:
            fields["detail"] = end.failure.text()
        logger.log(level, "stream ended", extra={"fields": fields})
