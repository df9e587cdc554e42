"""Answers: all that the bridge says over HTTP has one form, by both ways of serving."""

import asyncio
import gc
import gzip
import json
import logging
import re
import zlib

import pytest

from bridge.web.sse.half_close import HalfCloseProbe
from clients import QUERY
from patience import patiently
from raw_client import HEALTH_REQUEST, STREAM_REQUEST, UPGRADE_REQUEST, exchange

BODY = json.dumps(QUERY).encode()
POST = b"POST /api/v1/live HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n%b"
CUT = 10
BOTH_WAYS = pytest.mark.parametrize("cut", [0, CUT], ids=["plain", "in parts"])


def with_line(request, line):
    return request.replace(b"\r\nHost", b"\r\n" + line + b"\r\nHost", 1)


def health(first_line):
    return HEALTH_REQUEST.replace(b"GET /healthz HTTP/1.1", first_line)


REFUSED = {
    "an unknown path": (health(b"GET /nope HTTP/1.1"), 404),
    "another method": (health(b"DELETE /healthz HTTP/1.1"), 405),
    "no stream by HEAD": (health(b"PUT /api/v1/live HTTP/1.1"), 405),
    "a bad query": (health(b"GET /api/v1/live?query=x HTTP/1.1"), 400),
    "a long body": (POST % (b"", 20_000, b" " * 20_000), 413),
    "another Expect": (with_line(HEALTH_REQUEST, b"Expect: tea"), 417),
    "a foreign origin": (with_line(HEALTH_REQUEST, b"Origin: https://evil.example"), 403),
    "an origin with a tab": (with_line(STREAM_REQUEST, b"Origin: http://local\thost"), 403),
    "no upgrade": (health(b"GET /api/v1/live/ws HTTP/1.1"), 400),
    "no request": (b"hello\r\n\r\n", 400),
    "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40), 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/2.0 in words": (health(b"GET /healthz HTTP/2.0"), 505),
    "a stream by HTTP/2.0": (STREAM_REQUEST.replace(b"HTTP/1.1", b"HTTP/2.0"), 505),
    "no version": (health(b"GET /healthz"), 400),
    "a stream without a version": (STREAM_REQUEST.replace(b" HTTP/1.1", b""), 400),
    "HTTP/1.2": (health(b"GET /healthz HTTP/1.2"), 400),
    "a long header": (with_line(HEALTH_REQUEST, b"X: " + b"a" * 9_000), 400),
    "many headers": (with_line(HEALTH_REQUEST, b"\r\n".join([b"X: 1"] * 70)), 400),
    "no Host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (with_line(HEALTH_REQUEST, b"Host: localhost"), 400),
    "another host in the request line": (health(b"GET http://evil.example/healthz HTTP/1.1"), 400),
    "a folded header": (with_line(HEALTH_REQUEST, b"X: 1\r\n 2"), 400),
    "a null in a header": (with_line(HEALTH_REQUEST, b"X: 1\x002"), 400),
    "two lengths": (
        POST % (b"Transfer-Encoding: chunked\r\n", len(BODY), BODY),
        400,
    ),
    "chunks that are none": (
        with_line(POST % (b"", 2, b"zz"), b"").replace(
            b"Content-Length: 2", b"Transfer-Encoding: chunked"
        ),
        400,
    ),
    "gzip that is none": (POST % (b"Content-Encoding: gzip\r\n", len(BODY), BODY), 400),
    "deflate that is none": (POST % (b"Content-Encoding: deflate\r\n", len(BODY), BODY), 400),
    "half of gzip": (POST % (b"Content-Encoding: gzip\r\n", 20, gzip.compress(BODY)[:20]), 400),
    "an unknown coding": (POST % (b"Content-Encoding: br\r\n", len(BODY), BODY), 415),
    "two codings": (POST % (b"Content-Encoding: gzip, gzip\r\n", len(BODY), BODY), 415),
}
for name in (b"Upgrade", b"Connection", b"Expect", b"Origin", b"Content-Type", b"Sec-Fetch-Site"):
    REFUSED[f"{name.decode()} that is not ASCII"] = (
        with_line(STREAM_REQUEST, name + b": \xff"),
        400,
    )
    REFUSED[f"{name.decode()} in UTF-8"] = (with_line(HEALTH_REQUEST, name + b": \xc3\xa4"), 400)
for name in (b"Key", b"Version", b"Protocol", b"Extensions"):
    odd = UPGRADE_REQUEST.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-%b: \xe4\r\n\r\n" % name)
    REFUSED[f"Sec-WebSocket-{name.decode()} that is not ASCII"] = (odd, 400)


