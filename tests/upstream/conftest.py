"""Fixtures of the upstream floor: replicas, endpoints before them, and the leak check."""

import contextlib

import pytest
from upstream_tier import Replica

from bridge.core.address import parse_address
from bridge.upstream.backend import GrpcBackend
from bridge.upstream.call_opener import CallOpener
from bridge.upstream.endpoints import Endpoints
from house_fixtures import no_leaked_tasks  # noqa: F401 - fixtures


@pytest.fixture
async def replica():
    """Start replicas: `await replica(...)`; keywords as Replica and its start take them."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(port=0, *, options=(), credentials=None, where=None, **more):
            tier = await Replica(**more).start(
                port, options=options, credentials=credentials, where=where
            )
            stack.push_async_callback(tier.stop)
            return tier

        yield start


@pytest.fixture
async def bridge_to():
    """Make endpoints and a backend before replicas or addresses; keywords go to Endpoints."""
    async with contextlib.AsyncExitStack() as stack:

        def connect(*tiers, pace=None, **more):
            texts = [tier if isinstance(tier, str) else tier.address for tier in tiers]
            endpoints = Endpoints(map(parse_address, texts), **more)
            stack.push_async_callback(endpoints.close)
            return endpoints, GrpcBackend(CallOpener(endpoints, **(pace or {})))

        yield connect


@pytest.fixture
async def opened():
    """Subs to be closed in the end."""
    subs = []
    yield subs
    for sub in subs:
        sub.close()
