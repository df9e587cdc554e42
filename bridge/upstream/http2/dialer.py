"""Dial: how a replica is connected to for streams, over TCP, TLS or a Unix socket."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from bridge.core.address import ReplicaAddress

from .connection import CLOSE_TIMEOUT, Http2Connection
from .keepalive import Keepalive


class Dialer:
    """Makes connections.

    `context` tells what TLS to make one with; where it is None, they are in clear text.
    `server_name` is what the tier's certificate must hold, None for the name it is reached by.
    `gather` is how many seconds reads of a busy one may be apart.
    """

    def __init__(
        self,
        *,
        keepalive: Keepalive,
        gather: float = 0.0,
        context: Callable[[], ssl.SSLContext] | None = None,
        server_name: str | None = None,
    ) -> None:
        self._keepalive = keepalive
        self._gather = gather
        self._context = context
        self._server_name = server_name

    def dial(self, place: ReplicaAddress) -> Http2Connection:
        """Begin to connect, with the TLS context there is now."""
        context = self._context() if self._context else None
        name = self._server_name or place.host
        return Http2Connection(
            lambda protocol: _connect(place, protocol, context, name),
            authority=_authority(place, name if context else ""),
            scheme="https" if context else "http",
            keepalive=self._keepalive,
            gather=self._gather,
            name=place.address,
        )


async def _connect(
    place: ReplicaAddress,
    protocol: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext | None,
    name: str,
) -> None:
    loop = asyncio.get_running_loop()
    tls: dict[str, Any] = {}
    host, port = _target(place)
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


def _target(place: ReplicaAddress) -> tuple[str, int | None]:
    """Return host and port, or the path of a Unix socket and None."""
    if place.address.startswith("unix:"):
        return place.address.removeprefix("unix:").removeprefix("//"), None
    host, _, port = place.address.rpartition(":")
    return host.strip("[]"), int(port)


def _authority(place: ReplicaAddress, name: str) -> str:
    """Return what a replica is asked as: as gRPC would."""
    if place.host:
        return f"{place.host}:{place.port}"
    return name or ("localhost" if place.address.startswith("unix:") else place.address)
