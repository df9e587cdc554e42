"""Resolver: keeps finding every address behind the tier's names.

gRPC's own resolver would hide the replicas behind one channel; the bridge places its streams
itself, so it must see each. A name that can't be resolved keeps the addresses it had.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Iterable

from bridge.core.address import ServiceName

logger = logging.getLogger(__name__)

Lookup = Callable[[str, int], Awaitable[Iterable[str]]]
"""(host, port) → numeric addresses. Raises OSError where there are none."""

INTERVAL = 10.0
SHORTEST = 1.0
"""Seconds between two rounds, however often a failure asks for one."""
PATIENCE = 5.0


async def lookup(host: str, port: int) -> tuple[str, ...]:
    """Ask the system's resolver, in a thread of the loop's. Families we can't use are left out."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class Resolver:
    """Looks names up, round after round. `on_found` is told each answer, changed or not."""

    def __init__(
        self,
        names: Iterable[ServiceName],
        *,
        on_found: Callable[[ServiceName, tuple[str, ...]], None],
        lookup: Lookup = lookup,
        interval: float = INTERVAL,
    ) -> None:
        self._names = tuple(names)
        self._on_found = on_found
        self._lookup = lookup
        self._interval = interval
        self._hurry = asyncio.Event()
        self._lost: set[ServiceName] = set()
        self.looked = asyncio.Event()
        """Set once every name was looked up once, found or not."""
        if not self._names:
            self.looked.set()

    def hurry(self) -> None:
        """Ask for a round soon: a replica could not be reached."""
        self._hurry.set()

    async def run(self) -> None:
        """Look up until cancelled."""
        while self._names:
            await asyncio.gather(*map(self._look, self._names))
            self.looked.set()
            await asyncio.sleep(SHORTEST)
            rest = self._interval * random.uniform(0.9, 1.1) - SHORTEST  # noqa: S311 - a spread
            try:
                async with asyncio.timeout(max(rest, 0)):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            self._hurry.clear()

    async def _look(self, name: ServiceName) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                found = tuple(dict.fromkeys(await self._lookup(name.host, name.port)))
        except (OSError, UnicodeError) as error:  # an idna codec may refuse a name
            self._tell(name, str(error) or "no answer in time")
            return
        if not found:
            self._tell(name, "no address")
            return
        self._lost.discard(name)
        self._on_found(name, found)

    def _tell(self, name: ServiceName, cause: str) -> None:
        if name not in self._lost:
            self._lost.add(name)
            logger.warning("tier %s can't be resolved: %s", name, cause)
