"""Whose address limits count: the connection's, or what a trusted proxy says; both ways alike."""

import asyncio
import contextlib
import json
import socket
import ssl
from urllib.parse import quote

import pytest

from bridge.core.proxy_header import V2_SIGNATURE
from clients import QUERY
from ops_support import samples
from waiting import until

V1 = b"PROXY TCP4 %b 10.0.0.1 4711 443\r\n"
BODY = json.dumps(QUERY).encode()


def plain(*fields, method="POST"):
    """A request that the fast path reads."""
    lines = "".join(f"{field}\r\n" for field in fields)
    return (
        f"POST /api/v1/live HTTP/1.1\r\nHost: localhost\r\n{lines}"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY


def odd(*fields):
    """The same, with a header that leaves it to aiohttp."""
    return plain("Expect: 100-continue", *fields)


def upgrade(*fields):
    lines = "".join(f"{field}\r\n" for field in fields)
    return (
        f"GET /api/v1/live/ws HTTP/1.1\r\nHost: localhost\r\n{lines}Connection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


@pytest.fixture
async def connect():
    writers = []

    async def connect(bridge, data, *, source="127.0.0.1", context=None):
        """Send bytes from an address of this machine; returns the reader of the answer."""
        port = int(bridge.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, local_addr=(source, 0), ssl=context
        )
        writers.append(writer)
        writer.write(data)
        return reader

    yield connect
    for writer in writers:
        writer.transport.abort()


async def status_line(reader):
    """Return the line of the final response."""
    while b" 100 " in (line := await reader.readline()):
        await reader.readline()
    return line


def counted(bridge):
    return dict(bridge.context.admission._by_address)


@pytest.mark.parametrize("request_of", [plain, odd, upgrade])
@pytest.mark.parametrize(
    ("source", "fields", "address"),
    [
        ("127.0.0.1", ["X-Forwarded-For: 203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["X-Forwarded-For: 198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["Forwarded: for=203.0.113.7;proto=https"], "203.0.113.7"),
        ("127.0.0.1", ['Forwarded: for="[2001:db8::7]:80"'], "2001:db8::/64"),
        (
            "127.0.0.1",
            ["X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 127.0.0.9"],
            "203.0.113.7",
        ),
        ("127.0.0.1", ["X-Forwarded-For: 203.0.113.7", "Forwarded: for=1.2.3.4"], "127.0.0.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.1.1", ["X-Forwarded-For: 203.0.113.7"], "127.0.1.1"),
    ],
)
async def test_a_client_is_counted_by_the_address_that_a_trusted_proxy_names(
    start_bridge, tier, connect, request_of, source, fields, address
):
    tier.rows = ["a"]
    bridge = await start_bridge(trusted_proxies="127.0.0.0/24")
    reader = await connect(bridge, request_of(*fields), source=source)
    await reader.readline()
    await until(lambda: counted(bridge) == {address: 1})


async def test_equal_requests_of_a_proxy_and_of_a_client_are_counted_apart(
    start_bridge, tier, connect
):
    """The fast path remembers what it has parsed, but not for whom."""
    tier.rows = ["a"]
    bridge = await start_bridge(trusted_proxies="127.0.0.1")
    request = plain("X-Forwarded-For: 203.0.113.7")
    for source in ("127.0.0.1", "127.0.0.2", "127.0.0.1"):
        await (await connect(bridge, request, source=source)).readline()
    assert counted(bridge) == {"203.0.113.7": 2, "127.0.0.2": 1}


# ------------------------------------------------------------------ PROXY protocol


def v2(client="203.0.113.7"):
    body = socket.inet_aton(client) + socket.inet_aton("10.0.0.1") + b"\x12\x34\x01\xbb"
    return V2_SIGNATURE + b"\x21\x11" + (len(body) + 4).to_bytes(2) + body + b"\x04\x00\x01x"


@pytest.fixture
def proxied(start_bridge):
    async def start(**options):
        return await start_bridge(trusted_proxies="127.0.0.1", proxy_protocol="on", **options)

    return start


@pytest.mark.parametrize("request_of", [plain, odd, upgrade])
@pytest.mark.parametrize(
    ("header", "address"),
    [
        (V1 % b"203.0.113.7", "203.0.113.7"),
        (v2(), "203.0.113.7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (V2_SIGNATURE + b"\x20\x00\x00\x00", "127.0.0.1"),
    ],
)
async def test_a_client_is_counted_by_the_address_in_its_proxy_header(
    proxied, tier, connect, request_of, header, address
):
    tier.rows = ["a"]
    bridge = await proxied()
    reader = await connect(bridge, header + request_of())
    assert b"HTTP/1.1 " in await reader.readline()
    await until(lambda: counted(bridge) == {address: 1})


@pytest.mark.parametrize("wrong", [plain(), b"PROXY TCP4 x\r\n" + plain(), b"PROXY " + b"x" * 200])
async def test_a_trusted_proxy_without_a_right_header_is_closed(proxied, connect, http, wrong):
    bridge = await proxied(admin_listen="127.0.0.1:0")
    reader = await connect(bridge, wrong)
    with contextlib.suppress(ConnectionResetError):  # it had sent more than was read
        assert await reader.read() == b""
    found = await samples(http, bridge._admin.url)
    assert found["proxy_headers_refused_total"] == 1


async def test_others_than_trusted_proxies_are_served_as_they_are(proxied, tier, connect):
    tier.rows = ["a"]
    bridge = await proxied()
    reader = await connect(bridge, plain(), source="127.0.0.2")
    assert b" 200 " in await reader.readline()
    assert counted(bridge) == {"127.0.0.2": 1}
    reader = await connect(bridge, V1 % b"203.0.113.7" + plain(), source="127.0.0.2")
    assert b" 400 " in await reader.readline(), "its header is no request"


async def test_the_proxy_header_comes_before_tls(proxied, tier, authority):
    tier.rows = ["a"]
    cert, key = authority.issue("server", 1)
    bridge = await proxied(tls_cert=cert, tls_key=key)
    port = int(bridge.url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=authority.ca)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(v2())
    await writer.drain()
    await writer.start_tls(context, server_hostname="localhost")
    writer.write(plain())
    assert b" 200 " in await reader.readline()
    assert counted(bridge) == {"203.0.113.7": 1}
    writer.transport.abort()


async def test_a_header_in_single_bytes_is_read_and_a_slow_one_delays_nobody(
    proxied, tier, connect
):
    tier.rows = ["a"]
    bridge = await proxied()
    slow = await connect(bridge, b"PRO")
    reader = await connect(bridge, b"")
    writer = reader._transport
    for byte in V1 % b"203.0.113.7":
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    writer.write(plain())
    assert b" 200 " in await reader.readline()
    assert not slow.at_eof()


# ------------------------------------------------------------------ --allowed-hosts


@pytest.mark.parametrize("request_of", [plain, odd, upgrade])
@pytest.mark.parametrize(
    ("listen", "host", "served"),
    [
        ("0.0.0.0:0", "app.example", True),
        ("0.0.0.0:0", "APP.example:8443", True),
        ("0.0.0.0:0", "app.example.", True),
        ("0.0.0.0:0", "a.b.example", True),
        ("0.0.0.0:0", "[::1]:80", True),
        ("0.0.0.0:0", "evil.com", False),
        ("0.0.0.0:0", "b.example", False),
        ("0.0.0.0:0", "app.example.evil.com", False),
        ("0.0.0.0:0", "evil.com@app.example", False),
        ("0.0.0.0:0", "localhost", False),
        ("0.0.0.0:0", "", False),
        ("127.0.0.1:0", "app.example", True),
        ("127.0.0.1:0", "localhost", True),
        ("127.0.0.1:0", "evil.com", False),
    ],
)
async def test_a_request_for_a_host_that_is_not_listed_is_refused(
    start_bridge, tier, connect, request_of, listen, host, served
):
    tier.rows = ["a"]
    bridge = await start_bridge(
        auth="forward", listen=listen, allowed_hosts="app.example,*.b.example,::1"
    )
    request = request_of().replace(b"Host: localhost", f"Host: {host}".encode())
    line = await status_line(await connect(bridge, request))
    assert (b" 403 " not in line) is served, line


async def test_probes_are_answered_whatever_host_they_name(start_bridge, http):
    bridge = await start_bridge(auth="forward", listen="0.0.0.0:0", allowed_hosts="app.example")
    url = f"http://127.0.0.1:{bridge.url.rpartition(':')[2]}"
    for path, status in (("/healthz", 200), ("/metrics", 403), ("/api/v1/live", 403)):
        async with http.get(url + path, headers={"Host": "10.0.0.7:8080"}) as answer:
            assert answer.status == status, path


async def test_without_the_option_any_host_is_served_on_a_public_address(start_bridge, tier, http):
    tier.rows = ["a"]
    bridge = await start_bridge(auth="forward", listen="0.0.0.0:0")
    port = bridge.url.rpartition(":")[2]
    url = f"http://127.0.0.1:{port}/api/v1/live?query={quote(json.dumps(QUERY))}"
    async with http.get(url, headers={"Host": "evil.com"}) as answer:
        assert answer.status == 200
