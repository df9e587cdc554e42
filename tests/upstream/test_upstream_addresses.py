"""One way to the tier: resolved, dialed and named alike for streams, Reanchor and health."""

import asyncio
import contextlib
import logging
import os
import socket

import pytest
from test_http2_connection import NEVER, STARTED, RawServer
from upstream_tier import NOBODY, NOT_SERVING, QUERY, SERVING

from bridge.core.address import ReplicaAddress, parse_address
from bridge.upstream.health import SERVICE
from bridge.upstream.http2.dialer import Dialer
from bridge.upstream.http2.happy_eyeballs import ATTEMPT_DELAY, connect_first, interleaved
from bridge.upstream.http2.peer import Peer
from patience import patiently
from waiting import until

HOLE = "127.9.9.9"
"""Where a black hole listens: its accept queue is full."""


def answers(*ips):
    async def lookup(host, port):
        return ips

    return lookup


@pytest.fixture
async def black_hole():
    """Listen on HOLE and answer nothing: returns the port."""
    with contextlib.ExitStack() as stack:

        def listen(port=0):
            hole = stack.enter_context(socket.socket())
            hole.bind((HOLE, port))
            hole.listen(0)
            full = hole.getsockname()
            for _ in range(4):  # the kernel drops what is beyond the queue
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full)
            return full[1]

        yield listen


@pytest.mark.parametrize("kind", ["tier.svc:{}", "dns:///tier.svc:{}"])
async def test_a_name_with_a_black_hole_first_is_answered_by_its_second_address(
    replica, bridge_to, opened, black_hole, kind, monkeypatch
):
    # One attempt after the other would wait for this one's end.
    monkeypatch.setattr("bridge.upstream.http2.connection.CONNECT_TIMEOUT", 600)
    tier = await replica()
    black_hole(tier.port)
    endpoints, backend = bridge_to(kind.format(tier.port), lookup=answers(HOLE, "127.0.0.1"))
    async with patiently(2):
        opened.append(await backend.subscribe(QUERY, NOBODY))
    assert await endpoints.reachable()
    tier.reanchored = lambda *_: None
    assert await opened[0].reanchor(QUERY, QUERY, "r") is None


class Sockets:
    """Connects in memory; each address answers after its time, or with its error."""

    def __init__(self, **behaviour):
        self.behaviour = behaviour
        self.tried = []
        self.closed = []

    async def connect(self, ip, port):
        self.tried.append(ip)
        what = self.behaviour[f"h{ip[-1]}"]
        if isinstance(what, OSError):
            raise what
        try:
            await asyncio.sleep(what)
        except asyncio.CancelledError:
            self.closed.append(ip)
            raise
        return ip


A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


async def test_a_second_attempt_begins_after_the_delay_and_the_first_answer_wins():
    sockets = Sockets(h1=3600, h2=0, h3=0)
    assert await connect_first([A, B, C], 1, connect=sockets.connect, delay=0.01) == (B, B)
    assert (sockets.tried, sockets.closed) == ([A, B], [A])


async def test_a_refused_attempt_begins_the_next_at_once():
    sockets = Sockets(h1=ConnectionRefusedError("no"), h2=0)
    assert await connect_first([A, B], 1, connect=sockets.connect, delay=3600) == (B, B)


async def test_the_last_error_is_told_if_no_address_answers():
    sockets = Sockets(h1=ConnectionRefusedError("one"), h2=ConnectionRefusedError("two"))
    with pytest.raises(ConnectionRefusedError, match="two"):
        await connect_first([A, B], 1, connect=sockets.connect)
    with pytest.raises(OSError, match="no address"):
        await connect_first([], 1, connect=sockets.connect)


async def test_a_cancelled_race_leaves_no_attempt():
    sockets = Sockets(h1=3600, h2=3600)
    race = asyncio.create_task(connect_first([A, B], 1, connect=sockets.connect, delay=0))
    await until(lambda: len(sockets.tried) == 2)
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    assert sorted(sockets.closed) == [A, B]


