"""Requests as the bridge reads them: aiohttp reads them the same way, or it is asked to."""

import asyncio
import contextlib
import gzip
import re
import socket

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.config.hosts import origin_list
from bridge.web.fast_path.request_head import parse_request
from bridge.web.fast_path.request_parser import MAX_HEADER, MAX_LINE, RequestParser
from bridge.web.settings import WebSettings
from bridge.web.stream_parameters import parse_parameters

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
    "content-encoding",
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
    headers = [
        ("Host", "localhost"),
        *draw(st.lists(fields, max_size=5, unique_by=lambda field: field[0].lower())),
    ]
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
    if draw(st.booleans()):
        body = draw(st.sampled_from(["", "{}", "{}x", "{}\r\n", "x" * 300]))
        size = draw(st.sampled_from(["%d", "%d", "0%d", "+%d", "%d ", "%d1"])) % len(body)
        text = (
            text.replace("GET", "POST", 1)[: -len(end)] + f"Content-Length: {size}{end}{end}{body}"
        )
    data = text.encode(draw(st.sampled_from(["utf-8", "latin-1"])))
    if odd == "byte":
        at, byte = draw(st.integers(0, len(data))), draw(st.sampled_from(b"\r\n \t:x\x00\xff"))
        data = data[:at] + bytes([byte]) + data[at + draw(st.integers(0, 1)) :]
    return data


async def read_by_aiohttp(data):
    """What a handler of aiohttp's own server sees of these bytes, on a real socket."""
    seen = []

    async def handle(request):
        fields = [(name.lower(), value) for name, value in request.headers.items()]
        body = await request.read() if request.method == "POST" else None
        wanted = web.WebSocketResponse().can_prepare(request).ok
        seen.append((request.method, request.raw_path, fields, body, request.keep_alive, wanted))
        return web.Response()

    ours, theirs = socket.socketpair()
    server = web.Server(handle, access_log=None, max_line_size=MAX_LINE, max_field_size=MAX_HEADER)
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(server, theirs)
    ours.sendall(data)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while not seen and not transport.is_closing():
                await asyncio.sleep(0)
            for _ in range(10):  # where there is a second request, its handler is called
                await asyncio.sleep(0)
    ours.close()
    transport.abort()
    await server.shutdown()
    return seen


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
def test_what_is_read_here_aiohttp_reads_the_same_way(data):
    head = parse_request(data)
    if head is None:
        return
    [seen] = asyncio.run(read_by_aiohttp(data))
    fields = [(name.lower(), value) for name, value in head.headers.items()]
    assert (head.method, head.target, fields, head.body, head.keep_alive) == seen[:-1]
    assert head.upgrade or not seen[-1]


def test_plain_requests_are_read():
    head = parse_request(
        b"GET /a?b HTTP/1.1\r\nHost: x:1\r\nAccept: */*\r\nX-E:\r\nConnection: Keep-Alive\r\n\r\n"
    )
    assert head.target == "/a?b"
    assert head.headers["host"] == "x:1"
    assert head.headers["X-E"] == ""
    assert len(head.headers) == 4


@pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, Upgrade", "KEEP-ALIVE,upgrade"])
def test_plain_upgrades_are_read(connection):
    lines = f"GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: {connection}\r\n\r\n"
    assert parse_request(lines.encode()).upgrade


def test_what_is_long_or_has_many_fields_is_aiohttps():
    line = b"X: " + b"a" * 8200
    for data in (
        b"GET /" + b"a" * 33_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 1600,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"a%d:b\r\n" % n for n in range(65)) + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"a" * 100_000,
    ):
        assert parse_request(data) is None


def parser():
    return RequestParser(WebSettings(allowed_origins=origin_list("https://page.example")))


def ask(text, **more):
    async def run():
        return parser().parse(text, "10.0.0.1")

    return asyncio.run(run(), **more)


@given(requests(), st.integers(0, 400))
def test_parsing_raises_for_no_bytes(data, cut):
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
    assert (asked.body, asked.parameters.v1, asked.chunked) == (b"{}", True, True)
    assert asked.content_type == "application/json"
    asked = ask(GET % b"X-Request-Id: me\r\nOrigin: https://page.example\r\n")
    assert (asked.body, asked.parameters.query, asked.remote) == (None, b"{}", "10.0.0.1")
    assert (asked.request_id, asked.foreign_origin) == ("me", "https://page.example")
    assert asked.keep_alive
    assert not ask(GET % b"Connection: close\r\n").keep_alive


def test_what_is_not_wholly_a_streams_is_left_to_others():
    async def run():
        one = parser()
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
            re.sub(rb"1\.1", b"1.0", GET % b"", count=1),
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
            assert one.parse(text, "") is None, text[:200]
            assert one.parse(good, "") is not None, "the next one is not harmed"
            assert one.parse(POST % (b"", 2, b"{}"), "").body == b"{}"

    asyncio.run(run())


