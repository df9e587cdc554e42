"""Listeners: the public port at all of its addresses.

Invariants: what one address serves, all serve. Only the check of Host differs: on a loopback
address Host must be one too.
"""

import logging
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import replace

from aiohttp import web

from bridge.core.forwarded import TrustedProxies
from bridge.core.origin import is_loopback
from bridge.tls.reloading import ReloadableFiles

from .context import WebContext
from .listener import Listener
from .listening_sockets import ALL_HOSTS, bind, url_of
from .socket_limiter import SocketLimiter

logger = logging.getLogger(__name__)


class Listeners:
    """One listener for the loopback addresses, and one for all others. Made by `bind_listeners`.

    `all` are the listeners; `urls` those of the addresses, in their order.
    """

    def __init__(
        self,
        listeners: list[Listener],
        urls: list[str],
        certificate: ReloadableFiles[ssl.SSLContext] | None,
        limiter: SocketLimiter,
    ) -> None:
        self.all = listeners
        self._limiter = limiter
        self.urls = urls
        self._certificate = certificate

    @property
    def url(self) -> str:
        """The URLs, separated by spaces."""
        return " ".join(self.urls)

    @property
    def connections(self) -> int:
        """The connections that are open, idle ones included."""
        return sum(listener.connections for listener in self.all)

    @property
    def closed_connections(self) -> int:
        """The connections that have closed so far."""
        return self._limiter.admitted - self.connections

    @property
    def refused_headers(self) -> int:
        """The connections of trusted proxies that had no right PROXY header."""
        return sum(listener.refused_headers for listener in self.all)

    async def open(self) -> None:
        """Serve. Raises OSError if another process listens there by now."""
        for listener in self.all:
            await listener.open()

    async def reload_certificate(self) -> None:
        """Serve with the certificate as its files are now, if they have changed."""
        if self._certificate is not None and await self._certificate.reload_if_changed():
            for listener in self.all:
                await listener.renew_certificate()

    async def close(self) -> None:
        """Close the port and all connections."""
        for listener in self.all:
            listener.stop_accepting()
        for listener in self.all:
            await listener.close()


async def bind_listeners(
    addresses: Iterable[tuple[str, int]],
    *,
    context: WebContext,
    application: Callable[[WebContext], web.Application],
    certificate: ReloadableFiles[ssl.SSLContext] | None,
    limit: int,
    reuse_port: bool,
    proxies: TrustedProxies | None,
) -> Listeners:
    """Bind all addresses, hosts and ports; nothing is served before `open`.

    `application`: makes one. `limit`: connections that may be open, 0 is no limit. `proxies`: those
    that send a PROXY header.

    Raises:
        OSError: an address is in use, or not this machine's. Then none is bound.

    """
    groups: dict[bool, list[socket.socket]] = {}
    urls = []
    try:
        for host, port in addresses:
            sockets = await bind(host, port, reuse_port=reuse_port)
            loopback = all(is_loopback(sock.getsockname()[0]) for sock in sockets)
            groups.setdefault(loopback, []).extend(sockets)
            urls.append(url_of(sockets[0], tls=certificate is not None))
            if host in ALL_HOSTS:
                kinds = "IPv6 and IPv4" if len(sockets) > 1 else "IPv4 only: there is no IPv6"
                logger.info("%s is all interfaces, %s", urls[-1], kinds)
    except BaseException:
        for sock in (sock for sockets in groups.values() for sock in sockets):
            sock.close()
        raise
    limiter = SocketLimiter(limit)
    listeners = []
    for loopback, sockets in groups.items():
        settings = replace(context.settings, loopback=loopback)
        own = replace(context, settings=settings)
        listeners.append(
            Listener(
                application(own),
                sockets,
                context=own,
                certificate=certificate,
                limiter=limiter,
                proxies=proxies,
            )
        )
    return Listeners(listeners, urls, certificate, limiter)
