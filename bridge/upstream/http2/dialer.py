"""Dialer: connects to a replica, over TCP, TLS or a Unix socket; for every kind of call.

Invariants: proxies of the environment (`http_proxy` and its kin) are not used. A name is resolved
at each connection. An address that accepted a connection and did not answer is tried last for a
while: the process behind it may hang.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any, Final

from bridge.core.address import ReplicaAddress
from bridge.live.flush_scheduler import FlushScheduler
from bridge.upstream.resolver import Lookup, lookup, resolve

from .connection import CLOSE_TIMEOUT, Http2Connection
from .gather_interval import GatherInterval
from .happy_eyeballs import connect_first, interleaved
from .peer import Peer

AVOID_SECONDS: Final = 30.0
"""Seconds for which other addresses of a name are preferred to one that did not answer."""


class Dialer:
    """Makes connections.

    Args:
        read_interval: seconds between two reads of a busy connection, at most; 0 for no wait.
        ssl_context: returns the context for the next connection; None for clear text.
        server_name: the name that the replica's certificate must hold, and the authority of
            requests; None for the name that the replica is reached by.
        flush_scheduler: runs what reads make due; None if they make nothing due.
        lookup: resolves a name.
        cpu_time: the CPU seconds that the process has used.

    """

    def __init__(
        self,
        *,
        read_interval: float = 0.0,
        ssl_context: Callable[[], ssl.SSLContext] | None = None,
        server_name: str | None = None,
        flush_scheduler: FlushScheduler | None = None,
        lookup: Lookup = lookup,
        cpu_time: Callable[[], float] = time.process_time,
    ) -> None:
        self._read_interval = GatherInterval(read_interval, cpu_time=cpu_time)
        self._ssl_context = ssl_context
        self._server_name = server_name
        self._flush_scheduler = flush_scheduler
        self._lookup = lookup
        self._avoided: dict[tuple[str, int], float] = {}

    def dial(self, replica: ReplicaAddress, peer: Peer) -> Http2Connection:
        """Begin to connect; return the connection."""
        attempt = _Attempt(self, replica)
        return Http2Connection(
            attempt.connect,
            authority=self.authority(replica),
            scheme="https" if self._ssl_context else "http",
            peer=peer,
            read_interval=self._read_interval,
            flush_scheduler=self._flush_scheduler or FlushScheduler(),
            on_unanswered=attempt.avoid,
        )

    def authority(self, replica: ReplicaAddress) -> str:
        """Return the `:authority` of requests to a replica: the name in its certificate."""
        return self._server_name or replica.authority

    def tls_options(self, replica: ReplicaAddress) -> dict[str, Any]:
        """Return the loop's options for TLS; empty for clear text."""
        if self._ssl_context is None:
            return {}
        return {
            "ssl": self._ssl_context(),
            "server_hostname": self._server_name or replica.tls_name,
            "ssl_shutdown_timeout": CLOSE_TIMEOUT,
        }

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host in the order in which they are tried. Raises OSError."""
        now = asyncio.get_running_loop().time()
        ips = interleaved(await resolve(host, port, self._lookup))
        return sorted(ips, key=lambda ip: self._avoided.get((ip, port), 0.0) > now)

    def avoid(self, ip: str, port: int) -> None:
        """Try other addresses first for a while."""
        self._avoided[ip, port] = asyncio.get_running_loop().time() + AVOID_SECONDS


class _Attempt:
    """One connection to a replica."""

    def __init__(self, dialer: Dialer, replica: ReplicaAddress) -> None:
        self._dialer = dialer
        self._replica = replica
        self._ip = ""

    async def connect(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Connect a protocol. Raises OSError and UnicodeError."""
        loop = asyncio.get_running_loop()
        tls = self._dialer.tls_options(self._replica)
        if (path := self._replica.unix_path) is not None:
            await loop.create_unix_connection(protocol, path, **tls)
            return
        host, port = self._replica.target
        sock, self._ip = await connect_first(await self._dialer.addresses(host, port), port)
        try:
            await loop.create_connection(protocol, sock=sock, **tls)
        except BaseException:
            sock.close()
            raise

    def avoid(self) -> None:
        """Note that it was connected and got no answer."""
        if self._ip:
            self._dialer.avoid(self._ip, self._replica.target[1])
