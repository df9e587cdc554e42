"""Connections over real sockets: made, kept alive, and ended, by asyncio's loop and uvloop's."""

import asyncio
import contextlib
import gc
import ssl

import grpc
import pytest
import uvloop
from h2.events import PingReceived, RequestReceived
from h2.settings import SettingCodes
from h2_peer import ANSWER, PATH, Server, ok
from hyperframe.frame import GoAwayFrame
from upstream_tier import NOBODY, QUERY, Replica, read

from bridge.core.address import ReplicaAddress
from bridge.live.flush_scheduler import FlushScheduler
from bridge.upstream.http2.call import CallEnded
from bridge.upstream.http2.dialer import Dialer
from bridge.upstream.http2.keepalive import Keepalive
from bridge.upstream.http2.peer import Peer
from bridge.upstream.http2.stream_buffer import WINDOW, frame_message
from flushing import Calling
from livequery.v1 import livequery_pb2 as pb
from patience import patiently
from scripted_tier import enter, reset
from waiting import until

STARTED = pb.SubscribeResponse(started=pb.Started(subscription_id="s")).SerializeToString()
BEAT = pb.SubscribeResponse(heartbeat=pb.Heartbeat(last_seq=7)).SerializeToString()
NEVER = Keepalive(ping_after=300, timeout=20)


class RawServer:
    """Takes connections; each is a Server whose frames the test writes.

    `answers`: whether requests are answered with headers. `sends`: whether it sends anything.
    """

    def __init__(self, *, answers=True, sends=True, **settings):
        self.answers = answers
        self.sends = sends
        self.settings = settings
        self.links = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = ReplicaAddress(f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}")
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for link in self.links:
            link.writer.transport.abort()
            await asyncio.wait([link.task])

    async def _serve(self, reader, writer):
        link = Link(self, reader, writer)
        self.links.append(link)
        with contextlib.suppress(OSError):
            await link.run()


class Link:
    def __init__(self, server, reader, writer):
        self.h2 = Server(**server.settings)
        self.server = server
        self.reader, self.writer = reader, writer
        self.streams = []
        self.pings = 0
        self.paths = []
        self.task = asyncio.current_task()
        self.over = asyncio.Event()

    async def run(self):
        try:
            if self.server.sends:
                self.h2.initiate_connection()
                self.flush()
            while data := await self.reader.read(65_536):
                if not self.server.sends:
                    continue
                for event in self.h2.receive_data(data):
                    self.pings += isinstance(event, PingReceived)
                    if isinstance(event, RequestReceived):
                        self.paths.append(dict(event.headers)[":path"])
                    if isinstance(event, RequestReceived) and (":path", PATH) in event.headers:
                        self.streams.append(event.stream_id)
                        if self.server.answers:
                            self.h2.send_headers(event.stream_id, ANSWER)
                self.flush()
        finally:
            self.over.set()

    def flush(self):
        self.writer.write(self.h2.data_to_send())

    def say(self, stream, message):
        self.h2.send_data(stream, frame_message(message))
        self.flush()


@pytest.fixture
async def dial():
    """Connect to an address; connections are closed in the end."""
    made = []

    def connect(address, keepalive=NEVER, context=None):
        connection = Dialer(ssl_context=context).dial(address, Peer("tier", keepalive))
        made.append(connection)
        return connection

    yield connect
    for connection in made:
        await connection.close()


async def refusal(connection):
    with pytest.raises(CallEnded) as told:
        await connection.wait_ready()
    return told.value.status


async def test_a_call_from_its_request_to_its_end(dial):
    async with RawServer() as server:
        connection = dial(server.address)
        await connection.wait_ready()
        call = connection.start_call(PATH, b"ask", ())
        (link,) = server.links
        await until(lambda: link.streams)
        link.say(1, b"one")
        assert await call.read() == b"one"
        link.h2.send_headers(1, ok(), end_stream=True)
        link.flush()
        assert await call.read() is None
        await connection.close()
        await link.over.wait()


async def test_a_connection_without_the_peers_settings_fails_in_2_s(dial, monkeypatch):
    monkeypatch.setattr("bridge.upstream.http2.connection.CONNECT_TIMEOUT", 0.1)
    async with RawServer(sends=False) as server:
        status = await refusal(dial(server.address))
        assert (status.code, status.text) == ("UNAVAILABLE", "no connection in time")
        await server.links[0].over.wait()


async def test_a_closed_port_a_bad_name_and_a_missing_socket_are_unavailable(dial, tmp_path):
    for address in ("127.0.0.1:1", f"{'x' * 70}.test:1", f"unix:{tmp_path}/none.sock"):
        assert (await refusal(dial(ReplicaAddress(address)))).code == "UNAVAILABLE"


async def test_a_lost_connection_fails_all_its_calls_at_once(dial):
    async with RawServer() as server:
        connection = dial(server.address)
        await connection.wait_ready()
        calls = [connection.start_call(PATH, b"", ()) for _ in range(3)]
        reading = [asyncio.create_task(call.read()) for call in calls]
        await until(lambda: len(server.links[0].streams) == 3)
        server.links[0].writer.transport.abort()
        for outcome in await asyncio.gather(*reading, return_exceptions=True):
            assert outcome.status.code == "UNAVAILABLE"
        assert not connection.usable
        assert (await refusal(connection)).code == "UNAVAILABLE"


async def test_a_peer_that_hangs_is_found_by_a_ping(dial):
    async with RawServer() as server:
        connection = dial(server.address, Keepalive(ping_after=0.2, timeout=0.4))
        await connection.wait_ready()
        call = connection.start_call(PATH, b"", ())
        (link,) = server.links
        await until(lambda: link.pings == 2)  # it answers: nothing happens
        server.sends = False
        with pytest.raises(CallEnded) as told:
            async with patiently(5):
                await call.read()
        assert told.value.status.text == "the peer does not answer"


async def test_a_slow_reader_closes_a_fast_peers_window(dial):
    async with RawServer() as server:
        connection = dial(server.address)
        await connection.wait_ready()
        call = connection.start_call(PATH, b"", ())
        (link,) = server.links
        await until(lambda: link.streams)
        sent = 0
        while link.h2.local_flow_control_window(1) >= 1029:
            link.say(1, bytes(1024))
            sent += 1
        await asyncio.sleep(0.05)
        assert link.h2.local_flow_control_window(1) < 1029
        assert sent <= WINDOW // 1024
        for _ in range(sent):
            await call.read()
        await until(lambda: link.h2.local_flow_control_window(1) > WINDOW // 2)


async def test_closing_while_it_connects_leaves_nothing(dial):
    async with RawServer(sends=False) as server:
        connection = dial(server.address)
        waiting = asyncio.create_task(connection.wait_ready())
        await until(lambda: server.links)
        await connection.close()
        with pytest.raises(CallEnded):
            await waiting
        await server.links[0].over.wait()


async def test_a_peer_without_tls_is_unavailable(dial):
    async with RawServer() as server:  # no TLS there at all
        status = await refusal(dial(server.address, context=ssl.create_default_context))
    assert status.code == "UNAVAILABLE"


async def test_garbage_on_connecting_is_unavailable_and_no_traceback(dial, caplog):
    async def serve(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = ReplicaAddress(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert (await refusal(dial(address))).code == "UNAVAILABLE"
    assert not [record for record in caplog.records if record.exc_info]


# ------------------------------------------------------------------ the pool


async def test_a_servers_limit_of_streams_is_kept(replica, bridge_to, opened):
    tier = await replica(options=(("grpc.max_concurrent_streams", 5),))
    endpoints, backend = bridge_to(tier)
    async with patiently(5):
        opened += await asyncio.gather(*(backend.subscribe(QUERY, NOBODY) for _ in range(23)))
    assert len(tier.open) == 23
    assert len(set(tier.peers)) == 5
    assert endpoints.snapshot()[0].streams == 23


async def test_a_server_that_allows_no_streams_at_first_is_waited_for_on_one_connection(
    bridge_to, opened
):
    async with RawServer(MAX_CONCURRENT_STREAMS=0) as server:
        endpoints, backend = bridge_to(server.address.address)
        opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
        (endpoint,) = endpoints._endpoints.values()
        await until(lambda: len(server.links) == 2 and endpoint.pool.streams)
        done, _ = await asyncio.wait([opening], timeout=0.2)
        assert not done
        for link in server.links:
            link.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
            link.flush()
        health, subscribing = await until(lambda: sorted_by_path(server.links))
        subscribing.say(1, STARTED)
        opened.append(await opening)
        assert health.paths == ["/grpc.health.v1.Health/Watch"]
        assert len(server.links) == 2, "health has a place of its own; nothing was dialed again"
        assert not endpoint.breaker.open


def sorted_by_path(links):
    """Return the links by the path of their first request, once all have one."""
    if all(link.paths for link in links):
        return sorted(links, key=lambda link: link.paths)
    return None


async def test_after_a_goaway_new_streams_get_a_new_connection_and_old_ones_go_on(
    bridge_to, opened
):
    async with RawServer() as server:
        endpoints, backend = bridge_to(server.address.address)

        async def subscribe(number):
            opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
            link = await until(lambda: next((x for x in server.links[number:] if x.streams), None))
            link.say(1, STARTED)
            opened.append(await opening)
            return link, opened[-1]

        (endpoint,) = endpoints._endpoints.values()
        link, sub = await subscribe(0)
        link.writer.write(GoAwayFrame(0, last_stream_id=1).serialize())
        (pooled,) = endpoint.pool._connections
        await until(lambda: not pooled.connection.usable)
        other, _ = await subscribe(len(server.links))
        assert other is not link
        assert len(endpoint.pool) == 2
        link.say(1, BEAT)
        assert (await read(sub)).last_seq == 7
        sub.close()
        await until(lambda: len(endpoint.pool) == 1)
        await link.over.wait()


async def test_unix_sockets_and_ipv6_addresses_work(replica, bridge_to, opened, tmp_path):
    for tier in (
        await replica(where=f"unix:{tmp_path}/tier.sock"),
        await replica(host="[::1]"),
    ):
        _, backend = bridge_to(tier)
        opened.append(await backend.subscribe(QUERY, NOBODY))


def test_it_works_on_uvloop_as_well():
    async def run():
        tier = await Replica(started=False).start()
        connection = Dialer().dial(ReplicaAddress(tier.address), Peer("tier", NEVER))
        try:
            await connection.wait_ready()
            call = connection.start_call(PATH, b"", ())
            asked = await tier.next_call()
            asked.start()
            asked.send(reset(), enter("a", 0, row=b'"%b"' % (b"x" * 300_000)), complete=True)
            asked.fail(grpc.StatusCode.NOT_FOUND, "no")
            assert len(await call.read()) < 100
            assert len(await call.read()) > 300_000
            with pytest.raises(CallEnded) as told:
                await call.read()
            assert told.value.status.code == "NOT_FOUND"
            assert told.value.status.text == "no"
            assert told.value.status.details
        finally:
            await connection.close()
            await tier.stop()

    uvloop.run(run())
    gc.collect()


class NoTurns(asyncio.AbstractEventLoop):
    """A loop that nothing may be left to."""

    def call_soon(self, *_, **__):
        raise AssertionError("a turn of the loop more")


async def test_what_the_messages_of_one_read_make_due_is_done_once_before_the_read_is_over():
    async with RawServer() as server:
        scheduler = FlushScheduler(NoTurns())
        connection = Dialer(flush_scheduler=scheduler).dial(server.address, Peer("tier", NEVER))
        await connection.wait_ready()
        call = connection.start_call(PATH, b"ask", ())
        (link,) = server.links
        await until(lambda: link.streams)
        taken, flushed = [], []

        def take(message):
            if not taken:
                scheduler.schedule(Calling(lambda: flushed.append(list(taken))))
            taken.append(message)

        following = asyncio.create_task(call.follow(take))
        await asyncio.sleep(0)
        for message in (b"one", b"two"):
            link.h2.send_data(1, frame_message(message))
        connection.data_received(link.h2.data_to_send())
        assert flushed == [[b"one", b"two"]]
        following.cancel()
        await asyncio.wait([following])
        await connection.close()
