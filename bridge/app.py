"""App: the composition root. Builds a bridge from a Config; owns the order of start and end."""

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from bridge.config.options import Config
from bridge.core.address import format_addresses
from bridge.core.origin import is_loopback
from bridge.live.hub import Hub
from bridge.live.stall_monitor import StallMonitor
from bridge.process.bridge_revoking import BridgeRevoking
from bridge.process.drain import drain
from bridge.process.fd_limit import connection_limits
from bridge.process.memory_guard import MemoryGuard
from bridge.process.memory_returner import MemoryReturner
from bridge.process.memory_usage import read_usage
from bridge.process.metrics_federation import MetricsFederation
from bridge.process.worker import WorkerSettings
from bridge.telemetry.loop_lag import LoopLag
from bridge.telemetry.metrics import Metrics
from bridge.telemetry.version import bridge_build, bridge_version
from bridge.web.admin.inspector import Inspector
from bridge.web.admin.inspector_handlers import InspectorHandlers
from bridge.web.admin.revoking import Revoking, revoke_handler
from bridge.web.admission import Admission
from bridge.web.context import WebContext
from bridge.web.listener import Listener
from bridge.web.listeners import Listeners, bind_listeners
from bridge.web.listening_sockets import bind
from bridge.web.open_streams import OpenStreams
from bridge.web.probes import ProbeHandlers
from bridge.web.routes import admin_application, application
from bridge.web.schema_cache import SchemaCache

from .factories import (
    authenticator,
    backend,
    endpoints,
    listener_certificate,
    live_settings,
    operator_token,
    query_rules,
    stream_limits,
    web_settings,
)
from .metric_bindings import bind_metrics

logger = logging.getLogger(__name__)

CERTIFICATE_CHECK_INTERVAL = 10.0
"""Seconds between two checks of the listener's certificate files."""


