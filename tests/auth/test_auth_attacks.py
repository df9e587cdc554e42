"""Attacks on the way in, beside those by token: requests that two readers would read differently.

Each is sent whole and in parts, so that both ways of serving are attacked.
"""

import asyncio
import contextlib
import gzip
import json
import time

import pytest
from key_server import KeyServer

from bridge.core.proxy_header import V2_SIGNATURE
from bridge.web.auth.key_set import MAX_KEYS
from clients import QUERY
from raw_client import connected, exchange
from tokens import bearer, ec_key, jwks, token

BODY = json.dumps(QUERY)
TWO_WAYS = pytest.mark.parametrize("cut", [0, 10], ids=["plain", "in parts"])


def post(lines="", *, target="/api/v1/live", version="1.1", host="Host: localhost\r\n", body=BODY,
         length=True, credential=True, method="POST"):  # fmt: skip
    """A request for a stream with a good token, but for what is attacked."""
    text = f"{method} {target} HTTP/{version}\r\n{host}"
    if credential:
        text += f"Authorization: Bearer {token()}\r\n"
    if length:
        text += f"Content-Length: {len(body)}\r\n"
    return (text + lines + "\r\n" + body).encode("latin-1")


def unauthorized(lines="", **more):
    return post(lines, credential=False, **more)


