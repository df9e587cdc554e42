"""Endpoints: every replica of the tier, and which one to ask next.

Laws: an address given is always an endpoint; an address found by a name is one for as long as
the name leads to it, and after that until its last stream has ended. Streams go where the fewest
are (those being opened count), ties at random, so that a recovery spreads; never where the
circuit is open; to a replica that is out of reach or not serving only when there is no other.
One task looks after channels and certificates, one after names; `close` ends both.
"""

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable, Collection, Coroutine, Iterable

from bridge.core.address import ReplicaAddress, ServiceName, TierAddress
from bridge.core.errors import Failed, Kind
from bridge.tls.contexts import TlsFiles
from bridge.upstream.http2.dialer import Dialer

from .channel import KEEPALIVE, ChannelFactory
from .endpoint import Endpoint, EndpointInfo, EndpointState, log_task_failure
from .resolver import INTERVAL, Lookup, Resolver, lookup
from .tls import reloadable_credentials

STREAMS_PER_LANE = 80
IDLE = 60.0
"""Seconds a connection is kept without streams."""
SPREAD = 0.5
"""Seconds over which those who wait for a tier's return call it again."""
UPKEEP = 5.0
"""Seconds between two looks at idle connections and at certificate files."""


class Endpoints:
    """All replicas, connected to and watched from the start until `close`.

    Args:
        addresses: of replicas, and names behind each of which are any number of them.
        keepalive: `compatible` or `fast`, see KEEPALIVE.
        gather: seconds that reads of a busy connection may be apart; 0 for at once.
        tls: certificate files; None for clear text.
        server_name: the name that replicas' certificates must hold; None for the name that a
            replica is reached by.
        streams_per_lane: below what the tier's servers allow on one connection.
        clock: seconds, as loop.time.
        lookup: finds the addresses of a name.
        lookup_interval: seconds between two look-ups.
        idle: seconds a connection is kept without streams.

    Raises:
        TlsError: certificate files that can't be used.

    """

    def __init__(
        self,
        addresses: Iterable[TierAddress],
        *,
        keepalive: str = "compatible",
        gather: float = 0.0,
        tls: TlsFiles | None = None,
        server_name: str | None = None,
        streams_per_lane: int = STREAMS_PER_LANE,
        clock: Callable[[], float] | None = None,
        lookup: Lookup = lookup,
        lookup_interval: float = INTERVAL,
        idle: float = IDLE,
    ) -> None:
        parsed = tuple(dict.fromkeys(addresses))
        self._credentials = reloadable_credentials(tls) if tls else None
        self._connector = ChannelFactory(
            keepalive=KEEPALIVE[keepalive],
            credentials=self._credentials,
            server_name=server_name,
        )
        self._dialler = Dialer(
            keepalive=KEEPALIVE[keepalive],
            gather=gather,
            context=self._context if tls else None,
            server_name=server_name,
        )
        self._streams_per_lane = streams_per_lane
        self._clock = clock or asyncio.get_running_loop().time
        self._idle = idle
        self._given = [place for place in parsed if isinstance(place, ReplicaAddress)]
        self._found: dict[ServiceName, tuple[ReplicaAddress, ...]] = {}
        self._all: dict[ReplicaAddress, Endpoint] = {}
        self._changed = asyncio.Event()
        self._upkeep = asyncio.Event()
        self._place()
        self._resolver = Resolver(
            (name for name in parsed if isinstance(name, ServiceName)),
            on_found=self._on_found,
            lookup=lookup,
            interval=lookup_interval,
        )
        self._tasks = [
            self._keep(self._resolver.run(), "look-up of the tier's names"),
            self._keep(self._look_after(), "upkeep of the tier's channels"),
        ]

    # ------------------------------------------------------------ choice

    async def pick(self, avoid: Collection[Endpoint] = ()) -> Endpoint:
        """Choose a replica for one more stream, none of `avoid`.

        Waits for the first look-up of names alone. Raises Failed (UNAVAILABLE), without a call,
        where no replica may be called now.
        """
        if not self._all:
            await self._resolver.looked.wait()
        choice = [e for e in self._here if e.breaker.admits and e not in avoid]
        if not choice:
            wait = min((e.breaker.wait for e in self._here if e.breaker.wait), default=1.0)
            raise Failed(Kind.UNAVAILABLE, "the tier is out of reach", retry_after=max(wait, 1.0))
        return min(choice, key=lambda e: (e.rank, e.streams, random.random()))  # noqa: S311 - spreads load, guards nothing

    def spare(self, endpoint: Endpoint, tried: Collection[Endpoint]) -> bool:
        """Tell whether a replica but this and those tried is worth asking: usable, undoubted."""
        return any(
            other.usable and not other.rank
            for other in self._here
            if other is not endpoint and other not in tried
        )

    @property
    def _here(self) -> list[Endpoint]:
        return [endpoint for endpoint in self._all.values() if not endpoint.leaving]

    def missed(self) -> None:
        """Take note that a replica could not be reached: its name may lead elsewhere by now."""
        self._resolver.hurry()

    # ------------------------------------------------------------ what operators need

    def snapshot(self) -> list[EndpointInfo]:
        """Return every replica in plain values."""
        return [endpoint.info for endpoint in self._all.values()]

    def troubles(self) -> list[str]:
        """Say of each replica that is not ready why: `tier 10.0.0.3:50051: circuit open`."""
        if not self._all:
            return ["tier: no address found"]
        return [
            f"tier {endpoint.place.address}: {endpoint.state.value}"
            for endpoint in self._here
            if endpoint.state is not EndpointState.READY
        ]

    async def reachable(self, within: float = 1.0) -> bool:
        """Tell whether any replica can be called, or can be within so many seconds."""
        try:
            async with asyncio.timeout(within):
                while not any(endpoint.usable for endpoint in self._here):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def pause(self, seconds: float) -> None:
        """Sleep so long between two tries; less where no replica can be called and one comes back.

        Back-off spares a tier in trouble. One that was gone and has returned needs callers.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        if any(endpoint.usable for endpoint in self._here):
            await asyncio.sleep(seconds)
        elif await self.reachable(seconds):
            left = max(end - loop.time(), 0)
            await asyncio.sleep(random.uniform(0, min(left, SPREAD)))  # noqa: S311 - a spread

    # ------------------------------------------------------------ upkeep

    async def reload(self) -> bool:
        """Read the certificate files again now; tells whether new ones are in use.

        Streams open go on under the old ones until they end.
        """
        if self._credentials is None or not await self._credentials.reload_if_changed():
            return False
        for endpoint in self._all.values():
            endpoint.renew()
        return True

    async def close(self) -> None:
        """Close every channel and end every task. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._resolver.looked.set()  # nobody may wait for a look-up that will not come
        await asyncio.gather(*(endpoint.close() for endpoint in self._all.values()))
        self._all.clear()

    def _on_found(self, name: ServiceName, numbers: tuple[str, ...]) -> None:
        self._found[name] = tuple(map(name.at, numbers))
        self._place()

    def _place(self) -> None:
        """Have an endpoint for every place there is now."""
        wanted = dict.fromkeys(
            [*self._given, *(p for found in self._found.values() for p in found)]
        )
        for place in wanted:
            if place not in self._all:
                self._all[place] = self._endpoint(place)
        for place, endpoint in self._all.items():
            endpoint.leaving = place not in wanted
        self._stir()

    def _endpoint(self, place: ReplicaAddress) -> Endpoint:
        return Endpoint(
            place,
            connect=self._connector.connect,
            dial=self._dialler.dial,
            clock=self._clock,
            on_change=self._stir,
            streams_per_lane=self._streams_per_lane,
        )

    def _context(self) -> ssl.SSLContext:
        assert self._credentials is not None  # noqa: S101 - with TLS there are
        return self._credentials.current.context

    def _stir(self) -> None:
        self._changed.set()
        self._upkeep.set()

    async def _look_after(self) -> None:
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UPKEEP):
                    await self._upkeep.wait()
            if loop.time() - looked_at >= UPKEEP:  # however often there is other work
                looked_at = loop.time()
                await self.reload()
            self._upkeep.clear()
            for place, endpoint in list(self._all.items()):
                await endpoint.sweep(self._idle)
                if endpoint.leaving and not endpoint.streams:
                    del self._all[place]
                    await endpoint.close()

    def _keep(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(log_task_failure)
        return task