def test_the_same_request_is_read_once_under_another_name():
    async def run():
        one = parser()
        text = GET % b"User-Agent: a\r\n"
        first, again = one.parse(text, "10.0.0.1"), one.parse(bytes(bytearray(text)), "10.0.0.2")
        assert again.headers is first.headers, "read once"
        assert (first.remote, again.remote) == ("10.0.0.1", "10.0.0.2")
        assert first.request_id != again.request_id
        other = one.parse(text.replace(b": a", b": b"), "")
        assert other.headers["User-Agent"] == "b"

    asyncio.run(run())


def test_what_identifies_a_client_is_its_own_and_the_rest_is_read_once():
    async def run():
        one = RequestParser(WebSettings(forward=("x-user",)))
        for name in (b"cookie", b"Authorization", b"X-Request-ID", b"X-User"):
            for value in ("me", "you", "me"):
                line = b"%b: %b\r\n" % (name, value.encode())
                asked = one.parse(GET % (b"User-Agent: a\r\n" + line), "")
                assert asked.headers[name.decode()] == value
                assert not asked.anonymous
        assert len(one._templates._templates) == 1
        assert one.parse(GET % b"User-Agent: a\r\n", "").anonymous
        many = [GET % (b"X: %d\r\n" % number) for number in range(1000)]
        first = one.parse(many[0], "")
        assert one.parse(many[0], "").headers is first.headers
        for text in many:
            one.parse(text, "")
        assert one.parse(many[0], "").headers is not first.headers, "the oldest is forgotten"
        long = GET % (b"X: " + b"a" * 4000 + b"\r\n")
        assert one.parse(long, "").headers is not one.parse(long, "").headers

    asyncio.run(run())


def test_nothing_of_a_credential_is_kept():
    async def run():
        one = RequestParser(WebSettings())
        one.parse(GET % b"Authorization: secret\r\nCookie: secret\r\n", "")
        one.parse(GET.replace(b"query", b"ticket=secret&query") % b"", "")
        assert "secret" not in repr([one._templates._templates, one.accepted])

    asyncio.run(run())


def test_a_request_whose_token_was_accepted_is_read_once_and_the_oldest_is_forgotten():
    async def run():
        one = RequestParser(WebSettings())
        texts = [GET % (b"Authorization: Bearer %d\r\n" % number) for number in range(1025)]
        first = one.parse(texts[0], "10.0.0.1")
        assert first.sole_token == "0"
        one.remember(texts[0], first)
        again = one.parse(bytes(bytearray(texts[0])), "10.0.0.2")
        assert again.headers is first.headers, "read once"
        assert (again.sole_token, again.remote) == ("0", "10.0.0.2")
        assert again.request_id != first.request_id
        for text in texts[1:]:
            one.remember(text, one.parse(text, ""))
        assert one.parse(texts[0], "").headers is not first.headers
        assert len(one.accepted) == 1024

    asyncio.run(run())


def upgrade(lines=b"", key=b"dGhlIHNhbXBsZSBub25jZQ=="):
    return UPGRADE[:-2] + lines + b"Sec-WebSocket-Key: %b\r\n\r\n" % key


@pytest.mark.parametrize("lines", [b"", b"Authorization: Bearer x.y\r\n"])
def test_upgrades_that_differ_in_their_key_are_read_once_and_each_has_its_own(lines):
    async def run():
        one, keys = RequestParser(WebSettings()), [b"%022d==" % n for n in range(0, 1000, 100)]
        first = one.parse(upgrade(lines), "10.0.0.1")
        assert (first.recalled, bool(first.sole_token)) == (False, bool(lines))
        if lines:
            one.remember(upgrade(lines), first)
        [kept] = one.accepted.values() or one._templates._templates.values()
        for key in keys:
            again = one.parse(upgrade(lines, key), "10.0.0.2")
            assert again.headers is kept.headers, "read once"
            assert (again.websocket_key, again.remote) == (key.decode(), "10.0.0.2")
            assert (again.sole_token, again.recalled) == (first.sole_token, bool(lines))
        assert len({one.parse(upgrade(lines), "").request_id for _ in range(3)}) == 3
        assert "dGhlIHNhbXBsZSBub25jZQ" not in repr([one.accepted, one._templates._templates])
        assert one.parse(upgrade(lines, b"short"), "") is None
        assert one.parse(upgrade(lines, b"0" * 24), "") is None, "18 bytes"

    asyncio.run(run())


@pytest.mark.parametrize(
    "beside", [b"Cookie: a=b\r\n", b"X-User: me\r\n", b"X-Request-Id: me\r\n", b""]
)
def test_a_token_is_the_sole_one_where_nothing_beside_it_tells_who_asks(beside):
    async def run():
        one = RequestParser(WebSettings(forward=("authorization", "x-user")))
        for agent in (b"a", b"a", b"b"):
            lines = b"User-Agent: %b\r\nauthorization: bearer x.y \r\n" % agent + beside
            for text in (GET % lines, POST % (lines, 2, b"{}")):
                assert one.parse(text, "").sole_token == (None if beside else "x.y")
        for lines in (b"", b"Authorization: Basic x\r\n", beside):
            assert one.parse(GET % lines, "").sole_token is None
        in_url = GET.replace(b"query", b"ticket=a&query") % b"Authorization: Bearer x\r\n"
        assert one.parse(in_url, "").sole_token is None

    asyncio.run(run())


