"""Accepting connections that begin with a header of the PROXY protocol (`--proxy-protocol`).

Invariants: the header is read before anything else, TLS included, and not a byte more. Only trusted
proxies send one; one that sends none is closed. Every other connection is taken as it is. A header
that does not come within `IDLE_TIMEOUT` seconds ends its connection.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from bridge.core.forwarded import TrustedProxies
from bridge.core.proxy_header import (
    MAX_V1,
    V1_START,
    V2_FIXED,
    V2_SIGNATURE,
    ProxyHeaderError,
    parse_v1,
    parse_v2,
    v2_body_size,
)
from bridge.web.http.registry import IDLE_TIMEOUT

logger = logging.getLogger(__name__)

ACCEPT_PAUSE: Final = 1.0
"""Seconds to wait where no connection can be accepted, for want of file descriptors."""


class ProxiedAccepting:
    """Accepts on sockets that listen.

    `serve(connection, peer)` takes an open connection and the address of its client.
    """

    def __init__(
        self, proxies: TrustedProxies, serve: Callable[[socket.socket, str], Awaitable[object]]
    ) -> None:
        self._proxies = proxies
        self._serve = serve
        self._loop = asyncio.get_running_loop()
        self._accepting: list[asyncio.Task[None]] = []
        self._opening: set[asyncio.Task[None]] = set()
        self.refused = 0
        """Connections of trusted proxies that sent no header, or a wrong one."""

    def start(self, listening: socket.socket) -> None:
        """Accept connections, until `close`."""
        self._accepting.append(self._loop.create_task(self._accept(listening), name="accepting"))

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, address = await self._loop.sock_accept(listening)
            except OSError:
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            task = self._loop.create_task(
                self._open(connection, address[0]), name="reading a PROXY header"
            )
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, peer: str) -> None:
        try:
            client = peer
            if peer in self._proxies:
                async with asyncio.timeout(IDLE_TIMEOUT):
                    client = await self._read_header(connection) or peer
            await self._serve(connection, client)
        except (ProxyHeaderError, TimeoutError):
            self.refused += 1
            logger.debug("a trusted proxy sent no PROXY header", extra={"fields": {"peer": peer}})
            connection.close()
        except OSError:  # it is gone, or its TLS handshake failed
            connection.close()
        except BaseException:
            connection.close()
            raise

    async def _read_header(self, connection: socket.socket) -> str | None:
        start = await self._read(connection, len(V2_SIGNATURE))
        if start == V2_SIGNATURE:
            fixed = start + await self._read(connection, V2_FIXED - len(start))
            return parse_v2(fixed, await self._read(connection, v2_body_size(fixed)))
        line = start
        # One byte at a time: what follows the line is TLS, or the request.
        while line.startswith(V1_START) and not line.endswith(b"\r\n") and len(line) < MAX_V1:
            line += await self._read(connection, 1)
        return parse_v1(line)

    async def _read(self, connection: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await self._loop.sock_recv(connection, size - len(data))
            if not more:
                raise ProxyHeaderError
            data += more
        return data

    async def close(self) -> None:
        """Accept no more; drop connections whose header is not read. Idempotent."""
        tasks = [*self._accepting, *self._opening]
        for task in tasks:
            task.cancel()
        if tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(tasks)
        self._accepting.clear()
