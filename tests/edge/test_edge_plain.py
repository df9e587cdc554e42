"""Requests as they are read at the door: what is taken there a real parser reads the same way."""

import asyncio
import gzip
import re

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.web.http.request_head import parse_plain_head
from bridge.web.http.request_parser import RequestParser
from bridge.web.settings import WebSettings

TARGETS = ["/api/v1/live?query=%7B%7D", "/api/v1/live", "/", "/a?b=c&d", "/a%20b?%", '/[]|"^`{}']
NAMES = ["Accept", "Cookie", "X-A", "last-event-id", "Connection", "Origin", "x_!#$%&'*+-.^`|~9"]
VALUES = [
    "",
    "localhost",
    "text/event-stream",
    "keep-alive",
    "a, b",
    "\t a  b \t",
    '~!"(),/:;<=>?@[]{}',
]
UPGRADES = ["websocket", "WebSocket", "h2c", "", "websocket, h2c"]
CONNECTIONS = [
    "Upgrade",
    "keep-alive, Upgrade",
    "upgrade,keep-alive",
    "keep-alive",
    "close, upgrade",
]
ODD_LINES = [
    "GET %s HTTP/1.0",
    "GET  %s HTTP/1.1",
    "get %s HTTP/1.1",
    "GET %s  HTTP/1.1",
    "PUT %s HTTP/1.1",
]
ODD_TARGETS = ["/é", "/a#b", "a", "", "*", "//", "http://a/b", "/a\x7f"]
ODD_NAMES = [
    "Host",
    "Expect",
    "Upgrade",
    "Content-Length",
    "transfer-encoding",
    "",
    "X A",
    "X:",
    "Ü",
    " X",
]
ODD_VALUES = [
    "close",
    "0",
    "5",
    "chunked",
    "é",
    "a\rb",
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "websocket",
    "\x0b",
]


@st.composite
def requests(draw):
    """Requests that are right, or wrong in one thing."""
    odd = draw(
        st.sampled_from(["", "", "line", "target", "header", "between", "end", "host", "byte"])
    )

    def pick(what, usual, strange):
        return draw(st.sampled_from(strange if odd == what else usual))

    fields = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES))
    headers = [("Host", "localhost"), *draw(st.lists(fields, max_size=5))]
    if odd == "host":
        headers = headers[1:]
    if draw(st.booleans()):
        headers.append(("Upgrade", draw(st.sampled_from(UPGRADES))))
        headers.append(("Connection", draw(st.sampled_from(CONNECTIONS))))
    if odd == "header":
        names, values = st.sampled_from(NAMES + ODD_NAMES), st.sampled_from(VALUES + ODD_VALUES)
        headers.insert(draw(st.integers(0, len(headers))), draw(st.tuples(names, values)))
    between = pick("between", [":", ": "], [" : ", "", ":\t", ":\x0b"])
    end = pick("end", ["\r\n"], ["\n", "\r", "\r\r\n"])
    text = pick("line", ["GET %s HTTP/1.1"], ODD_LINES) % pick("target", TARGETS, ODD_TARGETS) + end
    text += "".join(f"{name}{between}{value}{end}" for name, value in headers) + end
    data = text.encode(draw(st.sampled_from(["utf-8", "latin-1"])))
    if odd == "byte":
        at, byte = draw(st.integers(0, len(data))), draw(st.sampled_from(b"\r\n \t:x\x00\xff"))
        data = data[:at] + bytes([byte]) + data[at + draw(st.integers(0, 1)) :]
    return data


