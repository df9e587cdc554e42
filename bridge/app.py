"""App: the composition root. Builds everything from a Config; owns the order of start and drain."""

import asyncio
import logging
import signal
from collections.abc import Callable

from .config import Config
from .core.origin import is_loopback
from .live.hub import Hub
from .live.outlet import Watch
from .live.settings import Settings
from .telemetry import Metrics, bridge_version
from .upstream.backend import GrpcBackend
from .upstream.endpoints import Endpoints
from .web.context import Context
from .web.gate import Gate
from .web.health import Health
from .web.server import Listener, application
from .web.settings import WebSettings

logger = logging.getLogger(__name__)

DRAIN_RATE = 500
"""Clients told per second: those who reconnect at once must not do so at once together."""
LONGEST_SPREAD = 10.0


class Bridge:
    """A bridge in this event loop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.metrics = Metrics()
        self._endpoints = Endpoints(config.upstream, keepalive=config.keepalive)
        self._hub = Hub(
            backend=GrpcBackend(self._endpoints),
            settings=_live_settings(config),
            observer=self.metrics,
        )
        self._gate = Gate(most=config.max_connections, most_per_ip=config.max_connections_per_ip)
        self._context = context = Context(
            hub=self._hub,
            watch=Watch(stall=config.stall_timeout),
            gate=self._gate,
            settings=_web_settings(config),
        )
        self.metrics.gauges.update(
            connections=("Open client streams.", lambda: self._gate.open),
            subscriptions=(
                "Subscriptions held or lingering.",
                lambda: self._hub.subscriptions,
            ),
        )
        health = Health(reasons=self._reasons, exposition=self.metrics.exposition)
        self._listener = Listener(application(context, health))

    async def start(self) -> str:
        """Listen; returns the URL. Raises OSError where that can't be."""
        return await self._listener.open(*self._config.listen)

    async def drain(self) -> None:
        """Tell every client, spread out, while readiness says no; returns when all are gone.

        Bounded by the drain timeout.
        """
        self._hub.draining = True
        clients = list(self._context.clients)
        spread = min(len(clients) / DRAIN_RATE, LONGEST_SPREAD, self._config.drain_timeout * 2 / 3)
        logger.info("draining %d clients over %.1f s", len(clients), spread)
        try:
            async with asyncio.timeout(self._config.drain_timeout):
                for tell in clients:
                    if tell in self._context.clients:
                        tell()
                        await asyncio.sleep(spread / len(clients))
                await self._listener.stop_accepting()
                for tell in list(self._context.clients):
                    tell()
                await self._gate.empty.wait()
        except TimeoutError:
            logger.warning("%d clients had to be dropped", self._gate.open)

    async def close(self) -> None:
        """Release everything: upstream calls, connections, channels."""
        await self._hub.close()
        await self._listener.close()
        await self._endpoints.close()

    async def _reasons(self) -> list[str]:
        reasons = []
        if self._hub.draining:
            reasons.append("draining")
        elif not await self._endpoints.reachable():
            reasons.append("no tier reachable")
        return reasons


def _live_settings(config: Config) -> Settings:
    return Settings(
        open_timeout=config.open_timeout,
        max_staleness=config.max_staleness,
        linger=config.linger,
        sharing=config.sharing == "on",
    )


def _web_settings(config: Config) -> WebSettings:
    host = config.listen[0]
    return WebSettings(
        base_path=config.base_path,
        allowed_origins=frozenset(config.allowed_origins),
        loopback=host == "localhost" or is_loopback(host),
        forward=config.forward_metadata,
        scope=config.scope or None,
        max_rows=config.max_rows,
        heartbeat_interval=config.heartbeat_interval,
        ping_interval=config.ping_interval,
        viewer_backlog=config.viewer_backlog,
        pages=config.explorer == "on",
    )


async def serve(config: Config, *, on_listening: Callable[[str], None]) -> None:
    """Run a bridge until SIGTERM or SIGINT, then drain; a second signal ends it at once."""
    stop = stop_signal()
    bridge = Bridge(config)
    try:
        url = await bridge.start()
        logger.info(
            "livequery-bridge %s serves %s for %s", bridge_version(), url, ",".join(config.upstream)
        )
        on_listening(url)
        await stop.wait()
        stop.clear()
        drain = asyncio.create_task(bridge.drain())
        force = asyncio.create_task(stop.wait())
        await asyncio.wait((drain, force), return_when=asyncio.FIRST_COMPLETED)
        for task in (drain, force):
            task.cancel()
        await asyncio.wait((drain, force))
    finally:
        await bridge.close()


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