@BOTH_WAYS
@pytest.mark.parametrize("what", REFUSED)
async def test_whatever_is_refused_is_a_problem_with_an_id_and_quotes_nothing(
    start_bridge, caplog, cut, what
):
    data, status = REFUSED[what]
    bridge = await start_bridge()
    head, body = await exchange(bridge, data, cut)
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"\r\nContent-Type: application/problem+json\r\n" in head
    assert re.search(rb"\r\nX-Request-Id: [0-9a-f]{16}\r\n", head)
    assert b"Server:" not in head
    assert (b"\r\nAllow: " in head) is (status == 405)
    problem = json.loads(body)
    assert problem["status"] == status
    for quoted in ("hello", "tea", "nope", "evil", "aiohttp", "\\u00"):
        assert quoted not in body.decode()
    assert not [record for record in caplog.records if record.exc_info and record.name != "asyncio"]


@BOTH_WAYS
async def test_a_failure_of_the_bridge_itself_is_a_problem_and_one_traceback(
    start_bridge, monkeypatch, caplog, cut
):
    bridge = await start_bridge()

    async def broken():
        raise RuntimeError("secret")

    monkeypatch.setattr(bridge._endpoints, "reachable", broken)
    head, body = await exchange(bridge, health(b"GET /readyz HTTP/1.1"), cut)
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"X-Request-Id: " in head
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
    }
    assert (
        len([record for record in caplog.records if record.exc_info and record.name != "asyncio"])
        == 1
    )


GOOD = {
    "health": HEALTH_REQUEST,
    "a stream": STREAM_REQUEST,
    "a socket": UPGRADE_REQUEST,
    "a preflight": with_line(
        health(b"OPTIONS /api/v1/live HTTP/1.1"), b"Access-Control-Request-Method: POST"
    ),
    "metrics": health(b"GET /metrics HTTP/1.1"),
    "a page": health(b"GET /explorer/ HTTP/1.1"),
    "a redirect": health(b"GET / HTTP/1.1"),
}


@BOTH_WAYS
@pytest.mark.parametrize("what", GOOD)
async def test_every_answer_has_the_requests_id_or_a_new_one_and_no_banner(
    start_bridge, tier, cut, what
):
    tier.rows = "a"
    bridge = await start_bridge(explorer="on")
    for sent, expected in ((b"a~1", b"a~1"), (b"a b", None), (b"x" * 129, None), (b"\xff", None)):
        request = with_line(GOOD[what], b"X-Request-Id: " + sent)
        head, _ = await exchange(bridge, request, cut)
        [named] = re.findall(rb"\r\nX-Request-Id: ([^\r]*)\r\n", head)
        assert named == expected if expected else re.fullmatch(rb"[0-9a-f]{16}", named)
        assert b"Server:" not in head
        assert head[9:10] in b"123"


@BOTH_WAYS
@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        (b"gzip", gzip.compress),
        (b"X-GZIP", gzip.compress),
        (b"deflate", zlib.compress),
        (b"deflate", lambda data: zlib.compress(data, wbits=-15)),
        (b"identity", bytes),
    ],
)
async def test_a_compressed_query_is_read_within_the_limit_of_a_plain_one(
    start_bridge, tier, cut, coding, compress
):
    tier.rows = "a"
    bridge = await start_bridge()
    for text, status in (
        (BODY, 200),
        (BODY.ljust(16 * 1024), 200),
        (BODY.ljust(16 * 1024 + 1), 413),
        (BODY.ljust(50_000_000) if coding != b"identity" else BODY.ljust(20_000), 413),
    ):
        body = compress(text)
        head, _ = await exchange(
            bridge, POST % (b"Content-Encoding: %b\r\n" % coding, len(body), body), cut
        )
        assert head.startswith(b"HTTP/1.1 %d " % status), (len(text), head)


# ---------------------------------------------------------------- the last request


@BOTH_WAYS
@pytest.mark.parametrize("trailing", [b"x", b"\r\n", b"\r\n\r\n", HEALTH_REQUEST, b"\x00" * 99_999])
@pytest.mark.parametrize("what", ["health", "a stream", "a post"])
async def test_what_comes_behind_the_last_request_is_not_read(
    start_bridge, tier, cut, trailing, what
):
    tier.rows = "a"
    bridge = await start_bridge()
    request = {"a post": POST % (b"", len(BODY), BODY)}.get(what) or GOOD[what]
    head, _ = await exchange(bridge, with_line(request, b"Connection: close") + trailing, cut)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in head


@BOTH_WAYS
async def test_a_client_that_closes_its_side_gets_the_answer_and_the_end(start_bridge, cut):
    bridge = await start_bridge()
    for request in (HEALTH_REQUEST, health(b"GET /api/v1/live?query=x HTTP/1.1"), b"hello\r\n\r\n"):
        answer = await exchange(bridge, request, cut, half_close=True, until_closed=True)
        assert answer[0].startswith(b"HTTP/1.1 ")
        assert answer[1]


