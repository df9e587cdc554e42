"""Listener: the open port, with or without TLS, and the limits below HTTP.

Invariants: the sockets are bound before anything is served, and stay open until the end, so the
server that accepts on them can be replaced by one with another certificate without losing a
connection, waiting ones included. A connection on which nothing comes for `IDLE_TIMEOUT` seconds is
closed; so is one that takes longer for its TLS handshake or for a request's head.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from typing import cast

from aiohttp import web

from bridge.core.forwarded import TrustedProxies
from bridge.tls.reloading import ReloadableFiles
from bridge.web.fast_path.connection import HttpConnection
from bridge.web.fast_path.fast_path import FastPath
from bridge.web.fast_path.request_parser import MAX_HEADER, MAX_HEADERS, MAX_LINE
from bridge.web.http.aiohttp_connection import AiohttpConnection
from bridge.web.http.registry import IDLE_TIMEOUT

from .context import CONTEXT, WebContext
from .listening_sockets import BACKLOG, stop_serving, url_of
from .proxied_accepting import ProxiedAccepting
from .socket_limiter import SocketLimiter

logger = logging.getLogger("bridge.http")


LINGER = 1.0
"""Seconds that the rest of a refused body is read, so that its sender can read the response."""
TLS_SHUTDOWN = 2.0


class _Refused(asyncio.Protocol):
    """Aborts a connection over the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: uvloop's transports are none of asyncio's classes.
        cast("asyncio.Transport", transport).abort()


class Listener:
    """Serves one application on sockets that are bound already, and closes them at the end.

    `context`: of streams, where it serves any; aiohttp serves the rest. `limiter`: how many
    connections may be open, streams or not. `proxies`: those that send a PROXY header. The hub ends
    all streams before the listener is closed.
    """

    def __init__(
        self,
        app: web.Application,
        sockets: Sequence[socket.socket],
        *,
        context: WebContext | None = None,
        certificate: ReloadableFiles[ssl.SSLContext] | None = None,
        limiter: SocketLimiter | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self._sockets = list(sockets)
        self._fast_path = (
            FastPath(context, self._aiohttp_connection) if context is not None else None
        )
        self._certificate = certificate
        self._context = app[CONTEXT]
        self._limiter = limiter
        if limiter is not None:
            limiter.add(lambda: self.connections)
        self._servers: list[asyncio.Server] = []
        self._proxied = None if proxies is None else ProxiedAccepting(proxies, self._serve_proxied)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5)

    @property
    def url(self) -> str:
        """Its URL."""
        return url_of(self._sockets[0], tls=self._certificate is not None)

    @property
    def connections(self) -> int:
        """The connections that are open, idle ones included."""
        server = self._runner.server
        others = len(server.connections) if server is not None else 0
        return others + (len(self._fast_path.registry) if self._fast_path is not None else 0)

    @property
    def refused_headers(self) -> int:
        """The connections of trusted proxies that had no right PROXY header."""
        return self._proxied.refused if self._proxied is not None else 0

    async def open(self) -> None:
        """Serve. Raises OSError if another process listens there by now."""
        await self._runner.setup()
        await self._serve()

    async def renew_certificate(self) -> None:
        """Serve with the certificate that is current now."""
        if self._servers:
            await self._serve()

    async def _serve_proxied(self, connection: socket.socket, peer: str) -> None:
        certificate = self._certificate
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: self._accept(peer),
            connection,
            ssl=certificate.current if certificate else None,
            ssl_handshake_timeout=IDLE_TIMEOUT if certificate else None,
            ssl_shutdown_timeout=TLS_SHUTDOWN if certificate else None,
        )

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        if self._proxied is not None:
            for sock in self._sockets:
                sock.listen(BACKLOG)
                self._proxied.start(sock)
            return
        before, self._servers = self._servers, []
        certificate = self._certificate
        for sock in self._sockets:
            # A copy: closing a server closes what it was given, and ours must stay open.
            server = await loop.create_server(
                self._accept,
                sock=sock.dup(),
                backlog=BACKLOG,
                ssl=certificate.current if certificate else None,
                ssl_handshake_timeout=IDLE_TIMEOUT if certificate else None,
                ssl_shutdown_timeout=TLS_SHUTDOWN if certificate else None,
            )
            self._servers.append(server)
        for server in before:
            stop_serving(server)

    def _accept(self, peer: str | None = None) -> asyncio.Protocol:
        if self._limiter is not None and not self._limiter.admit():
            return _Refused()
        return (
            HttpConnection(self._fast_path, peer)
            if self._fast_path is not None
            else self._aiohttp_connection() or _Refused()
        )

    def _aiohttp_connection(self) -> AiohttpConnection | None:
        """Make aiohttp's protocol of a connection; None once it serves no more."""
        server = self._runner.server
        if server is None:
            return None
        return AiohttpConnection(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,
            logger=logger,
            keepalive_timeout=IDLE_TIMEOUT,
            lingering_time=LINGER,
            max_line_size=MAX_LINE,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
            settings=self._context.settings,
            refuse=self._context.refuse,
            registry=self._fast_path.registry if self._fast_path is not None else None,
        )

    def stop_accepting(self) -> None:
        """Close the port; connections stay. Idempotent."""
        for server in self._servers:
            stop_serving(server)
        self._servers = []
        for sock in self._sockets:
            sock.close()

    async def close(self) -> None:
        """Close the port and all connections."""
        if self._proxied is not None:
            await self._proxied.close()
        self.stop_accepting()
        if self._fast_path is not None:
            await self._fast_path.registry.close()
        await self._runner.cleanup()
