"""Fixtures of the edge: a scripted tier, a bridge before it, a client; and the leak check."""

import asyncio
import contextlib
import json

import pytest
from aiohttp import web

from clients import QUERY, SseClient
from house_fixtures import authority, http, no_leaked_tasks, start_bridge  # noqa: F401 - fixtures
from raw_client import RawClient
from scripted_tier import ScriptedTier


@pytest.fixture
async def tier():
    """A scripted tier on a real port."""
    tier = await ScriptedTier().start()
    yield tier
    await tier.stop()


@pytest.fixture
async def open_sse(tier, http):
    """Open a stream and answer it as the tier: returns client and call, the snapshot read."""
    clients = []

    async def open_sse(bridge, *ids, started=None, **more):
        asking = asyncio.create_task(http.post(bridge.base, data=json.dumps(QUERY), **more))
        call = await tier.next_call()
        call.start(**(started or {}))
        call.snapshot(*ids)
        clients.append(SseClient(await asking))
        await clients[-1].frames(len(ids) + 1)
        return clients[-1], call

    yield open_sse
    for client in clients:
        client.close()


@pytest.fixture
async def wire():
    writers = []

    async def connect(bridge):
        host, port = bridge.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writers.append(writer)
        return RawClient(reader, writer)

    yield connect
    for writer in writers:
        writer.transport.abort()  # what is unsent would keep the connection beyond the test
    for writer in writers:
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
def aiohttp_connections(monkeypatch):
    """How many connections aiohttp has got."""
    counted = []
    made = web.RequestHandler.connection_made

    def connection_made(self, transport):
        counted.append(self)
        made(self, transport)

    monkeypatch.setattr(web.RequestHandler, "connection_made", connection_made)
    return counted


@pytest.fixture
def fail_subscriptions(monkeypatch):
    """Have each subscription of a bridge fail before it is made: `failure()` is raised."""

    def fail(bridge, failure):
        def check(_):
            raise failure()

        # Of what the hub asks first, the part that can be replaced in both builds.
        monkeypatch.setattr(bridge._hub._too_large, "check", check)

    return fail
