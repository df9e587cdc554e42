"""The tier's own metrics, and its health where its store knows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from grpc_health.v1 import health, health_pb2
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from livetier.postgres.store import PostgresStore

HEALTH_SECONDS = 0.5


@contextlib.asynccontextmanager
async def metrics_served(listen: str, collector: Collector) -> AsyncIterator[None]:
    """Serve what ``collector`` has at ``listen``, HOST:PORT, on a thread, until the block ends.

    Raises OSError for an address that is taken, ValueError for one that is none.
    """
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise ValueError(f"--metrics-listen is HOST:PORT, not {listen!r}")
    registry = CollectorRegistry()
    registry.register(collector)
    server, thread = await asyncio.to_thread(
        start_http_server, int(port), addr=host.strip("[]") or "127.0.0.1", registry=registry
    )
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)


async def follow_health(
    servicer: health.aio.HealthServicer, service: str, store: PostgresStore
) -> None:
    """Say NOT_SERVING while the database cannot be read, so that bridges ask another tier."""
    said = True
    while True:
        await asyncio.sleep(HEALTH_SECONDS)
        if store.reachable != said:
            said = store.reachable
            answer = health_pb2.HealthCheckResponse
            await servicer.set(service, answer.SERVING if said else answer.NOT_SERVING)
