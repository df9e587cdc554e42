"""Peer: what is known of one replica over all its connections.

Invariants: the same complaint is logged once per replica, however many connections or calls meet
it; pings only get rarer.
"""

import logging
from collections.abc import Hashable

from .keepalive import Keepalive

logger = logging.getLogger(__name__)

TOO_MANY_PINGS = b"too_many_pings"
"""The debug data of a GOAWAY that punishes pings (gRFC A8)."""
MAX_PING_AFTER = 3600.0
"""Seconds of silence before a ping, at most, however often they were punished."""
_MAX_DEBUG_DATA = 100
"""Bytes of a GOAWAY's debug data that are logged."""


class Peer:
    """A replica, as its connections know it. `keepalive` is for the next connection."""

    def __init__(self, name: str, keepalive: Keepalive) -> None:
        self.name = name
        self.keepalive = keepalive
        self._said: set[Hashable] = set()

    def warn_once(self, key: Hashable, text: str) -> None:
        """Log a WARNING line about the replica, once per key."""
        if key not in self._said:
            self._said.add(key)
            logger.warning("tier %s: %s", self.name, text)

    def on_goaway(self, error: int, debug_data: bytes, used: Keepalive) -> None:
        """Note that it ends a connection with an error; `used` is that connection's keepalive.

        If it punishes pings, the interval is doubled (gRFC A8). Several connections that are
        punished at once double it once.
        """
        doubled = debug_data == TOO_MANY_PINGS
        if doubled:
            after = min(max(2 * used.ping_after, self.keepalive.ping_after), MAX_PING_AFTER)
            self.keepalive = Keepalive(ping_after=after, timeout=used.timeout)
        said = debug_data[:_MAX_DEBUG_DATA].decode("ascii", "backslashreplace")
        self.warn_once(
            ("goaway", error, doubled),
            f"it ends connections with HTTP/2 error {error}"
            + (f", {said!r}" if said else "")
            + ("; pings become rarer until it accepts them" if doubled else ""),
        )
