"""Resolver: looks up all addresses of the tier's names, again and again.

The bridge chooses a replica for each stream, so it must know them all. A name that can't be
resolved keeps its addresses. Every name is resolved here, for every kind of call.
"""

import asyncio
import ipaddress
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Iterable

from bridge.core.address import ServiceName

logger = logging.getLogger(__name__)

Lookup = Callable[[str, int], Awaitable[Iterable[str]]]
"""(host, port) → IP addresses. Raises OSError if there are none."""

INTERVAL = 10.0
MIN_INTERVAL = 1.0
"""Seconds between two rounds, however often `resolve_soon` is called."""
LOOKUP_TIMEOUT = 5.0


async def lookup(host: str, port: int) -> tuple[str, ...]:
    """Ask the system's resolver, in a thread. Address families without a route are left out."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


async def resolve(host: str, port: int, lookup: Lookup) -> tuple[str, ...]:
    """Return the IP addresses of a host: itself, if it is one. Raises OSError, UnicodeError."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return tuple(dict.fromkeys(await lookup(host, port)))
    return (host,)


class Resolver:
    """Resolves names in rounds. `on_resolved` gets each result, changed or not."""

    def __init__(
        self,
        names: Iterable[ServiceName],
        *,
        on_resolved: Callable[[ServiceName, tuple[str, ...]], None],
        lookup: Lookup = lookup,
        interval: float = INTERVAL,
    ) -> None:
        self._names = tuple(names)
        self._on_resolved = on_resolved
        self._lookup = lookup
        self._interval = interval
        self._due = asyncio.Event()
        self._failed: set[ServiceName] = set()
        self.resolved_once = asyncio.Event()
        """Set when every name was looked up once, with or without success."""
        if not self._names:
            self.resolved_once.set()

    def resolve_soon(self) -> None:
        """Begin the next round early."""
        self._due.set()

    async def run(self) -> None:
        """Resolve until cancelled."""
        while self._names:
            await asyncio.gather(*map(self._resolve, self._names))
            self.resolved_once.set()
            await asyncio.sleep(MIN_INTERVAL)
            rest = self._interval * random.uniform(0.9, 1.1) - MIN_INTERVAL  # noqa: S311 - a spread
            try:
                async with asyncio.timeout(max(rest, 0)):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()

    async def _resolve(self, name: ServiceName) -> None:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                found = await resolve(name.host, name.port, self._lookup)
        except (OSError, UnicodeError) as error:  # an idna codec may refuse a name
            self._log_failure(name, str(error) or "no answer in time")
            return
        if not found:
            self._log_failure(name, "no address")
            return
        self._failed.discard(name)
        self._on_resolved(name, found)

    def _log_failure(self, name: ServiceName, cause: str) -> None:
        """Log that a name can't be resolved, once until it can."""
        if name not in self._failed:
            self._failed.add(name)
            logger.warning("tier %s can't be resolved: %s", name, cause)
