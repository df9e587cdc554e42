"""Habits of browsers, libraries and tiers of other people, by both ways of serving a request."""

import json

import pytest

from bridge.core.deep_json import MAX_DEPTH
from clients import QUERY
from raw_client import (
    BOTH_WAYS,
    STREAM_REQUEST,
    SUBSCRIBE,
    TEXT,
    UPGRADE,
    exchange,
    message,
    open_websocket,
    read_message,
)
from scripted_tier import enter, reset


def asked_of(request, host, origin):
    lines = b"Host: %b\r\n" % host + (b"Origin: %b\r\n" % origin if origin else b"")
    return request.replace(b"Host: localhost\r\n", lines)


@BOTH_WAYS
@pytest.mark.parametrize(
    ("host", "origin", "served"),
    [
        (b"app.localhost:%d", b"http://app.localhost:%d", True),
        (b"a.b.localhost:%d", b"http://a.b.localhost:%d", True),
        (b"localhost.:%d", b"http://localhost.:%d", True),
        (b"LOCALHOST.:%d", b"", True),
        (b"localhost:%d", b"http://app.localhost:%d", False),
        (b"app.localhost:%d", b"http://evil.localhost:%d", False),
        (b"evillocalhost:%d", b"http://evillocalhost:%d", False),
        (b"localhost.evil.example", b"", False),
    ],
)
@pytest.mark.parametrize("kind", ["stream", "socket"])
async def test_names_below_localhost_are_the_loopback_listeners_own(
    start_bridge, tier, wire, cut, kind, host, origin, served
):
    """RFC 6761 §6.3: browsers ask no resolver for them."""
    tier.rows = ["a"]
    bridge = await start_bridge()
    port = int(bridge.url.rpartition(":")[2])
    host, origin = [text % port if b"%d" in text else text for text in (host, origin)]
    request = STREAM_REQUEST if kind == "stream" else UPGRADE + b"\r\n"
    client = await wire(bridge)
    head = await open_websocket(client, asked_of(request, host, origin), cut)
    accepted = "200 OK" if kind == "stream" else "101 Switching"
    assert (accepted if served else "403 ") in head.partition("\r\n")[0]
    assert tier.opened == (served and kind == "stream")


TWICE = {
    "two credentials": b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    "the same twice": b"X-Tenant: a\r\nAuthorization: Bearer a\r\nauthorization: Bearer a\r\n",
    "a scope header twice": b"X-Tenant: a\r\nX-Tenant: b\r\n",
}


@BOTH_WAYS
@pytest.mark.parametrize("protocol", [b"", b"Sec-WebSocket-Protocol: livequery.v1\r\n"])
@pytest.mark.parametrize("what", TWICE)
async def test_a_header_that_is_there_twice_ends_a_socket_with_4500(
    start_bridge, tier, wire, cut, what, protocol
):
    """A browser can't see the status of a refused upgrade."""
    bridge = await start_bridge(forward_metadata="authorization,x-tenant", scope="x-tenant")
    client = await wire(bridge)
    head = await open_websocket(client, UPGRADE + protocol + TWICE[what] + b"\r\n", cut)
    assert head.startswith("HTTP/1.1 101")
    client.send(message(SUBSCRIBE))
    while (code := await read_message(client)) < 1000:
        pass
    assert code == 4500
    assert tier.opened == 0


@BOTH_WAYS
@pytest.mark.parametrize("depth", [900, 990])
@pytest.mark.parametrize("shape", [(b"[", b"]"), (b'{"a":', b"}")])
async def test_a_row_nested_900_to_990_deep_reaches_both_transports(
    start_bridge, tier, wire, cut, depth, shape
):
    opening, closing = shape
    row = opening * depth + b"1" + closing * depth
    assert depth <= MAX_DEPTH
    bridge = await start_bridge()
    stream, socket = await wire(bridge), await wire(bridge)
    stream.send(STREAM_REQUEST[:cut])
    stream.send(STREAM_REQUEST[cut:])
    call = await tier.next_call()
    call.start()
    call.send(reset(), enter("a", 0, row=row), complete=True)
    await stream.head()
    assert row in await stream.until(b'"cursor":{"values":["a"]}')
    await open_websocket(socket, cut=cut)
    socket.send(message(SUBSCRIBE))
    assert [await read_message(socket) for _ in range(2)] == [TEXT, TEXT]
    assert tier.opened == 1


@BOTH_WAYS
@pytest.mark.parametrize("path", ["", "/window"])
async def test_a_query_in_a_post_that_ends_in_a_line_feed_or_spaces_is_read(
    start_bridge, tier, cut, path
):
    """As `curl -d @file` and templates send it."""
    tier.rows = ["a"]
    bridge = await start_bridge()
    body = b"\r\n  " + json.dumps(QUERY, indent=2).encode() + b"\n\t \r\n"
    head = b"POST /api/v1/live%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    answer, _ = await exchange(bridge, head % (path.encode(), len(body)) + body, cut)
    assert answer.startswith(b"HTTP/1.1 200 ")
