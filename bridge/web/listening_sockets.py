"""Listening sockets: the addresses of a host, bound at one port."""

import asyncio
import errno
import socket
from typing import Final, TypeAlias

BACKLOG: Final = 1024
SEND_BUFFER: Final = 64 * 1024
"""Bytes that the kernel may hold for one client: with more, a stalled client is noticed late."""
USER_TIMEOUT: Final = 30_000
"""Milliseconds after which unacknowledged bytes end a connection (half-open peers)."""
ALL_HOSTS: Final = ("", "::")
"""Hosts that stand for all interfaces, IPv6 and IPv4."""
_PICKS: Final = 16
"""How often another free port is picked where one of the addresses has it in use."""

_Address: TypeAlias = tuple[socket.AddressFamily, tuple[str | int, ...]]


async def bind(host: str, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """Bind every address of a host, at one port. Port 0: the kernel picks it.

    An empty host and `::` are all interfaces, by a socket for IPv6 and one for IPv4; an empty host
    does without IPv6 where there is none.

    Raises:
        OSError: the address is in use, or not this machine's; the message names it.

    """
    addresses = await _addresses(host, port)
    for _ in range(_PICKS if port == 0 and len(addresses) > 1 else 1):
        try:
            return _bind_all(addresses, host, port, reuse_port=reuse_port)
        except OSError as error:
            failure = error
            if error.errno != errno.EADDRINUSE:
                break
    raise failure


async def _addresses(host: str, port: int) -> list[_Address]:
    if host in ALL_HOSTS:
        return [(socket.AF_INET6, ("::",)), (socket.AF_INET, ("0.0.0.0",))]  # noqa: S104 - asked for
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, (at[0], *at[2:])) for family, _, _, _, at in found))


def _bind_all(
    addresses: list[_Address], host: str, port: int, *, reuse_port: bool
) -> list[socket.socket]:
    bound: list[socket.socket] = []
    try:
        for family, (address, *more) in addresses:
            picked = port or (bound[0].getsockname()[1] if bound else 0)
            try:
                sock = _listening_socket(family, reuse_port=reuse_port)
                bound.append(sock)
                sock.bind((address, picked, *more))
            except OSError as error:
                if host == "" and family == socket.AF_INET6 and error.errno in _NO_IPV6:
                    for sock in bound:
                        sock.close()
                    bound.clear()
                    continue
                message = f"can't listen on {host}:{picked}: {error.strerror}"
                raise OSError(error.errno, message) from None
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


_NO_IPV6: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def _listening_socket(family: socket.AddressFamily, *, reuse_port: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections are accepted with these.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        # IPv4 has a socket of its own: else its clients would have addresses mapped into IPv6.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock


def url_of(sock: socket.socket, *, tls: bool = False) -> str:
    """Return the URL of a bound socket."""
    scheme = "https" if tls else "http"
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def stop_serving(server: asyncio.Server) -> None:
    """Close a server, but under no connection that it has just accepted.

    asyncio makes the transport of one in the next turn of the loop. In a server that is closed by
    then, it fails, and leaves the socket open and unserved (CPython gh-109564; not uvloop).
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening)
    loop.call_soon(server.close)
