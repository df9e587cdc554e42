"""Happy eyeballs: connects to the first of several addresses that answers (RFC 8305).

Invariants: the addresses' families alternate; a further attempt begins `delay` after the last one,
or as soon as that failed; the first connection wins, and every other socket is closed.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain, zip_longest

ATTEMPT_DELAY = 0.25
"""Seconds between two attempts: RFC 8305's recommendation (section 5)."""

SocketConnect = Callable[[str, int], Awaitable[socket.socket]]
"""(IP address, port) → a connected socket. Raises OSError."""


async def connect_socket(ip: str, port: int) -> socket.socket:
    """Connect a TCP socket to an IP address. Raises OSError."""
    family = socket.AF_INET6 if _is_ipv6(ip) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (ip, port))
    except BaseException:
        sock.close()
        raise
    return sock


def interleaved(ips: Iterable[str]) -> list[str]:
    """Return the addresses with their families in turn, the first one's first (section 4)."""
    ordered = list(ips)
    first = bool(ordered) and _is_ipv6(ordered[0])
    groups = (
        [ip for ip in ordered if _is_ipv6(ip) is first],
        [ip for ip in ordered if _is_ipv6(ip) is not first],
    )
    return [ip for ip in chain.from_iterable(zip_longest(*groups)) if ip is not None]


async def connect_first(
    ips: Sequence[str],
    port: int,
    *,
    connect: SocketConnect = connect_socket,
    delay: float = ATTEMPT_DELAY,
) -> tuple[socket.socket, str]:
    """Return a connected socket, and its address. Raises OSError: the last attempt's."""
    rest = list(ips)
    attempts: dict[asyncio.Task[socket.socket], str] = {}
    error: OSError = OSError("the name has no address")
    try:
        while rest or attempts:
            if rest:
                ip = rest.pop(0)
                attempts[asyncio.ensure_future(_awaited(connect, ip, port))] = ip
            done, _ = await asyncio.wait(
                attempts, timeout=delay if rest else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                ip = attempts.pop(attempt)
                try:
                    sock = attempt.result()
                except OSError as failed:
                    error = failed
                else:
                    return sock, ip
        raise error
    finally:
        await _abandon(list(attempts))


async def _awaited(connect: SocketConnect, ip: str, port: int) -> socket.socket:
    return await connect(ip, port)


async def _abandon(attempts: Sequence[asyncio.Task[socket.socket]]) -> None:
    """End the attempts that lost, and close what they have connected."""
    for attempt in attempts:
        attempt.cancel()
    if attempts:
        await asyncio.wait(attempts)
    for attempt in attempts:
        with contextlib.suppress(asyncio.CancelledError, OSError):
            attempt.result().close()


def _is_ipv6(ip: str) -> bool:
    return isinstance(ipaddress.ip_address(ip), ipaddress.IPv6Address)