SMUGGLED = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
GOOD = f"Authorization: Bearer {token()}"
ATTACKS = {
    # where the request ends (RFC 9112 §6.3)
    "Content-Length twice, alike": (post(f"Content-Length: {len(BODY)}\r\n"), 400),
    "Content-Length twice, not alike": (post("Content-Length: 3\r\n"), 400),
    "a list of lengths": (post(f"Content-Length: {len(BODY)}, 3\r\n", length=False), 400),
    "a length with a sign": (post(f"Content-Length: +{len(BODY)}\r\n", length=False), 400),
    "a negative length": (post("Content-Length: -1\r\n", length=False), 400),
    "a length in hex": (post("Content-Length: 0x4\r\n", length=False), 400),
    "a length of other digits": (post("Content-Length: \xb2\r\n", length=False), 400),
    "a length and chunks": (post("Transfer-Encoding: chunked\r\n"), 400),
    "chunks that are no chunks": (post("Transfer-Encoding: xchunked\r\n", length=False), 400),
    "chunks and another coding behind": (
        post("Transfer-Encoding: chunked, identity\r\n", length=False), 400,
    ),
    "chunks twice": (
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", length=False), 400,
    ),
    "a chunk of no size": (
        post("Transfer-Encoding: chunked\r\n", length=False, body=f"-1\r\n{BODY}\r\n0\r\n\r\n"), 400,
    ),
    "a chunk larger than any": (
        post("Transfer-Encoding: chunked\r\n", length=False, body=f"{'f' * 17}\r\n{BODY}"), 400,
    ),
    "a line break in a chunk's extension": (
        post("Transfer-Encoding: chunked\r\n", length=False, body="1;a\nb\r\nx\r\n0\r\n\r\n"), 400,
    ),
    # lines (RFC 9112 §2.2, §5)
    "a folded credential": (unauthorized(f"{GOOD[:30]}\r\n {GOOD[30:]}\r\n"), 400),
    "a credential behind a bare line feed": (unauthorized(f"X-A: b\n{GOOD}\r\n"), 400),
    "a credential behind a bare carriage return": (unauthorized(f"X-A: b\r{GOOD}\r\n"), 400),
    "NUL in a field": (post("X-A: b\0c\r\n"), 400),
    "a space before the colon": (unauthorized(GOOD.replace(":", " :") + "\r\n"), 400),
    "an empty name": (post(": x\r\n"), 400),
    "a name of other bytes": (post("X-\xe4: x\r\n"), 400),
    "a line feed for every line": (post().replace(b"\r\n", b"\n"), 400),
    # Host (RFC 9112 §3.2)
    "no Host": (post(host=""), 400),
    "Host twice": (post(host="Host: localhost\r\nHost: localhost\r\n"), 400),
    "Host empty": (post(host="Host:\r\n"), 403),
    "Host with a user": (post(host="Host: evil@localhost\r\n"), 403),
    "Host with a path": (post(host="Host: localhost/evil\r\n"), 403),
    "Host with a port that is none": (post(host="Host: localhost:x\r\n"), 403),
    "Host of another name": (post(host="Host: localhost.evil.example\r\n"), 403),
    "Host of another name and X-Forwarded-Host": (
        post("X-Forwarded-Host: localhost\r\n", host="Host: evil.example\r\n"), 403,
    ),
    # the target (RFC 9112 §3.2.2)
    "another host in the target": (post(target="http://evil.example/api/v1/live"), 400),
    "a user in the target": (post(target="http://me@localhost/api/v1/live"), 400),
    "a target without a host": (post(target="http:///api/v1/live"), 400),
    "CONNECT": (post(target="localhost:80", method="CONNECT"), 404),
    "OPTIONS of the server": (post(target="*", method="OPTIONS"), 404),
    "NUL in the target": (post(target="/api/v1/live\0"), 400),
    "NUL in the target, coded": (post(target="/api/v1/live%00"), 404),
    "a fragment": (post(target="/api/v1/live#x"), 400),
    "TRACE": (post(method="TRACE"), 405),
    "another method by a header": (unauthorized("X-HTTP-Method-Override: OPTIONS\r\n"), 401),
    "another path by a header": (unauthorized("X-Original-URL: /healthz\r\n"), 401),
    # versions (RFC 9112 §2.5)
    "HTTP/2 by its preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/2 in the request line": (post(version="2.0"), 505),
    "HTTP/0.9": (b"GET /api/v1/live\r\n\r\n", 400),
    # where a credential is looked for
    "in Proxy-Authorization": (unauthorized(f"Proxy-{GOOD}\r\n"), 401),
    "in a subprotocol": (unauthorized(f"Sec-WebSocket-Protocol: bearer.{token()}\r\n"), 401),
    "in a header of a proxy": (unauthorized(f"X-Forwarded-{GOOD}\r\n"), 401),
    "behind a tab": (unauthorized(f"Authorization: Bearer\t{token()}\r\n"), 401),
    "without a scheme": (unauthorized(f"Authorization: {token()}\r\n"), 401),
    "two schemes": (unauthorized(f"Authorization: Bearer Bearer {token()}\r\n"), 401),
    "in a cookie that none is named for": (unauthorized(f"Cookie: session={token()}\r\nContent-Type: application/json\r\n"), 401),
    "an empty bearer": (unauthorized("Authorization: Bearer \r\n"), 401),
    "a ticket by another case": (unauthorized(target="/api/v1/live?Ticket=x"), 401),
    "a ticket as a list": (unauthorized(target="/api/v1/live?ticket[]=x"), 401),
    "a ticket twice, one of them coded": (
        unauthorized(target="/api/v1/live?ticket=x&tick%65t=y"), 400,
    ),
    "a token twice, one of them coded": (post(target=f"/api/v1/live?t%6Fken={token()}"), 401),
    "two credentials, one of them empty": (post("Authorization:\r\n"), 400),
}  # fmt: skip


@TWO_WAYS
@pytest.mark.parametrize("name", ATTACKS)
async def test_no_request_is_served_that_two_readers_would_read_differently(
    start_jwt, tier, name, cut
):
    tier.rows = ["a"]
    bridge = await start_jwt()
    request, status = ATTACKS[name]
    head, body = await exchange(bridge, request, cut)
    assert int(head.split()[1]) == status, head
    assert tier.opened == 0
    assert b"\r\nServer:" not in head
    assert b"\r\nX-Request-Id: " in head
    if status == 400 and body:
        assert json.loads(body)["status"] == 400


