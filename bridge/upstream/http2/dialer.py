"""Dialer: connects to a replica for streams, over TCP, TLS or a Unix socket."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from bridge.core.address import ReplicaAddress

from .connection import CLOSE_TIMEOUT, Http2Connection
from .keepalive import Keepalive


class Dialer:
    """Makes connections.

    Args:
        keepalive: after how long a silent peer is gone.
        read_interval: seconds between two reads of a busy connection; 0 for no wait.
        ssl_context: returns the context for the next connection; None for clear text.
        server_name: the name that the replica's certificate must hold; None for the name that the
            replica is reached by.

    """

    def __init__(
        self,
        *,
        keepalive: Keepalive,
        read_interval: float = 0.0,
        ssl_context: Callable[[], ssl.SSLContext] | None = None,
        server_name: str | None = None,
    ) -> None:
        self._keepalive = keepalive
        self._read_interval = read_interval
        self._ssl_context = ssl_context
        self._server_name = server_name

    def dial(self, replica: ReplicaAddress) -> Http2Connection:
        """Begin to connect; return the connection."""
        context = self._ssl_context() if self._ssl_context else None
        name = self._server_name or replica.host
        return Http2Connection(
            lambda protocol: _connect(replica, protocol, context, name),
            authority=_authority(replica, name if context else ""),
            scheme="https" if context else "http",
            keepalive=self._keepalive,
            read_interval=self._read_interval,
            name=replica.address,
        )


async def _connect(
    replica: ReplicaAddress,
    protocol: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext | None,
    name: str,
) -> None:
    loop = asyncio.get_running_loop()
    tls: dict[str, Any] = {}
    host, port = _host_and_port(replica)
    if context is not None:
        tls = {
            "ssl": context,
            "server_hostname": name or host or "localhost",
            "ssl_shutdown_timeout": CLOSE_TIMEOUT,
        }
    if port is None:
        await loop.create_unix_connection(protocol, host, **tls)
    else:
        await loop.create_connection(protocol, host, port, **tls)


def _host_and_port(replica: ReplicaAddress) -> tuple[str, int | None]:
    """Return host and port; for a Unix socket, its path and None."""
    if replica.address.startswith("unix:"):
        return replica.address.removeprefix("unix:").removeprefix("//"), None
    host, _, port = replica.address.rpartition(":")
    return host.strip("[]"), int(port)


def _authority(replica: ReplicaAddress, name: str) -> str:
    """Return the `:authority` that gRPC would send to a replica."""
    if replica.host:
        return f"{replica.host}:{replica.port}"
    return name or ("localhost" if replica.address.startswith("unix:") else replica.address)
