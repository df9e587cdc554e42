"""App: the composition root. Builds everything from a Config; owns the order of start and end."""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from bridge.config.loader import Config
from bridge.core.origin import is_loopback
from bridge.live.hub import Hub
from bridge.live.send_buffer import StallMonitor
from bridge.live.settings import LiveSettings
from bridge.process.drain import drain
from bridge.process.fd_limit import connection_limits
from bridge.process.gc_tuning import tune_gc
from bridge.process.memory_guard import MemoryGuard
from bridge.process.memory_usage import read_usage as read_memory
from bridge.process.metrics_federation import MetricsFederation
from bridge.telemetry.loop_lag import LoopLag
from bridge.telemetry.metrics import Metrics
from bridge.telemetry.version import bridge_version
from bridge.tls.contexts import TlsFiles, load_server
from bridge.tls.reloading import ReloadableFiles
from bridge.upstream.backend import GrpcBackend
from bridge.upstream.endpoints import Endpoints
from bridge.web.admission import Admission
from bridge.web.context import WebContext
from bridge.web.health import HealthHandlers
from bridge.web.listener import Listener, bind
from bridge.web.routes import admin_application, application
from bridge.web.settings import WebSettings

T = TypeVar("T")

logger = logging.getLogger(__name__)

LOOK = 10.0
"""Seconds between two looks at the listener's certificate files."""
NO_TIER = "no tier reachable"


class Bridge:
    """A bridge in this event loop; one of several where it has a `fleet`.

    Raises:
        TlsError: the listener's certificate files can't be used.

    """

    def __init__(self, config: Config, *, fleet: MetricsFederation | None = None) -> None:
        self._config = config
        self._fleet = fleet
        self._certificate = listener_certificate(config)
        self._most_sockets, most = connection_limits(config.max_connections)
        self.metrics = Metrics()
        self._lag = LoopLag()
        self._endpoints = endpoints(config)
        self._hub = Hub(
            backend=GrpcBackend(self._endpoints, resubscribe_rate=config.resubscribe_rate),
            settings=_live_settings(config),
            observer=self.metrics,
        )
        stall_monitor = StallMonitor(stall=config.stall_timeout)
        self._pressure = MemoryGuard(
            read=lambda: read_memory(config.memory_limit), cut=stall_monitor.shed
        )
        self._admission = Admission(
            most=most,
            most_per_ip=config.max_connections_per_ip,
            rate=config.accept_rate,
            short=lambda: self._pressure.short,
        )
        self._context = WebContext(
            hub=self._hub,
            stall_monitor=stall_monitor,
            admission=self._admission,
            settings=_web_settings(config),
        )
        self._health = HealthHandlers(
            reasons=self._reasons, replicas=self._replicas, exposition=self._exposition
        )
        self._listener: Listener | None = None
        self._admin: Listener | None = None
        self._upkeep: list[asyncio.Task[None]] = []
        self._bind_metrics()

    # ------------------------------------------------------------ start

    async def start(self) -> str:
        """Listen; returns the URL. Raises OSError where that can't be.

        With `wait_for_tier` only the admin port answers until a tier is reachable; may be
        cancelled.
        """
        config = self._config
        shared = self._fleet is not None
        sockets = await bind(*config.listen, reuse_port=shared)
        self._listener = listener = Listener(
            application(self._context, self._health, metrics=config.admin_listen is None),
            sockets,
            streams=self._context,
            certificate=self._certificate,
            most=self._most_sockets,
        )
        if self._fleet is not None:
            await self._fleet.join(self.metrics.exposition)
        if config.admin_listen is not None:
            await self._open_admin(await bind(*config.admin_listen, reuse_port=shared))
        if config.wait_for_tier == "on":
            logger.info("waiting for a tier at %s", ",".join(config.upstream))
            while not await self._endpoints.reachable(within=60):
                pass
        await listener.open()
        self._keep(self._pressure.run(), "looks at memory")
        if self._certificate is not None:
            self._keep(self._look_after(), "upkeep of certificates")
        return listener.url

    async def _open_admin(self, sockets: list[socket.socket]) -> None:
        app = admin_application(
            self._context, self._health, loopback=is_loopback(sockets[0].getsockname()[0])
        )
        self._admin = Listener(app, sockets)
        await self._admin.open()
        logger.info("metrics and health at %s", self._admin.url)

    def _keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._upkeep.append(asyncio.create_task(work, name=name))

    # ------------------------------------------------------------ while it runs

    async def reload(self) -> None:
        """Read certificate files again, the listener's and the tier's, where they have changed."""
        if self._listener is not None:
            await self._listener.renew()
        await self._endpoints.reload()

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            if self._listener is not None:
                await self._listener.renew()

    async def _reasons(self) -> list[str]:
        if self._hub.draining:
            return ["draining"]
        reasons = []
        if self._admission.full:
            reasons.append("no more connections to give")
        if self._pressure.short:
            reasons.append("short of memory")
        if not await self._endpoints.reachable():
            reasons.append(NO_TIER)
        # The last one waited.
        return ["draining"] if self._hub.draining else reasons

    def _replicas(self) -> list[dict[str, str | int | bool]]:
        return [
            {
                "address": replica.address,
                "state": replica.state,
                "streams": replica.streams,
                "leaving": replica.leaving,
            }
            for replica in self._endpoints.snapshot()
        ]

    async def _exposition(self) -> bytes:
        if self._fleet is not None:
            return await self._fleet.merged()
        return self.metrics.exposition()

    def _bind_metrics(self) -> None:
        bind_reading = self.metrics.bind
        stream_log, hub, lag, pressure, replicas = (
            self._context.stream_log,
            self._hub,
            self._lag,
            self._pressure,
            self._endpoints.snapshot,
        )
        bind_reading("connections", lambda: stream_log.open)
        bind_reading("sockets", lambda: self._listener.connections if self._listener else 0)
        bind_reading("subscriptions", lambda: hub.subscriptions)
        bind_reading("refusals", lambda: stream_log.refused)
        bind_reading("draining", lambda: float(hub.draining))
        bind_reading("endpoint_streams", lambda: {(r.address,): r.streams for r in replicas()})
        bind_reading(
            "endpoint_ready", lambda: {(r.address,): float(r.state == "ready") for r in replicas()}
        )
        bind_reading("loop_lag_seconds", lambda: lag.histogram)
        bind_reading("loop_lag_max_seconds", lambda: lag.most)
        bind_reading("memory_used_bytes", lambda: pressure.level.used if pressure.level else {})
        bind_reading("memory_limit_bytes", lambda: pressure.level.limit if pressure.level else {})
        bind_reading("memory_cuts", lambda: pressure.cuts)
        if self._certificate is not None:
            reloads = self._certificate.reloads
            bind_reading("certificate_reloads", lambda: reloads)

    # ------------------------------------------------------------ the end

    async def drain(self) -> None:
        """Tell every client, spread out, while readiness says no; returns when all are gone.

        Bounded by the drain timeout. The port stays open until `close`, so that probes see it.
        """
        self._hub.draining = True
        if not await drain(
            self._context.clients, gone=self._admission.empty, within=self._config.drain_timeout
        ):
            logger.warning("%d clients had to be dropped", self._admission.open)

    async def close(self) -> None:
        """Release everything: upstream calls, connections, channels."""
        self._lag.stop()
        self._context.idle_timers.stop()
        for task in self._upkeep:
            task.cancel()
        if self._upkeep:
            await asyncio.wait(self._upkeep)
        await self._hub.close()
        for listener in (self._listener, self._admin):
            if listener is not None:
                await listener.close()
        if self._fleet is not None:
            await self._fleet.leave()
        await self._endpoints.close()