def test_address_families_alternate_and_the_resolvers_first_stays_first():
    assert interleaved(["::1", "::2", "::3", A, B]) == ["::1", A, "::2", B, "::3"]
    assert interleaved([A, B, "::1"]) == [A, "::1", B]
    assert interleaved([]) == []
    assert ATTEMPT_DELAY == 0.25, "RFC 8305, section 5"


async def test_an_address_that_accepts_and_is_silent_is_tried_last_from_then_on(monkeypatch):
    monkeypatch.setattr("bridge.upstream.http2.connection.CONNECT_TIMEOUT", 0.2)
    async with RawServer() as server:
        port = server.address.target[1]
        silent = socket.create_server(("127.0.0.2", port))  # nobody accepts, the kernel does
        dialer = Dialer(lookup=answers("127.0.0.2", "127.0.0.1"))
        replica, peer = ReplicaAddress(f"tier.svc:{port}"), Peer("tier", NEVER)
        hung = dialer.dial(replica, peer)
        with contextlib.suppress(Exception):
            await hung.wait_ready()
        assert hung.timed_out
        next_one = dialer.dial(replica, peer)
        await next_one.wait_ready()
        for connection in (hung, next_one):
            await connection.close()
        silent.close()


# ------------------------------------------------------------------ the environment


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "grpc_proxy", "HTTPS_PROXY"])
async def test_proxies_of_the_environment_are_ignored_by_every_call(
    replica, bridge_to, opened, monkeypatch, name
):
    monkeypatch.setitem(os.environ, name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    tier = await replica(healthy={SERVICE: SERVING})
    endpoints, backend = bridge_to(tier)
    opened.append(await backend.subscribe(QUERY, NOBODY))
    assert await endpoints.reachable()
    tier.reanchored = lambda *_: None
    assert await opened[0].reanchor(QUERY, QUERY, "r") is None


# ------------------------------------------------------------------ who is asked


def test_an_ipv6_address_is_in_brackets_in_the_authority():
    assert Dialer().authority(parse_address("dns:///[::1]:5").at("::1")) == "[::1]:5"


def test_the_server_name_is_the_authority_of_every_call():
    dialer = Dialer(server_name="tier.example")
    assert dialer.authority(ReplicaAddress("10.0.0.1:5", "name", 5)) == "tier.example"


async def test_health_that_turns_not_serving_is_seen_by_a_name_with_a_server_name(
    replica, bridge_to, opened, caplog
):
    """As behind a proxy that routes by authority: one authority for all calls."""
    caplog.set_level(logging.INFO)
    tier = await replica(healthy={SERVICE: SERVING})
    endpoints, _ = bridge_to(f"dns:///tier.svc:{tier.port}", lookup=answers("127.0.0.1"))
    assert await endpoints.reachable()
    await tier.say(NOT_SERVING)
    await until(lambda: endpoints.snapshot()[0].state == "not serving")


# ------------------------------------------------------------------ why there is no connection


async def first_bytes_server(data):
    async def serve(reader, writer):
        with contextlib.suppress(OSError):
            await reader.read(1)
            writer.write(data)
            await writer.drain()
            await reader.read()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "an HTTP/1 server answers there"),
        (b"\x15\x03\x03\x00\x02\x02\x0a", "the peer speaks TLS there"),
    ],
)
async def test_another_protocol_is_named_in_the_log(bridge_to, caplog, data, said):
    server = await first_bytes_server(data)
    async with server:
        bridge_to(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await until(lambda: said in caplog.text or None)


async def test_a_server_with_one_stream_a_connection_has_a_place_for_health(bridge_to, opened):
    """And for a Reanchor, while the Watch and the stream go on."""
    async with RawServer(MAX_CONCURRENT_STREAMS=1) as server:
        _, backend = bridge_to(server.address.address)
        opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
        link = await until(lambda: next((x for x in server.links if x.streams), None))
        link.say(1, STARTED)
        opened.append(await opening)
        moving = asyncio.create_task(opened[0].reanchor(QUERY, QUERY, "r"))
        await until(
            lambda: (
                sorted(path for x in server.links for path in x.paths)
                == [
                    "/grpc.health.v1.Health/Watch",
                    f"/{SERVICE}/Reanchor",
                    f"/{SERVICE}/Subscribe",
                ]
            )
        )
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving
