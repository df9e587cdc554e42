"""Fixtures that several folders take: a bridge before a tier, a client, and the leak check."""

import asyncio

import aiohttp
import pytest

from bridge.app import Bridge
from bridge.config import resolve


@pytest.fixture
async def start_bridge(tier):
    """Start a bridge before the folder's tier; options as keywords, durations as text."""
    bridges = []

    async def start(**options):
        flags = {"upstream": tier.address, "listen": "127.0.0.1:0", "linger": "50ms"}
        flags.update(options)
        bridge = Bridge(resolve(flags, environ={})[0])
        bridges.append(bridge)
        bridge.url = await bridge.start()
        bridge.base = bridge.url + "/api/v1/live"
        return bridge

    yield start
    for bridge in bridges:
        await bridge.close()


@pytest.fixture
async def http():
    """A plain HTTP client."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


@pytest.fixture(autouse=True)
async def no_leaked_tasks():
    """Every task that a test's work began is over when the test is."""
    before = asyncio.all_tasks()
    yield
    async with asyncio.timeout(5):
        while leaked := {task for task in asyncio.all_tasks() - before if not _is_library(task)} - {
            asyncio.current_task()
        }:
            await asyncio.wait(leaked, timeout=0.05)


def _is_library(task):
    # grpc.aio keeps a poller per loop; it is the library's to end.
    return "grpc" in (getattr(task.get_coro(), "__module__", "") or repr(task.get_coro()))