def listener_certificate(config: Config) -> ReloadableFiles[ssl.SSLContext] | None:
    """Read the listener's certificate, if it has one. Raises TlsError."""
    if not config.tls_cert:
        return None
    files = TlsFiles(cert=config.tls_cert, key=config.tls_key, ca=config.tls_client_ca or None)
    return ReloadableFiles(files.paths, lambda: load_server(files).context, what="certificate")


def endpoints(config: Config) -> Endpoints:
    """Make the tier's endpoints; raises ValueError, naming the file, where TLS can't be had."""
    files = TlsFiles(
        ca=config.upstream_ca or None,
        cert=config.upstream_cert or None,
        key=config.upstream_key or None,
    )
    server_name = config.upstream_server_name or None
    secure = config.upstream_tls == "on" or files.paths or server_name
    return Endpoints(
        config.upstream,
        keepalive=config.keepalive,
        read_interval=config.gather,
        tls=files if secure else None,
        server_name=server_name,
    )


def _live_settings(config: Config) -> LiveSettings:
    return LiveSettings(
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


async def serve(
    config: Config,
    *,
    on_listening: Callable[[str], None],
    fleet: MetricsFederation | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run a bridge until SIGTERM or SIGINT, then drain; a second signal ends it at once.

    SIGHUP has certificates read again. `stop` stands for the signals where somebody else watches
    them.
    """
    stop = stop or stop_signal()
    bridge = Bridge(config, fleet=fleet)
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(bridge.reload(), name="reading certificates")
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        url = await _unless(stop, bridge.start())
        if url is None:
            return
        logger.info(
            "livequery-bridge %s serves %s for %s", bridge_version(), url, ",".join(config.upstream)
        )
        on_listening(url)
        tune_gc()
        await stop.wait()
        stop.clear()
        await _unless(stop, bridge.drain())
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        if reloads:
            await asyncio.wait(reloads)
        await bridge.close()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Do some work unless `stop` comes first: then it is cancelled, and None is returned."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for either in (task, stopping):
            either.cancel()
        await asyncio.wait((task, stopping))


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
