"""Refusals: the same bytes, whether the bridge or aiohttp reads the request."""

import asyncio
import json
import random
import re
from functools import partial

import pytest

from bridge.core.errors import FAILURES, Failed, Kind
from clients import QUERY
from patience import patiently
from raw_client import HEALTH_REQUEST, STREAM_REQUEST, UPGRADE_REQUEST, RawClient

BODY = json.dumps(QUERY).encode()
POST = b"POST /api/v1/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
FORMS = {
    "plain": STREAM_REQUEST,
    "to be closed": STREAM_REQUEST.replace(b"\r\nHost", b"\r\nConnection: close\r\nHost"),
    "from a listed page": STREAM_REQUEST.replace(
        b"\r\nHost", b"\r\nOrigin: https://page.example\r\nHost"
    ),
    "soft": STREAM_REQUEST.replace(b"?", b"?soft=1&"),
    "post": POST,
}
CUT = 10
AT_ONCE = 200


async def answer(bridge, data, cut=0, timeout=5):
    """The whole response to a request, the changing fields named; b"" if none comes."""
    host, port = bridge.url.removeprefix("http://").split(":")
    client = RawClient(*await asyncio.open_connection(host, int(port)))
    try:
        if cut:
            client.send(data[:cut])
            await asyncio.sleep(0.02)
        client.send(data[cut:])
        async with patiently(timeout):
            head = b"HTTP/1.1 100 "
            while head.startswith(b"HTTP/1.1 100 "):
                head = await client.reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"Content-Length: (\d+)", head)
            asks_for_body = size and not data.startswith(b"HEAD")
            body = await client.reader.readexactly(int(size[1])) if asks_for_body else b""
        return re.sub(rb"(Date|X-Request-Id): [^\r]*", rb"\1: ...", head) + body
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        return b""
    finally:
        client.writer.close()


async def both(bridge, aiohttp_connections, data):
    """The responses of both ways; the first way must not have asked aiohttp."""
    before = len(aiohttp_connections)
    ours = await answer(bridge, data)
    assert len(aiohttp_connections) == before
    theirs = await answer(bridge, data, CUT)
    assert len(aiohttp_connections) == before + 1
    return ours, theirs


@pytest.mark.parametrize("kind", FAILURES)
async def test_each_failure_is_the_same_bytes_both_ways(
    start_bridge, aiohttp_connections, fail_subscriptions, kind
):
    bridge = await start_bridge(allowed_origins="https://page.example")
    for more in ({}, {"field": "where[0].op", "retry_after": 2.5, "code": "ABORTED"}):
        fail_subscriptions(bridge, partial(Failed, kind, 'no "ä"', **more))
        for data in FORMS.values():
            ours, theirs = await both(bridge, aiohttp_connections, data)
            assert ours
            assert ours == theirs
    refused = bridge.context.stream_log.refused
    assert refused["http", kind.name.lower()] == 2 * 2 * len(FORMS), "each is counted once"


@pytest.mark.parametrize("data", [STREAM_REQUEST, UPGRADE_REQUEST], ids=["stream", "WebSocket"])
async def test_a_limit_is_the_same_bytes_both_ways(start_bridge, aiohttp_connections, data):
    bridge = await start_bridge(max_connections="1")
    bridge._admission.open = 1
    ours, theirs = await both(bridge, aiohttp_connections, data)
    assert ours.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert ours == theirs


async def test_a_refusal_while_the_bridge_drains_is_the_same_bytes_and_closes(
    start_bridge, aiohttp_connections
):
    bridge = await start_bridge()
    bridge._hub.draining = True
    ours, theirs = await both(bridge, aiohttp_connections, STREAM_REQUEST)
    assert b"\r\nConnection: close\r\n" in ours
    assert ours == theirs


async def test_after_a_refusal_a_connection_serves_what_came_behind_it(
    start_bridge, tier, wire, aiohttp_connections
):
    bridge = await start_bridge(max_connections_per_ip="1")
    first, second = await wire(bridge), await wire(bridge)
    await first.stream(tier)
    for data in (STREAM_REQUEST, UPGRADE_REQUEST):
        second.send(data)
        head = await second.head()
        assert head.startswith("HTTP/1.1 429 ")
        await second.body(head)
    assert not aiohttp_connections
    second.send(HEALTH_REQUEST)
    assert await second.body(await second.head()) == b"ok\n"