@BOTH_WAYS
async def test_a_stream_goes_on_for_a_client_that_closed_its_side_only(
    start_bridge, tier, wire, cut
):
    bridge = await start_bridge()
    client = await wire(bridge)
    client.send(STREAM_REQUEST[:cut])
    await asyncio.sleep(0.02)
    client.send(STREAM_REQUEST[cut:])
    client.writer.write_eof()
    call = await tier.next_call()
    await asyncio.sleep(0.05)
    call.start()
    call.snapshot("a")
    await client.until(b'"agg_id":"a"')
    await client.until(b": ping\n\n")
    await client.until(b": ping\n\n")
    assert bridge._admission.open == 1
    call.end()
    async with patiently(5):
        assert (await client.reader.read()).endswith(b"0\r\n\r\n")


@BOTH_WAYS
async def test_a_client_that_closes_both_sides_is_released_soon(start_bridge, tier, wire, cut):
    bridge = await start_bridge(heartbeat_interval="60s")
    client = await wire(bridge)
    client.send(STREAM_REQUEST[:cut])
    await asyncio.sleep(0.02)
    client.send(STREAM_REQUEST[cut:])
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    await client.until(b'"agg_id":"a"')
    client.writer.close()
    async with patiently(5):
        while bridge._admission.open:
            await asyncio.sleep(0.01)


@BOTH_WAYS
async def test_nothing_asks_whether_a_client_is_there_once_its_connection_is_lost(
    start_bridge, tier, wire, cut
):
    bridge = await start_bridge()
    client = await wire(bridge)
    client.send(STREAM_REQUEST[:cut])
    await asyncio.sleep(0.02)
    client.send(STREAM_REQUEST[cut:])
    client.writer.write_eof()
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    await client.until(b": ping\n\n")
    client.writer.transport.abort()
    async with patiently(5):
        while bridge._admission.open:
            await asyncio.sleep(0.01)
    probes = [one for one in gc.get_objects() if isinstance(one, HalfCloseProbe)]
    assert not [probe for probe in probes if probe._timer is not None]


# ---------------------------------------------------------------- the log


async def test_many_unreadable_requests_are_few_lines(start_bridge, caplog):
    caplog.set_level(logging.INFO)
    bridge = await start_bridge()
    await asyncio.gather(*(exchange(bridge, b"hello %d\r\n\r\n" % n) for n in range(100)))
    assert bridge.context.stream_log.refused["http", "malformed"] == 100
    assert len([r for r in caplog.records if r.name.startswith(("aiohttp", "bridge.http"))]) == 0


async def test_300_bad_cookies_and_64_unreadable_subscriptions_are_few_lines(
    start_bridge, http, caplog
):
    """At the default level: none at all, and they are counted."""
    caplog.set_level(logging.INFO)
    bridge = await start_bridge(max_connections_per_ip="0")
    fields = b"Cookie: a=%d\r\nSec-Fetch-Site: cross-site\r\n\r\n"
    for n in range(0, 300, 50):
        answers = await asyncio.gather(
            *(exchange(bridge, STREAM_REQUEST[:-2] + fields % (n + i)) for i in range(50))
        )
        assert all(answer.startswith(b"HTTP/1.1 403 ") for answer, _ in answers)
    url = bridge.base + "/ws"
    async with http.ws_connect(url, protocols=("livequery.v1",)) as ws:
        for n in range(64):
            await ws.send_json({"action": "subscribe", "sub": f"s{n}", "query": {"entity": n}})
        for _ in range(64):
            assert (await ws.receive_json())["type"] == "error"
    refused = bridge.context.stream_log.refused
    assert refused["http", "denied"] == 300
    assert len([r for r in caplog.records if r.levelno >= logging.INFO]) < 20


@pytest.mark.parametrize("cut", [0, 10], ids=["plain", "in parts"])
@pytest.mark.parametrize(
    ("site", "served"),
    [("none", False), ("same-origin", True), ("same-site", False), ("cross-site", False)],
)
async def test_a_cookie_is_taken_where_a_page_of_the_own_origin_asks(
    start_bridge, tier, cut, site, served
):
    """`none` is no page at all: an address that was typed is for no stream (Fetch Metadata)."""
    tier.rows = ["a"]
    bridge = await start_bridge()
    fields = b"Cookie: a=b\r\nSec-Fetch-Site: %b\r\n\r\n" % site.encode()
    head, _ = await exchange(bridge, STREAM_REQUEST[:-2] + fields, cut)
    assert head.startswith(b"HTTP/1.1 200 " if served else b"HTTP/1.1 403 ")


@pytest.mark.parametrize("cut", [0, 10], ids=["plain", "in parts"])
async def test_a_query_that_begins_with_a_byte_order_mark_is_refused(start_bridge, tier, http, cut):
    """RFC 8259 §8.1: JSON has none. On a socket, too."""
    bridge = await start_bridge()
    body = b"\xef\xbb\xbf" + json.dumps(QUERY).encode()
    head = b"POST /api/v1/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    answer, text = await exchange(bridge, head % len(body) + body, cut)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(text)["code"] == "INVALID_ARGUMENT"
    async with http.ws_connect(bridge.base + "/ws") as ws:
        await ws.send_str("\ufeff" + json.dumps({"action": "subscribe", "query": QUERY}))
        await ws.receive()
        assert ws.close_code == 4500
    assert not tier.open