OWN_NAMES = [
    "Authorization",
    "cookie",
    "X-Request-Id",
    "LAST-EVENT-ID",
    "Sec-WebSocket-Key",
    "x-user",
]
OWN_VALUES = [
    "",
    "me",
    " \t a ",
    "Bearer x.y",
    "a=b; c=d",
    "dGhlIHNhbXBsZSBub25jZQ==",
    "é",
    "x\x00",
]
OWN = st.tuples(st.sampled_from(OWN_NAMES), st.sampled_from(OWN_VALUES), st.floats(0, 1))
UPGRADE = b"\r\n".join(
    [
        b"GET /api/v1/live/ws HTTP/1.1",
        b"Host: localhost",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13\r\n\r\n",
    ]
)
BASES = st.sampled_from(
    [
        b"GET /api/v1/live?query=%7B%7D HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a\r\n\r\n",
        UPGRADE,
        b"GET /api/v1/live?ticket=a&query=%7B%7D HTTP/1.1\r\nHost: localhost\r\n\r\n",
        POST % (b"", 21, b"\r\nAuthorization: me\r\n"),
    ]
)


@st.composite
def variants(draw):
    """A request, and others that have lines of their own at ends of lines, or one odd byte."""
    base, made = draw(BASES), []
    for _ in range(4):
        text = base
        for name, value, where in draw(st.lists(OWN, max_size=4)):
            ends = [at.start() for at in re.finditer(b"\r\n", text)]
            at = ends[int(where * (len(ends) - 1))]
            text = text[:at] + f"\r\n{name}: {value}".encode() + text[at:]
        if draw(st.integers(0, 3)) == 0:
            at, byte = draw(st.integers(0, len(text))), draw(st.sampled_from(b"\r\n \t:x\x00"))
            text = text[:at] + bytes([byte]) + text[at + draw(st.integers(0, 1)) :]
        made.append(text)
    return made


KEY = b"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
TOKEN = b"\r\nAuthorization: Bearer x.y"


@given(variants())
@example([UPGRADE.replace(b"\r\n", KEY, 1), UPGRADE, UPGRADE.replace(b"\r\n", KEY + KEY[2:], 1)])
@example([UPGRADE.replace(b"\r\n", line, 1) for line in (KEY, KEY.replace(b"==", b"="))])
@example([UPGRADE.replace(b"\r\n", KEY, 1), UPGRADE + KEY[2:], UPGRADE + KEY[2:] + b"\r\n"])
@example([UPGRADE.replace(b"\r\n", KEY, 1), UPGRADE.replace(b"\r\n", KEY.lower(), 1)])
@example([UPGRADE.replace(b"\r\n", TOKEN + KEY, 1), UPGRADE.replace(b"\r\n", TOKEN, 1)])
@example(
    [
        UPGRADE.replace(b"\r\n", TOKEN + KEY, 1),
        UPGRADE.replace(b"\r\n\r\n", TOKEN + KEY + b"\r\n"),
        UPGRADE.replace(b"\r\n", TOKEN + KEY + KEY[2:], 1),
        UPGRADE.replace(b"\r\n", TOKEN + KEY.replace(b"dGhl", b"\xc3\xa9hl"), 1),
    ]
)
def test_a_request_like_one_before_is_read_as_if_it_were_the_first(texts):
    settings = WebSettings(forward=("authorization", "x-user"))

    def told(request):
        if request is None:
            return None
        fields = {name: getattr(request, name) for name in request.__struct_fields__}
        fields["headers"] = sorted((n.lower(), v) for n, v in request.headers.items())
        del fields["recalled"]
        if request.headers.get("X-Request-Id") != fields["request_id"]:
            del fields["request_id"]
        return fields

    async def run():
        one = RequestParser(settings)
        for text in [*texts, *texts]:
            asked = one.parse(text, "10.0.0.1")
            assert told(asked) == told(RequestParser(settings).parse(text, "10.0.0.1")), text
            if asked is not None and asked.sole_token is not None:
                one.remember(text, asked)

    asyncio.run(run())


@pytest.mark.parametrize("name", ["ticket", "token", "access_token", "id_token", "jwt", "bearer"])
def test_a_credential_in_a_url_is_kept_nowhere(name):
    text = f"{name}=secret&v=1"
    assert parse_parameters(text).secret
    assert parse_parameters(text) is not parse_parameters(text)
    assert parse_parameters("v=1") is parse_parameters("v=1")
