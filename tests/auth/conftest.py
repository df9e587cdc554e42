"""Fixtures of credentials: a scripted tier, and a bridge that verifies tokens."""

import asyncio
import contextlib
import json
import time

import aiohttp
import pytest

from bridge.app import Bridge
from bridge.config.loader import resolve
from clients import QUERY
from house_fixtures import (  # noqa: F401 - fixtures
    authority,
    http,
    no_leaked_tasks,
    run,
    serve,
    start_bridge,
)
from patience import patiently
from scripted_tier import ScriptedTier
from tokens import AUDIENCE, ISSUER, rsa_key


@pytest.fixture
async def tier():
    tier = await ScriptedTier().start()
    yield tier
    await tier.stop()


@pytest.fixture
def keys_file(tmp_path):
    path = tmp_path / "keys.pem"
    path.write_bytes(rsa_key().pem)
    return path


@pytest.fixture
def jwt_options(keys_file):
    return {
        "auth": "jwt",
        "jwt_keys": str(keys_file),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "max_connections_per_identity": "0",  # a test has few people, with many streams
    }


@pytest.fixture
async def start_jwt(start_bridge, jwt_options):
    async def start(**more):
        return await start_bridge(**{**jwt_options, **more})

    return start


class Ways:
    """Ways to ask: whole and plain (the fast path reads it), or in parts (aiohttp does)."""

    def __init__(self, http):
        self._http = http

    async def status(self, bridge, *, headers=None, target="", parts=False):
        """Ask for an event stream; returns the status."""
        host, port = bridge.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            body = json.dumps(QUERY)
            lines = [f"POST /api/v1/live{target} HTTP/1.1", f"Host: {host}:{port}"]
            lines += [f"{name}: {value}" for name, value in (headers or [])]
            lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
            text = ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")
            if parts:
                writer.write(text[:10])
                await writer.drain()
                await asyncio.sleep(0.01)
                text = text[10:]
            writer.write(text)
            async with patiently(10):
                line = await reader.readline()
            return int(line.split()[1])
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def socket(self, bridge, *, v1=False, headers=None, target=""):
        protocols = ("livequery.v1",) if v1 else ()
        async with self._http.ws_connect(
            bridge.base + "/ws" + target, headers=headers, protocols=protocols
        ) as ws:
            yield ws

    async def close_code(self, bridge, *, headers=None, target=""):
        """Subscribe on a core socket; returns the code that the bridge closes with."""
        async with self.socket(bridge, headers=headers, target=target) as ws:
            await ws.send_json({"action": "subscribe", "query": QUERY})
            async with patiently(10):
                while (await ws.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
            return ws.close_code


@pytest.fixture
def ways(http):
    return Ways(http)


class Clock:
    """A wall clock that a test moves."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def start_clocked(tier, jwt_options, clock):
    """Start a bridge that verifies tokens by the test's clock."""
    bridges = []

    async def start(**more):
        flags = {"upstream": tier.address, "listen": "127.0.0.1:0", "linger": "50ms"}
        bridge = Bridge(resolve({**flags, **jwt_options, **more}, environ={})[0], wall_clock=clock)
        bridges.append(bridge)
        bridge.url = await bridge.start()
        bridge.base = bridge.url + "/api/v1/live"
        return bridge

    yield start
    for bridge in bridges:
        await bridge.close()


class V1Client:
    """A v1 socket, message by message."""

    def __init__(self, ws):
        self.ws = ws

    async def say(self, **message):
        await self.ws.send_json(message)

    async def receive(self, within=10):
        """The next message; None when the socket is closed."""
        async with patiently(within):
            message = await self.ws.receive()
        return json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT else None

    async def until(self, kind):
        while (message := await self.receive()) is not None and message["type"] != kind:
            pass
        assert message is not None, f"closed with {self.ws.close_code} before {kind}"
        return message

    async def close_code(self):
        while await self.receive() is not None:
            pass
        return self.ws.close_code


@pytest.fixture
async def connect_v1(http):
    sockets = []

    async def connect(bridge, target="", **how):
        ws = await http.ws_connect(bridge.base + "/ws" + target, protocols=("livequery.v1",), **how)
        sockets.append(ws)
        return V1Client(ws)

    yield connect
    for ws in sockets:
        await ws.close()