@TWO_WAYS
async def test_what_comes_behind_a_request_that_is_refused_is_not_a_request(start_jwt, tier, cut):
    """Else a proxy's next client would get the answer."""
    bridge = await start_jwt()
    for name in ("a length and chunks", "Content-Length twice, not alike", "a folded credential"):
        request, _ = ATTACKS[name]
        head, rest = await exchange(bridge, request + SMUGGLED.encode(), cut, until_closed=True)
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"HTTP/1.1 " not in rest.replace(b"no HTTP/1.1 request", b"")


@TWO_WAYS
async def test_an_upgrade_to_http2_is_passed_over_and_opens_no_way_past_the_checks(
    start_jwt, tier, cut
):
    bridge = await start_jwt()
    upgrade = "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n"
    head, _ = await exchange(bridge, unauthorized(upgrade), cut)
    assert head.startswith(b"HTTP/1.1 401 ")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    text = unauthorized(upgrade) + preface + SMUGGLED.encode()
    host, port = bridge.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(text)
    writer.write_eof()
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"HTTP/1.1 101" not in answer
    assert b"livequery_bridge_" not in answer
    assert tier.opened == 0


# ------------------------------------------------------------------ sockets


@pytest.mark.parametrize(
    "message",
    [
        '{"action":"authenticate","token":["T"]}',
        '{"action":"authenticate","token":{"token":"T"}}',
        '{"action":"authenticate","token":"T","token":"x"}',
        '{"action":"authenticate","token":"T","TOKEN":"x"}',
        '{"action":"authenticate","token":"Bearer T"}',
        '{"action":"authenticate","token":" T"}',
        '{"action":"authenticate","token":"T\\n"}',
        '{"action":"authenticate","token":"T\\u0000"}',
        '{"action":"authenticate","query":{"token":"T"}}',
        '{"action":"subscribe","sub":"s","query":QUERY,"token":"T"}',
        '{"action":"subscribe","sub":"s","query":QUERY,"authorization":"Bearer T"}',
        '{"action":"AUTHENTICATE","token":"T"}',
        '{"action":"authenticate","token":null}',
        '{"action":"unsubscribe","sub":"s"}',
        '{"action":"reanchor","sub":"s","cursor":null}',
    ],
)
async def test_no_message_lets_a_socket_in_but_a_token_that_is_one(
    start_jwt, tier, connect_v1, message
):
    tier.rows = ["a"]
    bridge = await start_jwt()
    client = await connect_v1(bridge)
    await client.ws.send_str(message.replace("QUERY", BODY).replace("T", token(), 1))
    await client.say(action="subscribe", sub="t", query=QUERY)
    assert await client.close_code() == 4501
    assert tier.opened == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"},
        {"Sec-WebSocket-Protocol": "livequery.v1, bearer.eyJ"},
    ],
)
async def test_a_handshake_grants_no_extension_and_no_protocol_of_the_clients(
    start_jwt, http, fields
):
    bridge = await start_jwt()
    async with http.ws_connect(bridge.base + "/ws", headers=fields) as ws:
        answered = ws._response.headers
        assert "Sec-WebSocket-Extensions" not in answered
        assert answered.get("Sec-WebSocket-Protocol") in (None, "livequery.v1")


# ------------------------------------------------------------------ tickets


