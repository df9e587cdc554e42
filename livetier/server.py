"""The composition root: a store, its watcher, the replay and a gRPC server are one tier."""

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client.registry import Collector

from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc
from livetier.demo.replay import Replay, start_minute
from livetier.engine.errors import unavailable
from livetier.engine.service import LiveQueryService
from livetier.engine.store import Store
from livetier.engine.watcher import Watcher
from livetier.monitoring import follow_health, metrics_served
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.metrics import StoreCollector
from livetier.postgres.options import SCHEMES, PostgresOptions, parse_options
from livetier.postgres.store import PostgresStore
from livetier.sqlite.database import path_of
from livetier.sqlite.metrics import ShortcutsCollector
from livetier.sqlite.store import SqliteStore
from livetier.sqlite.unusable import explained

AnyWatcher: TypeAlias = Watcher[Any, Any]

SERVICE = pb.DESCRIPTOR.services_by_name["LiveQueryService"].full_name
STOP_SECONDS = 1.0

_log = logging.getLogger("livetier")

_GRPC_OPTIONS = (
    # Otherwise two tiers may listen on one port, and each gets some of the calls.
    ("grpc.so_reuseport", 0),
    # Bridges ping idle connections; by default the server closes a connection for that.
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierOptions:
    """The options of a tier.

    ``listen``: ``HOST:PORT`` (port 0 picks one) or ``unix:/path``. ``database``: a URL
    ``sqlite:///path`` or ``postgresql://…``, or None for a temporary file, deleted when the tier
    stops. ``replay``: whether flights are replayed, which empties and fills the table ``flights``;
    None means: into a temporary file only. ``speed``: simulated seconds per second; 0 stops the
    clock, and ``Tier.replay.advance_to`` moves it. ``start``: the time of day to start at.
    ``shortcuts``: whether a window is read again only where a change may have touched it.
    The rest is for PostgreSQL: ``postgres.options`` explains it.
    """

    listen: str = "127.0.0.1:0"
    database: str | None = None
    speed: float = 60.0
    start: str = "05:00"
    replay: bool | None = None
    shortcuts: bool = True
    capture: str = "auto"
    schemas: str = "public"
    setting: Sequence[str] = ()
    role_from: str | None = None
    read_pool: int = 4
    metrics_listen: str | None = None


class Tier:
    """A running tier. ``address`` is where it listens, in the form of ``TierOptions.listen``.

    ``database`` is the SQLite file, if there is one.
    """

    def __init__(
        self,
        *,
        address: str,
        port: int,
        database: Path | None,
        watcher: AnyWatcher,
        replay: Replay | None,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        self.address = address
        self.port = port
        self.database = database
        self.watcher = watcher
        self.replay = replay
        self._stack = stack

    async def settle(self) -> None:
        """Read everything committed so far; its groups are in the outboxes on return."""
        await self.watcher.settle()

    async def stop(self) -> None:
        """End every stream with UNAVAILABLE and release everything; idempotent."""
        await self._stack.aclose()


async def start_tier(options: TierOptions) -> Tier:
    """Start a tier; it serves when this returns.

    Raises ValueError for options that make no sense, OSError for an address that is taken, a file
    that is missing, and a database that can't be used.
    """
    start = start_minute(options.start)
    async with contextlib.AsyncExitStack() as stack:
        database, replay, store = None, None, None
        if options.database is not None and options.database.startswith(SCHEMES):
            store, watcher = await _over_postgres(options)
            collector: Collector = StoreCollector(store)
        else:
            database = await _database(options, stack)
            file = SqliteStore(database, shortcuts=options.shortcuts)
            watcher, collector = Watcher(file), ShortcutsCollector(file.shortcuts)
            if options.replay if options.replay is not None else options.database is None:
                with explained(database):
                    replay = await asyncio.to_thread(Replay, database, start=start)
                stack.push_async_callback(asyncio.to_thread, replay.close)
            with explained(database):
                await watcher.open()
        if options.metrics_listen:
            await stack.enter_async_context(metrics_served(options.metrics_listen, collector))
        servicer, port, address = await _serve(stack, watcher, options.listen)
        if store is not None:
            _run_in_background(stack, follow_health(servicer, SERVICE, store))
        if replay is not None and options.speed > 0:
            _run_in_background(stack, replay.run(speed=options.speed, committed=watcher.settle))
        return Tier(
            address=address,
            port=port,
            database=database,
            watcher=watcher,
            replay=replay,
            stack=stack.pop_all(),
        )


async def start_store(store: Store[Any, Any], *, listen: str = "127.0.0.1:0") -> Tier:
    """Start a tier over any store (docs/tier-kit.md); it serves when this returns.

    Raises OSError for an address that is taken, and what the store raises when it is opened.
    """
    async with contextlib.AsyncExitStack() as stack:
        watcher: AnyWatcher = Watcher(store)
        await watcher.open()
        _, port, address = await _serve(stack, watcher, listen)
        return Tier(
            address=address,
            port=port,
            database=None,
            watcher=watcher,
            replay=None,
            stack=stack.pop_all(),
        )


async def _serve(
    stack: contextlib.AsyncExitStack, watcher: AnyWatcher, listen: str
) -> tuple[health.aio.HealthServicer, int, str]:
    """Serve a watcher that is open; return the health service, the port and the address."""
    server = grpc.aio.server(options=_GRPC_OPTIONS)
    stack.push_async_callback(_shut_down, server, watcher)
    servicer = _add_services(server, watcher)
    port = _bind(server, listen)
    await server.start()
    await servicer.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    stack.push_async_callback(servicer.enter_graceful_shutdown)
    _run_in_background(stack, watcher.run())
    host, _, _ = listen.rpartition(":")
    return servicer, port, listen if port == 0 else f"{host}:{port}"


async def run_tier(
    options: TierOptions, *, on_listening: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Run a tier until ``stop`` is set; call ``on_listening`` with its address when it serves."""
    tier = await start_tier(options)
    try:
        on_listening(tier.address)
        await stop.wait()
    finally:
        await tier.stop()


async def _over_postgres(options: TierOptions) -> tuple[PostgresStore, AnyWatcher]:
    if options.replay:
        raise ValueError("the flights are replayed into SQLite only")
    store = PostgresStore(postgres_options(options))
    watcher: AnyWatcher = Watcher(store)
    try:
        await watcher.open()
    except DatabaseError as error:
        raise OSError(str(error)) from None
    return store, watcher


def postgres_options(options: TierOptions) -> PostgresOptions:
    """Return what a store is told; raises ValueError for options that make no sense."""
    return parse_options(
        options.database or "",
        capture=options.capture,
        schemas=options.schemas,
        setting=options.setting,
        role_from=options.role_from,
        shortcuts=options.shortcuts,
        read_pool=options.read_pool,
    )


async def _database(options: TierOptions, stack: contextlib.AsyncExitStack) -> Path:
    if options.database is None:
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="livetier-")
        stack.push_async_callback(asyncio.to_thread, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder) / "flights.sqlite"
    path = path_of(options.database)
    # SQLite would create a mistyped file. Only a replay has something to put into a new one.
    if not options.replay and not await asyncio.to_thread(path.exists):
        raise FileNotFoundError(f"there is no database {path}")
    return path


def _add_services(server: grpc.aio.Server, watcher: AnyWatcher) -> health.aio.HealthServicer:
    livequery_pb2_grpc.add_LiveQueryServiceServicer_to_server(LiveQueryService(watcher), server)
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return servicer


def _bind(server: grpc.aio.Server, listen: str) -> int:
    """Return the port, or 0 for a Unix socket."""
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {listen}: {error}") from None
    return 0 if listen.startswith("unix:") else port


async def _shut_down(server: grpc.aio.Server, watcher: AnyWatcher) -> None:
    await watcher.close(unavailable("STOPPING", "the tier is stopping"))
    # After that time gRPC cancels the streams whose client does not read.
    await server.stop(STOP_SECONDS)


def _run_in_background(
    stack: contextlib.AsyncExitStack, work: Coroutine[object, object, None]
) -> None:
    """Run ``work`` in the background until the stack unwinds."""
    task = asyncio.create_task(work)
    task.add_done_callback(_log_failure)

    async def cancel() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(cancel)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a part of the tier has failed", exc_info=error)
