"""Composition: a database, its watcher, the replay and a gRPC server as one tier."""

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc
from livetier.database import path_of
from livetier.errors import unavailable
from livetier.replay import Replay, start_minute
from livetier.service import LiveQueryService
from livetier.watcher import Watcher

SERVICE = pb.DESCRIPTOR.services_by_name["LiveQueryService"].full_name
STOP_SECONDS = 1.0

_log = logging.getLogger("livetier")

_GRPC_OPTIONS = (
    # Two tiers on one port would each get some of the calls.
    ("grpc.so_reuseport", 0),
    # Bridges ping idle connections; the default is to hang up on them for it.
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierOptions:
    """What a tier is to be.

    ``listen``: ``HOST:PORT`` (port 0 picks one) or ``unix:/path``. ``database``: a URL
    ``sqlite:///path``, or None for a private file, removed in the end. ``replay``: whether the
    flights are played; None means: into a private database only. It empties and fills the table
    ``flights``. ``speed``: simulated seconds per second; 0 leaves the clock to
    ``Tier.replay.advance_to``. ``start``: the time of the day to begin at.
    """

    listen: str = "127.0.0.1:0"
    database: str | None = None
    speed: float = 60.0
    start: str = "05:00"
    replay: bool | None = None


class Tier:
    """A running tier. ``address`` is where it listens, in the form that ``listen`` has."""

    def __init__(
        self,
        *,
        address: str,
        port: int,
        database: Path,
        watcher: Watcher,
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
        """Wait until everything committed so far has become groups in the outboxes."""
        await self.watcher.settle()

    async def stop(self) -> None:
        """End every stream with UNAVAILABLE and release everything; idempotent."""
        await self._stack.aclose()


async def start_tier(options: TierOptions) -> Tier:
    """Start a tier; it serves when this returns.

    Raises ValueError for options that make no sense, OSError when the address or the database
    cannot be had, sqlite3.Error when the database is none.
    """
    start = start_minute(options.start)
    async with contextlib.AsyncExitStack() as stack:
        database = await _database(options, stack)
        watcher = Watcher(database)
        replay = None
        if options.replay if options.replay is not None else options.database is None:
            replay = await asyncio.to_thread(Replay, database, start=start)
            stack.push_async_callback(asyncio.to_thread, replay.close)
        await watcher.open()
        server = grpc.aio.server(options=_GRPC_OPTIONS)
        stack.push_async_callback(_shut_down, server, watcher)
        servicer = _add_services(server, watcher)
        port = _bind(server, options.listen)
        await server.start()
        await servicer.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        stack.push_async_callback(servicer.enter_graceful_shutdown)
        _keep(stack, watcher.run())
        if replay is not None and options.speed > 0:
            _keep(stack, replay.run(speed=options.speed, committed=watcher.settle))
        host, _, _ = options.listen.rpartition(":")
        address = options.listen if port == 0 else f"{host}:{port}"
        return Tier(
            address=address,
            port=port,
            database=database,
            watcher=watcher,
            replay=replay,
            stack=stack.pop_all(),
        )


async def run_tier(
    options: TierOptions, *, on_listening: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Run a tier until ``stop`` is set; ``on_listening`` gets its address once it serves."""
    tier = await start_tier(options)
    try:
        on_listening(tier.address)
        await stop.wait()
    finally:
        await tier.stop()


async def _database(options: TierOptions, stack: contextlib.AsyncExitStack) -> Path:
    if options.database is None:
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="livetier-")
        stack.push_async_callback(asyncio.to_thread, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder) / "flights.sqlite"
    path = path_of(options.database)
    # SQLite would make a file of a mistyped name; only the replay has something to put there.
    if not options.replay and not await asyncio.to_thread(path.exists):
        raise FileNotFoundError(f"there is no database {path}")
    return path


def _add_services(server: grpc.aio.Server, watcher: Watcher) -> health.aio.HealthServicer:
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


async def _shut_down(server: grpc.aio.Server, watcher: Watcher) -> None:
    await watcher.close(unavailable("STOPPING", "the tier is stopping"))
    # Streams whose consumer does not read are cut when the time is over.
    await server.stop(STOP_SECONDS)


def _keep(stack: contextlib.AsyncExitStack, work: Coroutine[object, object, None]) -> None:
    """Run ``work`` in the background until the stack unwinds."""
    task = asyncio.create_task(work)
    task.add_done_callback(_tell)

    async def cancel() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(cancel)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a part of the tier has failed", exc_info=error)
