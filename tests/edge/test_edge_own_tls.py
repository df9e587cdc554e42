"""The bridge's own TLS listener: what its page's origin is, and the same answers as without."""

import asyncio
import ssl

import pytest

from house_fixtures import authority  # noqa: F401 - a fixture
from patience import patiently
from raw_client import (
    HEALTH_REQUEST,
    PING,
    STREAM_REQUEST,
    UPGRADE,
    RawClient,
    message,
    open_websocket,
    read_message,
)

BOTH_WAYS = pytest.mark.parametrize("cut", [0, 10], ids=["plain", "in parts"])
V1 = UPGRADE + b"Sec-WebSocket-Protocol: livequery.v1\r\n\r\n"


@pytest.fixture
async def secure(start_bridge, authority):
    """Start a bridge with TLS; returns a function that connects to it."""
    cert, key = authority.issue("listener", 1)
    bridge = await start_bridge(tls_cert=cert, tls_key=key)
    context = ssl.create_default_context(cafile=authority.ca)
    port = int(bridge.url.rsplit(":", 1)[1])
    writers = []

    async def connect():
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writers.append(writer)
        return RawClient(reader, writer)

    connect.bridge = bridge
    yield connect
    for writer in writers:
        writer.transport.abort()


async def ask(client, data, cut):
    if cut:
        client.send(data[:cut])
        await asyncio.sleep(0.02)
    client.send(data[cut:])
    return await client.head()


@BOTH_WAYS
@pytest.mark.parametrize("request_", [STREAM_REQUEST, UPGRADE + b"\r\n"], ids=["stream", "socket"])
@pytest.mark.parametrize(
    ("origin", "served"),
    [
        (b"https://localhost", True),
        (b"https://localhost:443", True),
        (b"http://localhost", False),
        (b"http://localhost:443", False),
        (b"null", False),
    ],
)
async def test_an_http_page_of_the_same_host_is_foreign(
    secure, tier, cut, request_, origin, served
):
    tier.rows = "a"
    client = await secure()
    request = request_.replace(b"Host", b"Origin: " + origin + b"\r\nHost", 1)
    head = await ask(client, request, cut)
    assert head[9:12] == (("200" if b"query" in request_ else "101") if served else "403")


@BOTH_WAYS
async def test_refusals_are_the_same_as_without_tls(secure, cut):
    for data, status in (
        (HEALTH_REQUEST.replace(b"healthz", b"nope"), "404"),
        (b"hello there, bridge\r\n\r\n", "400"),
        (HEALTH_REQUEST.replace(b"HTTP/1.1", b"HTTP/2.0"), "505"),
    ):
        client = await secure()
        head = await ask(client, data, cut)
        assert head[9:12] == status
        assert "X-Request-Id" in head
        assert "Server" not in head


@BOTH_WAYS
async def test_a_flood_is_sent_away_and_a_command_is_answered(secure, cut):
    client = await secure()
    await open_websocket(client, V1, cut)
    client.send(message(b'{"action":"ping"}'))
    assert await read_message(client) == 0x81
    client.send(message(b"", PING) * 2_000)
    while (code := await read_message(client)) < 1000:
        pass
    assert code == 1008


async def test_plain_http_on_the_tls_port_harms_nobody(secure, tier, caplog):
    tier.rows = "a"
    port = int(secure.bridge.url.rsplit(":", 1)[1])
    for data in (HEALTH_REQUEST, b"\x16\x03\x01\xff\xff" + bytes(100), b"\x80", bytes(70_000)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        async with patiently(5):
            assert len(await reader.read()) < 100, "an alert at most"
        writer.close()
    client = await secure()
    assert (await ask(client, STREAM_REQUEST, 0)).startswith("HTTP/1.1 200 ")
    assert not [r for r in caplog.records if r.exc_info and r.name.startswith("bridge")]