async def test_a_ticket_says_nothing_and_is_bound_to_what_asked_for_it(start_jwt, tier, http, ways):
    tier.rows = ["a"]
    bridge = await start_jwt(claims_metadata="tenant=x-tenant")
    text = token(tenant="acme")

    async def ticket(**headers):
        url = bridge.base + "/ticket"
        async with http.post(url, headers=bearer(text) | headers) as answer:
            return (await answer.json())["ticket"]

    one, two = await ticket(), await ticket()
    assert one[4:20] != two[4:20]
    for part in text.split("."):
        assert part not in one
    # Beside a ticket nothing that a client sends is its word; a bad credential before it wins.
    for more in ([("Authorization", "Bearer x")], [("Authorization", f"Bearer {token(exp=1)}")]):
        status = await ways.status(bridge, target=f"?ticket={one}", headers=more)
        assert status == 401
    for cut in (
        one[:-1],
        one + "A",
        one.swapcase(),
        one.replace("lqt_", ""),
        one + two,
        one + "%00",
    ):
        assert await ways.status(bridge, target=f"?ticket={cut}") == 401
    assert await ways.status(bridge, target=f"?ticket={one}") == 200, "and none of this used it up"
    for origin in ("null", bridge.url + ".evil.example", "https://" + bridge.url[7:]):
        status = await ways.status(bridge, target=f"?ticket={two}", headers=[("Origin", origin)])
        assert status == (200 if origin.startswith("https://127") else 403)


# ------------------------------------------------------------------ an issuer's server


@pytest.fixture
async def server(authority):
    server = await KeyServer(*authority.issue("keys", 1)).start()
    server.serves(ec_key("a"))
    yield server
    await server.stop()


async def test_nothing_that_a_key_server_sends_takes_the_old_keys_away(
    start_jwt, server, authority, tier, ways, caplog
):
    tier.rows = ["a"]
    bridge = await start_jwt(jwt_keys=server.url + "?key=hunter2", jwt_ca=authority.ca)
    good = [("Authorization", f"Bearer {token(ec_key('a'))}")]
    other = [("Authorization", f"Bearer {token(ec_key('b'))}")]
    assert await ways.status(bridge, headers=good) == 200
    [store] = bridge.context.authenticator.key_stores
    mine = [ec_key("b").jwk] * (MAX_KEYS + 1)
    for answer in (
        b"[" * 500_000,
        b'{"keys":' + b"[" * 100_000,
        json.dumps({"keys": mine}).encode(),
        b" " * (1024 * 1024 + 1) + jwks(ec_key("b")),
        gzip.compress(b" " * 200_000_000, 1)[:900_000],
        json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "b"}]}).encode(),
        b'{"keys":[]}',
        b"\x00" * 1000,
        "\ud83d".encode("utf-16", "surrogatepass"),
        404, 500, 302,
    ):  # fmt: skip
        server.answer, store._asked_at = answer, None
        failed = store.reads["failed",]
        assert await ways.status(bridge, headers=other) in (401, 503)
        assert store.reads["failed",] == failed + 1
        assert await ways.status(bridge, headers=good) == 200
    assert "hunter2" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


# ------------------------------------------------------------------ revocations


async def test_nothing_in_a_file_of_revocations_keeps_its_good_lines_from_counting(
    start_jwt, tier, ways, tmp_path, caplog
):
    tier.rows = ["a"]
    file = tmp_path / "revocations"
    file.write_bytes(b"")
    bridge = await start_jwt(revocations=str(file))
    good = [("Authorization", f"Bearer {token(iat=int(time.time()) - 5)}")]
    assert await ways.status(bridge, headers=good) == 200
    file.write_bytes(
        b"\xff\xfe\x00\x01\r\n"
        + b"garbage\n" * 2000
        + b"[" * 100_000 + b"\n"
        + b'{"claims":{"a":' + b"[" * 900 + b"]" * 900 + b"}}\n"
        + b'{"sub":"alice","at":NaN}\n{"sub":"a","sub":"alice"}\n{"at":5}\n{"at":[]}\n'
        + b'"' + b"x" * 100_000 + b'"\n'
        + b'{"sub":"bob","at":-1e300}\n{"jti":"\\ud800"}\n'
        + b'\x00\n{"sub":"carol"}\x00\n'
        + b' \t{"sub":"alice"} \t\r\n'
        + b'{"sub":"unfinis'
    )  # fmt: skip

    async def refused():
        return await ways.status(bridge, headers=good) == 401

    async with asyncio.timeout(10):
        while not await refused():
            await asyncio.sleep(0.1)
    bob = [("Authorization", f"Bearer {token(sub='bob')}")]
    assert await ways.status(bridge, headers=bob) == 200, "its word is older than any token"
    assert not [record for record in caplog.records if record.exc_info]
    # And the file is still followed.
    file.write_bytes(b'{"sub":"bob"}\n')
    async with asyncio.timeout(10):
        while await ways.status(bridge, headers=bob) != 401:
            await asyncio.sleep(0.1)


