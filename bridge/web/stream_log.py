"""Journal: what the web floor counts of its clients, and the line each stream leaves in the log.

Counts are plain integers, read by whoever prints them. A stream that had begun leaves one line
when it ends: at `info` where the bridge or the tier cut it, at `debug` where all went as the
client or the operator wished. A refusal leaves one at `debug`.
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


def request_id(request: web.Request) -> str:
    """Return what a request is called in logs and in its answer.

    The client's own X-Request-Id if that is 1 to 128 characters of visible ASCII, else a new one.
    """
    known: str | None = request.get(REQUEST_ID)
    if known is None:
        known = request[REQUEST_ID] = request_id_of(request.headers)
    return known


def request_id_of(headers: CIMultiDictProxy[str]) -> str:
    """Name a request that is seen for the first time."""
    asked = headers.get("X-Request-Id")
    if asked is not None and _VISIBLE.fullmatch(asked):
        return asked
    return new_request_id()


def new_request_id() -> str:
    """Make a name for a request that came without one."""
    return f"{random.getrandbits(64):016x}"


class ClientProtocol(NamedTuple):
    """How a client is spoken to, as metrics label it."""

    transport: str
    """`sse` or `ws`."""
    protocol: str
    """`core` or `v1`."""


CORE_SSE, V1_SSE = ClientProtocol("sse", "core"), ClientProtocol("sse", "v1")
CORE_WS, V1_WS = ClientProtocol("ws", "core"), ClientProtocol("ws", "v1")
CLIENT_PROTOCOLS = (CORE_SSE, V1_SSE, CORE_WS, V1_WS)


class StreamLog:
    """One per bridge."""

    def __init__(self) -> None:
        self.open: Counter[tuple[str, ...]] = Counter(dict.fromkeys(CLIENT_PROTOCOLS, 0))
        """Open streams (SSE) and sockets (WebSocket) by transport and protocol."""
        self.refused: Counter[tuple[str, ...]] = Counter()
        """Failures that clients were told, by transport and kind."""

    def refuse(self, name: str, transport: str, failure: Failed) -> None:
        """Take note that a client was told a failure; `name` is that of its request."""
        self.refused[transport, failure.kind.name.lower()] += 1
        if logger.isEnabledFor(logging.DEBUG):
            fields = {
                "request": name,
                "transport": transport,
                "status": failure.row.status,
                "code": failure.code,
                "detail": failure.text(),
            }
            logger.debug("refused", extra={"fields": fields})

    def ended(
        self,
        name: str,
        protocol: ClientProtocol,
        *,
        entity: str,
        end: End,
        seconds: float,
        frames: int,
    ) -> None:
        """Take note that a stream that had begun is over."""
        level = logging.INFO if end.reason in _CUT else logging.DEBUG
        if not logger.isEnabledFor(level):
            return
        fields: dict[str, str | int | float] = {
            "request": name,
            "transport": f"{protocol.transport}/{protocol.protocol}",
            "entity": entity,
            "reason": str(end.reason),
            "seconds": round(seconds, 3),
            "frames": frames,
        }
        if end.failure is not None and end.reason is EndReason.FAILED:
            fields["detail"] = end.failure.text()
        logger.log(level, "stream ended", extra={"fields": fields})