async def test_a_refused_connection_is_closed_where_its_client_wants_it(start_bridge, wire):
    bridge = await start_bridge()
    client = await wire(bridge)
    client.send(b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    async with patiently(5):
        assert (await client.reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_takes_no_refusal_is_not_read(start_bridge, wire):
    """Or each of its requests would leave a response in memory."""
    bridge = await start_bridge()
    client = await wire(bridge)
    bad = b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    client.send(bad)
    await client.body(await client.head())
    [connection] = bridge._listeners.all[0]._fast_path.registry._connections
    connection.pause_writing()  # as the transport does over its high-water mark
    client.send(bad)
    await client.body(await client.head())
    client.send(bad)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.reader.readexactly(1)
    connection.resume_writing()
    assert (await client.head()).startswith("HTTP/1.1 400 ")


WINDOW = b"%b /api/v1/live/window HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BASES = (
    FORMS["plain"].replace(b"entity", b"e"),
    FORMS["plain"],
    FORMS["from a listed page"],
    UPGRADE_REQUEST,
    UPGRADE_REQUEST.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: livequery.v1\r\n\r\n"),
    POST,
    POST.replace(b"{", b"[", 1),
    POST.replace(b"\r\n\r\n", b"\r\nCookie: a=b\r\nSec-Fetch-Site: same-origin\r\n\r\n", 1),
    (WINDOW + b"Content-Length: %d\r\n\r\n%b") % (b"QUERY", len(BODY), BODY),
    STREAM_REQUEST.replace(b"/live?", b"/live/window?").replace(b"GET", b"HEAD"),
    (
        b"OPTIONS /api/v1/live HTTP/1.1\r\nHost: localhost\r\nOrigin: https://page.example\r\n"
        b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: b3,x-tenant\r\n\r\n"
    ),
    HEALTH_REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\nX-Request-Id: me\r\n\r\n"),
)
LINES = (
    b"Transfer-Encoding: chunked",
    b"Content-Encoding: gzip",
    b"Content-Length: 0",
    b"Connection: close",
    b"Connection: keep-alive, x",
    b"Expect: 100-continue",
    b"Origin: null",
    b"Origin: http://localhost",
    b"Host: evil.example",
    b"Authorization: Bearer a",
    b"Upgrade: h2c",
    b"Sec-Fetch-Site: cross-site",
    b"Cookie: a=b",
    b"Proxy-Connection: x",
    b"X-Note: \xff",
)
HOWS = ("byte", "byte", "insert", "insert", "delete", "repeat", "drop", "swap", "line", "tail")


def mutated(seed):
    """A request with one or two things changed: a byte, or a line that is there twice or not."""
    pick = random.Random(seed)
    data = pick.choice(BASES)
    for _ in range(pick.choice([1, 1, 2])):
        data = changed(pick, data, pick.choice(HOWS))
    return data


def changed(pick, data, how):
    if how == "tail":
        return data + pick.choice([b"\r\n", b"x", b"\x00\x01", HEALTH_REQUEST])
    if how in ("repeat", "drop", "swap", "line"):
        lines = data.split(b"\r\n")
        at = pick.randrange(1, len(lines))
        if how == "repeat":
            lines.insert(at, lines[at])
        elif how == "drop":
            del lines[at]
        elif how == "line":
            lines.insert(at, pick.choice(LINES))
        else:
            lines[at - 1], lines[at] = lines[at], lines[at - 1]
        return b"\r\n".join(lines)
    at = pick.randrange(CUT + 1, len(data))
    byte = bytes([pick.choice(b"\r\n \t:,;=%#?/\x00\x7f\xff{}\"'aZ09")])
    return data[:at] + (b"" if how == "delete" else byte) + data[at + (how != "insert") :]


@pytest.mark.parametrize(
    "count", [600, pytest.param(20_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
async def test_mutated_requests_get_the_same_answer_both_ways(
    start_bridge, aiohttp_connections, fail_subscriptions, caplog, count
):
    """Headers and all, what can't be read included."""
    bridge = await start_bridge(max_connections_per_ip="0", allowed_origins="https://page.example")
    fail_subscriptions(bridge, partial(Failed, Kind.NOT_FOUND, "no such entity"))
    for start in range(0, count, AT_ONCE):
        requests = [mutated(seed) for seed in range(start, start + AT_ONCE)]
        ours, theirs = await asyncio.gather(
            *(
                asyncio.gather(*(answer(bridge, data, cut, 0.5) for data in requests))
                for cut in (0, CUT)
            )
        )
        for data, *answers in zip(requests, ours, theirs, strict=True):
            one, other = answers
            if bool(one) is not bool(other):  # late, or not at all
                one, other = [await answer(bridge, data, cut) for cut in (0, CUT)]
            assert one == other, data
            assert not one or b"X-Request-Id: " in one
    served_here = 2 * count - len(aiohttp_connections)
    assert served_here > count / 10
    assert not [record for record in caplog.records if record.exc_info and record.name != "asyncio"]