# ------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (["X-Forwarded-For: 203.0.113.7%eth0"], "127.0.0.1"),
        (["X-Forwarded-For: fe80::1%25eth0"], "127.0.0.1"),
        (["X-Forwarded-For: [2001:db8::7]:99999"], "2001:db8::/64"),
        (["X-Forwarded-For: 2001:db8::7]"], "127.0.0.1"),
        (["X-Forwarded-For: 203.0.113.7:x"], "127.0.0.1"),
        (["X-Forwarded-For: 203.0.113.007"], "127.0.0.1"),
        (["X-Forwarded-For: 0xcb.0.113.7"], "127.0.0.1"),
        (["X-Forwarded-For: 3405803783"], "127.0.0.1"),
        (["X-Forwarded-For: ::ffff:203.0.113.7"], "203.0.113.7"),
        (["X-Forwarded-For: 203.0.113.7,"], "127.0.0.1"),
        (["X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.7"], "203.0.113.7"),
        (['Forwarded: for="[2001:db8::7%25eth0]"'], "127.0.0.1"),
        (['Forwarded: for="203.0.113.7:4711";by=x'], "203.0.113.7"),
        (["Forwarded: for=203.0.113.7;for=198.51.100.1"], "127.0.0.1"),
        (["Forwarded: for=_hidden"], "127.0.0.1"),
        (['Forwarded: for="_x\\\\"203.0.113.7"'], "127.0.0.1"),
        (["X-Real-IP: 203.0.113.7"], "127.0.0.1"),
        (["X-Forwarded-For: 203.0.113.7", "Forwarded: for=198.51.100.1"], "127.0.0.1"),
    ],
)  # fmt: skip
@TWO_WAYS
async def test_an_address_that_a_proxy_could_not_have_written_is_nobodys(
    start_jwt, tier, lines, address, cut
):
    tier.rows = ["a"]
    bridge = await start_jwt(trusted_proxies="127.0.0.1", heartbeat_interval="0")
    fields = "".join(f"{line}\r\n" for line in lines)
    async with connected(bridge) as client:
        await client.send_in_parts(post(fields), cut)
        assert (await client.head()).startswith("HTTP/1.1 200 ")
        assert list(bridge.context.admission._by_address) == [address]


async def test_a_folded_address_is_a_malformed_request(start_jwt, tier):
    bridge = await start_jwt(trusted_proxies="127.0.0.1")
    head, _ = await exchange(bridge, post("X-Forwarded-For: 198.51.100.1,\r\n 203.0.113.7\r\n"))
    assert head.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 203.0.113.7 10.0.0.1 1 2\n",
        b"PROXY TCP4 203.0.113.777 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 2001:db8::1 10.0.0.1 1 2\r\n",
        b"PROXY TCP6 203.0.113.7 10.0.0.1 1 2\r\n",
        b"proxy TCP4 203.0.113.7 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 203.0.113.7\t10.0.0.1 1 2\r\n",
        V2_SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),
        V2_SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
        V2_SIGNATURE + b"\x21\x11\xff\xff" + bytes(12),
        V2_SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
    ],
)
async def test_a_proxy_header_that_is_bent_closes_the_connection(start_jwt, tier, header):
    bridge = await start_jwt(trusted_proxies="127.0.0.1", proxy_protocol="on")
    host, port = bridge.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(header + post())
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
    assert tier.opened == 0
