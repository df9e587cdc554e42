"""Fixtures of credentials: a scripted tier, and a bridge that verifies tokens."""

import asyncio
import contextlib
import json

import aiohttp
import pytest

from clients import QUERY
from house_fixtures import http, no_leaked_tasks, start_bridge  # noqa: F401 - fixtures
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
            async with asyncio.timeout(10):
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
            async with asyncio.timeout(10):
                while (await ws.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
            return ws.close_code


@pytest.fixture
def ways(http):
    return Ways(http)