def parsed(data):
    """What aiohttp makes of it."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(
            BaseProtocol(loop),
            loop,
            2**16,
            max_line_size=2**16,
            max_headers=64,
            max_field_size=8192,
        )
        return parser.feed_data(data)
    finally:
        loop.close()


@given(requests())
@example(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
@example(b"GET /a HTTP/1.1\r\nHost: x\r\nX: a\r\n b: c\r\n\r\n")
@example(b"GET /a HTTP/1.1\r\nHost: x\r\nX Y: a\r\n\r\n")
@example(b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
@example(b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
@example(b"GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
@example(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n")
@example(b"GET /a HTTP/1.1\r\nHost: x\r\nProxy-Connection: close\r\n\r\n")
@example(b"GET /a HTTP/1.1\r\nHost: x\r\nUser-Agent: a\r\nUser-Agent: b\r\n\r\n")
@example(b"GET /a HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key1: a\r\n\r\n")
@example(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
def test_what_is_taken_for_plain_a_parser_reads_the_same_way(data):
    head = parse_plain_head(data)
    if head is None:
        return
    messages, upgraded, rest = parsed(data)
    [(message, payload)] = messages
    assert upgraded is message.upgrade is head.upgrade
    assert not rest
    assert head.upgrade or payload is EMPTY_PAYLOAD
    assert message.method == "GET"
    assert message.path == head.target
    assert (message.version.major, message.version.minor) == (1, 1)
    assert not message.should_close
    read_by_parser, read_here = (
        [(name.lower(), value) for name, value in headers.items()]
        for headers in (message.headers, head.headers)
    )
    assert read_here == read_by_parser


def test_plain_requests_are_taken():
    head = parse_plain_head(
        b"GET /a?b HTTP/1.1\r\nHost: x:1\r\nAccept: */*\r\nX-E:\r\nConnection: Keep-Alive\r\n\r\n"
    )
    assert head.target == "/a?b"
    assert head.headers["host"] == "x:1"
    assert head.headers["X-E"] == ""
    assert len(head.headers) == 4


@pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, Upgrade", "KEEP-ALIVE,upgrade"])
def test_plain_upgrades_are_taken(connection):
    lines = f"GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: {connection}\r\n\r\n"
    assert parse_plain_head(lines.encode()).upgrade


def test_what_is_long_or_has_many_lines_is_not_plain():
    line = b"X: " + b" " * 8000
    for data in (
        b"GET /" + b"a" * 8100 + b" HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\n" + line + b"\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 1600,
        b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 65 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"a" * 100_000,
    ):
        assert parse_plain_head(data) is None


def reading():
    return RequestParser(WebSettings(allowed_origins=frozenset({"https://page.example:443"})))


def ask(text, **more):
    async def run():
        return reading().read(text, "10.0.0.1")

    return asyncio.run(run(), **more)


@given(requests(), st.integers(0, 400))
def test_reading_raises_for_no_bytes(data, cut):
    for text in (
        data,
        data[:cut],
        data.replace(b"GET", b"POST"),
        data.replace(b"/a", b"/api/v1/live"),
    ):
        ask(text)


BOMB = gzip.compress(bytes(10_000_000))
POST = b"POST /api/v1/live?v=1 HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n%b"
GET = b"GET /api/v1/live?query=%%7B%%7D HTTP/1.1\r\nHost: localhost\r\n%b\r\n"


def test_both_forms_are_read():
    asked = ask(POST % (b"Content-Type: Application/JSON; charset=utf-8\r\n", 2, b"{}"))
    assert (asked.body, asked.url.v1, asked.chunked) == (b"{}", True, True)
    assert asked.content_type == "application/json"
    asked = ask(GET % b"X-Request-Id: me\r\nOrigin: https://page.example\r\n")
    assert (asked.body, asked.url.query, asked.remote) == (None, b"{}", "10.0.0.1")
    assert (asked.name, asked.foreign_origin) == ("me", "https://page.example")
    assert asked.keep_alive
    asked = ask(GET % b"Connection: close\r\n")
    assert not asked.keep_alive, "by the parser"
    asked = ask(re.sub(rb"1\.1", b"1.0", GET % b"", count=1))
    assert (asked.chunked, asked.keep_alive) == (False, False)


def test_what_is_not_wholly_a_streams_is_left_to_others():
    async def run():
        one = reading()
        good = GET % b""
        for text in (
            b"",
            good[:-1],
            good + b"x",
            good + good,
            b"GET /api/v1/lives HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /api/v1/live/ws HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET http://localhost/api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"HEAD /api/v1/live?query={} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /api/v1/live?x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
            GET % b"Expect: 100-continue\r\n",
            GET % b"Upgrade: websocket\r\nConnection: upgrade\r\n",
            (GET % b"").replace(b"Host", b"Hoast"),
            GET % b"Origin: https://evil.example\r\n",
            (GET % b"").replace(b"localhost", b"evil.example"),
            (GET % b"Host: localhost\r\n"),
            POST % (b"", 3, b"{}"),
            POST % (b"", 1, b"{}"),
            POST % (b"", 20_000, b"x" * 20_000),
            POST % (b"", 200_000, b"x" * 200_000),
            POST % (b"", 2, b"{}") + b"GET /api/v1/live?query=%7B%7D HTTP/1.1\r\nX: ",
            POST % (b"", 2, b"{}") + b"\r\n",
            GET % b"X: \xc3\xa9\r\n" + b"\r\n\r\n",
            GET.replace(b"GET", b"POST") % b"Transfer-Encoding: chunked\r\n" + b"0\r\n\r\nGET ",
            POST % (b"Content-Encoding: gzip\r\n", 2, b"{}"),
            POST % (b"Content-Encoding: gzip\r\n", len(BOMB), BOMB),
            POST % (b"Transfer-Encoding: chunked\r\n", 2, b"{}"),
        ):
            assert one.read(text, "") is None, text[:200]
            assert one.read(good, "") is not None, "the next one is not harmed"
            assert one.read(POST % (b"", 2, b"{}"), "").body == b"{}"

    asyncio.run(run())


def test_the_same_request_is_read_once_under_another_name():
    async def run():
        one = reading()
        text = GET % b"User-Agent: a\r\n"
        first, again = one.read(text, "10.0.0.1"), one.read(bytes(bytearray(text)), "10.0.0.2")
        assert again.headers is first.headers, "read once"
        assert (first.remote, again.remote) == ("10.0.0.1", "10.0.0.2")
        assert first.name != again.name
        other = one.read(text.replace(b": a", b": b"), "")
        assert other.headers["User-Agent"] == "b"

    asyncio.run(run())


def test_what_tells_who_sent_it_is_not_kept():
    async def run():
        one = RequestParser(WebSettings(forward=("x-user",)))
        for line in (b"cookie: a=b", b"Authorization: me", b"X-Request-ID: me", b"X-User: me"):
            text = GET % (line + b"\r\n")
            first, again = one.read(text, ""), one.read(text, "")
            assert first.headers is not again.headers, line
            assert first.headers == again.headers
        many = [GET % (b"X: %d\r\n" % number) for number in range(1000)]
        first = one.read(many[0], "")
        assert one.read(many[0], "").headers is first.headers
        for text in many:
            one.read(text, "")
        assert one.read(many[0], "").headers is not first.headers, "the oldest is forgotten"
        long = GET % (b"X: " + b"a" * 4000 + b"\r\n")
        assert one.read(long, "").headers is not one.read(long, "").headers

    asyncio.run(run())
