"""Endpoints: every replica of the tier, and which one gets the next stream.

Invariants:
- A fixed address is an endpoint for good. An address of a service name is one as long as the name
  resolves to it, and after that until its last stream has ended.
- A stream goes to the replica with the fewest streams, those being opened included; ties are
  broken at random, so that a recovery spreads.
- No stream goes where the circuit is open. A replica that is unreachable or not serving gets one
  only if there is no other.
- One task closes unused connections and reloads certificates, another one resolves names. `close`
  ends both.
"""

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable, Collection, Coroutine, Iterable

from bridge.core.address import ReplicaAddress, ServiceName, TierAddress
from bridge.core.errors import Failed, Kind
from bridge.live.flush_scheduler import FlushScheduler
from bridge.tls.contexts import TlsFiles, load_client
from bridge.tls.reloading import ReloadableFiles
from bridge.upstream.http2.dialer import Dialer
from bridge.upstream.http2.keepalive import KEEPALIVE

from .endpoint import Endpoint, EndpointInfo, log_task_failure
from .resolver import INTERVAL, Lookup, Resolver, lookup

MAX_STREAMS = 80
"""Streams on one connection: below the limit of 100 that many servers have."""
IDLE_TIMEOUT = 60.0
"""Seconds that a connection without streams is kept."""
FIRST_LOOK = 0.25
"""Seconds that a first stream waits while no replica has answered: one may be a black hole."""
RETRY_SPREAD = 0.5
"""Seconds over which waiting subscriptions retry when the tier is back."""
UPKEEP_INTERVAL = 5.0
"""Seconds between two checks for idle connections and changed certificate files."""


class Endpoints:
    """All replicas, connected to and watched from the start until `close`.

    Args:
        addresses: of replicas, and of service names, each of which is any number of replicas.
        keepalive: `compatible` or `fast`, see KEEPALIVE.
        read_interval: seconds between two reads of a busy connection, at most; 0 for no wait.
        tls: certificate files; None for clear text.
        server_name: the name that replicas' certificates must hold, and the authority of
            requests; None for the name that a replica is reached by.
        max_streams: streams on one connection; below what the tier's servers allow.
        clock: seconds, as loop.time.
        lookup: resolves a name.
        lookup_interval: seconds between two look-ups.
        idle: seconds that a connection without streams is kept.

    Raises:
        TlsError: a certificate file can't be used.

    """

    def __init__(
        self,
        addresses: Iterable[TierAddress],
        *,
        keepalive: str = "compatible",
        read_interval: float = 0.0,
        tls: TlsFiles | None = None,
        server_name: str | None = None,
        max_streams: int = MAX_STREAMS,
        clock: Callable[[], float] | None = None,
        lookup: Lookup = lookup,
        lookup_interval: float = INTERVAL,
        idle: float = IDLE_TIMEOUT,
    ) -> None:
        parsed = tuple(dict.fromkeys(addresses))
        self._tls = (
            ReloadableFiles(tls.paths, lambda: load_client(tls).context, what="TLS files")
            if tls
            else None
        )
        self._keepalive = KEEPALIVE[keepalive]
        self.flush_scheduler = FlushScheduler()
        """Runs what the replicas' messages make due."""
        self._dialer = Dialer(
            read_interval=read_interval,
            ssl_context=self._ssl_context if tls else None,
            server_name=server_name,
            flush_scheduler=self.flush_scheduler,
            lookup=lookup,
        )
        self._max_streams = max_streams
        self._clock = clock or asyncio.get_running_loop().time
        self._idle = idle
        self._fixed = [address for address in parsed if isinstance(address, ReplicaAddress)]
        self._resolved: dict[ServiceName, tuple[ReplicaAddress, ...]] = {}
        self._endpoints: dict[ReplicaAddress, Endpoint] = {}
        self._changed = asyncio.Event()
        self._upkeep_due = asyncio.Event()
        self._update_endpoints()
        self._resolver = Resolver(
            (name for name in parsed if isinstance(name, ServiceName)),
            on_resolved=self._on_resolved,
            lookup=lookup,
            interval=lookup_interval,
        )
        self._tasks = [
            self._start_task(self._resolver.run(), "look-up of the tier's names"),
            self._start_task(self._run_upkeep(), "upkeep of the tier's channels"),
        ]

    # ------------------------------------------------------------ choice

    async def pick(self, avoid: Collection[Endpoint] = ()) -> Endpoint:
        """Choose a replica for one more stream, none of `avoid`.

        Waits for the first look-up of names, and at most FIRST_LOOK until it is known which of
        several replicas answer. Raises Failed (UNAVAILABLE) if no replica may be called now.
        """
        if not self._endpoints:
            await self._resolver.resolved_once.wait()
        if len(self._endpoints) > 1 and not any(e.usable for e in self._current):
            await self._wait_until(lambda: all(e.known for e in self._current), FIRST_LOOK)
        choice = [e for e in self._current if e.breaker.allows_call and e not in avoid]
        if not choice:
            waits = [wait for e in self._current if (wait := e.breaker.retry_after)]
            raise Failed(
                Kind.UNAVAILABLE,
                "the tier is out of reach",
                retry_after=max(min(waits, default=1.0), 1.0),
                cause="no replica may be called now",
            )
        return min(choice, key=lambda e: (e.penalty, e.streams, random.random()))  # noqa: S311 - spreads load, guards nothing

    def has_alternative(self, endpoint: Endpoint, tried: Collection[Endpoint]) -> bool:
        """Return whether another replica, not tried yet, is usable and healthy."""
        return any(
            other.usable and not other.penalty
            for other in self._current
            if other is not endpoint and other not in tried
        )

    @property
    def _current(self) -> list[Endpoint]:
        """The endpoints that may get streams."""
        return [endpoint for endpoint in self._endpoints.values() if not endpoint.leaving]

    def resolve_soon(self) -> None:
        """Resolve names again soon: a replica could not be reached and may have moved."""
        self._resolver.resolve_soon()

    # ------------------------------------------------------------ state

    def snapshot(self) -> list[EndpointInfo]:
        """Return every replica in plain values."""
        return [endpoint.info for endpoint in self._endpoints.values()]

    async def reachable(self, within: float = 1.0) -> bool:
        """Return whether a replica is usable now or becomes so within so many seconds."""
        return await self._wait_until(
            lambda: any(endpoint.usable for endpoint in self._current), within
        )

    async def _wait_until(self, condition: Callable[[], bool], within: float) -> bool:
        """Wait until a condition on the replicas' states holds; return whether it does."""
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def wait_before_retry(self, seconds: float) -> None:
        """Sleep between two attempts; if no replica is usable, only until one is.

        Back-off spares a tier in trouble. A tier that was gone and has returned needs callers.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        if any(endpoint.usable for endpoint in self._current):
            await asyncio.sleep(seconds)
        elif await self.reachable(seconds):
            left = max(end - loop.time(), 0)
            await asyncio.sleep(random.uniform(0, min(left, RETRY_SPREAD)))  # noqa: S311 - a spread

    # ------------------------------------------------------------ upkeep

    async def reload(self) -> bool:
        """Reload changed certificate files now; return whether new ones are in use.

        Open streams go on with the old ones until they end.
        """
        if self._tls is None or not await self._tls.reload_if_changed():
            return False
        for endpoint in self._endpoints.values():
            endpoint.replace_connections()
        return True

    async def close(self) -> None:
        """Close every connection and end every task. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._resolver.resolved_once.set()  # nobody may wait for a look-up that will not come
        await asyncio.gather(*(endpoint.close() for endpoint in self._endpoints.values()))
        self._endpoints.clear()

    def _on_resolved(self, name: ServiceName, ips: tuple[str, ...]) -> None:
        self._resolved[name] = tuple(map(name.at, ips))
        self._update_endpoints()

    def _update_endpoints(self) -> None:
        """Make endpoints for new addresses; mark those whose address has gone."""
        wanted = dict.fromkeys(
            [*self._fixed, *(address for found in self._resolved.values() for address in found)]
        )
        for address in wanted:
            if address not in self._endpoints:
                self._endpoints[address] = self._endpoint(address)
        for address, endpoint in self._endpoints.items():
            endpoint.leaving = address not in wanted
        self._on_change()

    def _endpoint(self, address: ReplicaAddress) -> Endpoint:
        return Endpoint(
            address,
            dial=self._dialer.dial,
            keepalive=self._keepalive,
            clock=self._clock,
            on_change=self._on_change,
            max_streams=self._max_streams,
        )

    def _ssl_context(self) -> ssl.SSLContext:
        assert self._tls is not None  # noqa: S101 - with TLS there are
        return self._tls.current

    def _on_change(self) -> None:
        self._changed.set()
        self._upkeep_due.set()

    async def _run_upkeep(self) -> None:
        loop = asyncio.get_running_loop()
        last_reload = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UPKEEP_INTERVAL):
                    await self._upkeep_due.wait()
            if loop.time() - last_reload >= UPKEEP_INTERVAL:  # however often there is other work
                last_reload = loop.time()
                await self.reload()
            self._upkeep_due.clear()
            for address, endpoint in list(self._endpoints.items()):
                await endpoint.close_unused(self._idle)
                if endpoint.leaving and not endpoint.streams:
                    del self._endpoints[address]
                    await endpoint.close()

    def _start_task(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(log_task_failure)
        return task