class Bridge:
    """A bridge in this event loop. `worker`: it is one of several that share the port.

    `wall_clock`: seconds since the epoch, by which credentials expire. `board`: its front page is
    the demo's departures board.

    Raises:
        TlsError: certificate files, the listener's or the tier's, can't be used.
        ConfigError: files of keys, secrets or revocations can't be used.

    """

    def __init__(
        self,
        config: Config,
        *,
        worker: WorkerSettings | None = None,
        wall_clock: Callable[[], float] = time.time,
        board: bool = False,
    ) -> None:
        self._config = config
        self._federation: MetricsFederation | None = None
        if worker is not None:
            self._federation = MetricsFederation(worker.directory, worker.name)
        self._certificate = listener_certificate(config)
        self._max_sockets, max_streams = connection_limits(config.max_connections)
        self.metrics = Metrics()
        self._loop_lag = LoopLag()
        self._endpoints = endpoints(config)
        tier, rules = backend(config, self._endpoints), query_rules(config)
        self._hub = Hub(
            backend=tier,
            settings=replace(live_settings(config), wall_clock=wall_clock),
            observer=self.metrics,
            flush_scheduler=self._endpoints.flush_scheduler,
            rules=rules,
        )
        stall_monitor = StallMonitor(stall=config.stall_timeout)
        self._memory = MemoryGuard(
            read=lambda: read_usage(config.memory_limit), cut=stall_monitor.shed
        )
        self._admission = Admission(
            stream_limits(config, max_streams), memory_short=lambda: self._memory.short
        )
        self.context = WebContext(
            hub=self._hub,
            stall_monitor=stall_monitor,
            admission=self._admission,
            settings=web_settings(config, board=board),
            authenticator=authenticator(
                config, ticket_key=worker.ticket_key if worker else None, clock=wall_clock
            ),
            schemas=SchemaCache(tier, rules=rules),
            open_streams=OpenStreams(config.max_stream_life),
        )
        self._revoking = BridgeRevoking(
            Revoking(self.context.authenticator, self._hub),
            standing=self.context.authenticator.revocations.standing,
            clock=wall_clock,
            worker=worker,
            file=config.revocations,
        )
        self._admin_token = operator_token(config)
        self._probes = ProbeHandlers(
            reasons=self.unready_reasons, replicas=self._replicas, exposition=self._exposition
        )
        self._listeners: Listeners | None = None
        self._admin: Listener | None = None
        self._tasks: list[asyncio.Task[None]] = []
        bind_metrics(
            self.metrics,
            hub=self._hub,
            endpoints=self._endpoints,
            stream_log=self.context.stream_log,
            sockets=lambda: self._listeners.connections if self._listeners else 0,
            refused_headers=lambda: self._listeners.refused_headers if self._listeners else 0,
            loop_lag=self._loop_lag,
            memory=self._memory,
            certificate=self._certificate,
            key_stores=self.context.authenticator.key_stores,
        )

    # ------------------------------------------------------------ start

    async def start(self) -> str:
        """Listen; returns the URLs. Raises OSError where an address can't be had.

        With `wait_for_tier` only the admin port answers until a tier is reachable. May be
        cancelled; `close` then releases what was opened.
        """
        config = self._config
        shared = self._federation is not None
        self._listeners = listeners = await bind_listeners(
            config.listen,
            context=self.context,
            application=lambda context: application(
                context,
                self._probes,
                # Never on a port that others can reach by accident.
                metrics=config.admin_listen is None and context.settings.loopback,
            ),
            certificate=self._certificate,
            limit=self._max_sockets,
            reuse_port=shared,
            proxies=config.trusted_proxies if config.proxy_protocol else None,
        )
        if self._federation is not None:
            await self._federation.join(self.metrics.exposition)
        await self._revoking.join()
        if config.admin_listen is not None:
            await self._open_admin(await bind(*config.admin_listen, reuse_port=shared))
        tier = format_addresses(config.upstream)
        if config.wait_for_tier:
            logger.info("waiting for a tier at %s", tier)
            while not await self._endpoints.reachable(within=60):
                pass
        await listeners.open()
        self.start_background_tasks()
        if self._certificate is not None:
            self._start_task(self._check_certificate(), "certificate check")
        version = f"{bridge_version()} ({bridge_build()})"
        logger.info("livequery-bridge %s serves %s for %s", version, listeners.url, tier)
        return listeners.url

    def start_background_tasks(self) -> None:
        """Start what a bridge does beside serving, on a listener of its own or not."""
        self._start_task(self._memory.run(), "memory guard")
        returner = MemoryReturner(
            lambda: self._listeners.closed_connections if self._listeners is not None else 0
        )
        self._start_task(returner.run(), "memory returner")
        self._start_task(self._revoking.watch_file(), "revocations file")
        for store in self.context.authenticator.key_stores:
            self._start_task(store.keep_current(), "keys of tokens")

    async def _open_admin(self, sockets: list[socket.socket]) -> None:
        inspector = InspectorHandlers(Inspector(self._hub, self._replicas), self._ask_to_drain)
        app = admin_application(
            self.context,
            self._probes,
            loopback=is_loopback(sockets[0].getsockname()[0]),
            token=self._admin_token,
            commands={
                "revoke": revoke_handler(self._revoking.revoke),
                "drain": inspector.ask_to_drain,
            },
            inspector=inspector,
        )
        self._admin = Listener(app, sockets)
        await self._admin.open()
        logger.info("metrics and health at %s", self._admin.url)

    def _ask_to_drain(self) -> None:
        """Have the process drain and end, as SIGTERM does; all workers, where there are several."""
        os.kill(os.getppid() if self._federation is not None else os.getpid(), signal.SIGTERM)

    def _start_task(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    # ------------------------------------------------------------ while it runs

    async def reload(self) -> None:
        """Read changed certificate files again, the listener's and the tier's."""
        if self._listeners is not None:
            await self._listeners.reload_certificate()
        await self._endpoints.reload()

    async def _check_certificate(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_CHECK_INTERVAL)
            if self._listeners is not None:
                await self._listeners.reload_certificate()

    async def unready_reasons(self) -> list[str]:
        """Return why the bridge is not ready, as `/readyz` says it; may take a second."""
        if self._hub.draining:
            return ["draining"]
        reasons = []
        if self._admission.full:
            reasons.append("no more connections to give")
        if self._memory.short:
            reasons.append("short of memory")
        if any(store.current is None for store in self.context.authenticator.key_stores):
            reasons.append("no keys to verify tokens")
        if not await self._endpoints.reachable():
            reasons.append("no tier reachable")
        # A drain may have begun during the await.
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
        if self._federation is not None:
            return await self._federation.merged_exposition()
        return self.metrics.exposition()

    # ------------------------------------------------------------ the end

    async def drain(self) -> None:
        """Say goodbye to every client, spread over time; returns when all are gone.

        Takes at most the drain timeout. `/readyz` says `draining` from now on; the port stays open
        until `close`, so that probes can read it.
        """
        self._hub.draining = True
        if not await drain(
            self.context.open_streams, gone=self._admission.empty, within=self._config.drain_timeout
        ):
            logger.warning("%d clients had to be dropped", self._admission.open)

    async def close(self) -> None:
        """Release everything: upstream calls, connections, channels."""
        self._loop_lag.stop()
        self.context.stop_timers()
        self.context.open_streams.stop()
        self.context.authenticator.watch.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for store in self.context.authenticator.key_stores:
            await store.close()
        await self._hub.close()
        await self.context.schemas.close()
        for listener in (self._listeners, self._admin):
            if listener is not None:
                await listener.close()
        await self._revoking.leave()
        if self._federation is not None:
            await self._federation.leave()
        await self._endpoints.close()
