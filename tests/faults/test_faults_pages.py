"""A proxy that cuts calls and answers in the tier's place: no verdict on queries or credentials."""

import asyncio
import contextlib

import pytest
from faults_support import KINDS, query
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded

from bridge.upstream.breaker import FAILURE_THRESHOLD
from livequery.v1 import livequery_pb2 as pb
from scripted_tier import enter, reset
from waiting import until

PATH = "/livequery.v1.LiveQueryService/"
GRPC = [(":status", "200"), ("content-type", "application/grpc")]


def framed(message):
    text = message.SerializeToString()
    return b"\0" + len(text).to_bytes(4, "big") + text


class ProxiedTier:
    """A tier with `rows`.

    While `page` is an HTTP status, every call is answered with a page; `reanchor_page`: every Reanchor.
    """

    def __init__(self):
        self.rows = ["a", "b"]
        self.page = self.reanchor_page = None
        self.refused = None  # an entity that gets pages; None: every one
        self.requests = []
        self.reanchors = 0
        self._open = []
        self._tasks = []

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def stop(self):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self, how):
        """End every stream as proxies do: by a reset, or without trailers."""
        for h2, writer, stream in self._open:
            if how == "reset":
                h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
            else:
                h2.send_data(stream, b"", end_stream=True)
            writer.write(h2.data_to_send())
        self._open.clear()

    async def _serve(self, reader, writer):
        self._tasks.append(asyncio.current_task())
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        h2.initiate_connection()
        writer.write(h2.data_to_send())
        calls = {}
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65_536):
                for event in h2.receive_data(data):
                    if isinstance(event, RequestReceived):
                        calls[event.stream_id] = [dict(event.headers)[":path"], b""]
                    elif isinstance(event, DataReceived):
                        calls[event.stream_id][1] += event.data
                    elif isinstance(event, StreamEnded):
                        self._answer(h2, writer, event.stream_id, *calls.pop(event.stream_id))
                writer.write(h2.data_to_send())
        writer.transport.abort()

    def _answer(self, h2, writer, stream, path, body):
        if path == PATH + "Subscribe":
            self.requests.append(pb.SubscribeRequest.FromString(body[5:]))
        self.reanchors += path == PATH + "Reanchor"
        page = self.reanchor_page if path == PATH + "Reanchor" else self.page
        if self.refused and path == PATH + "Subscribe":
            page = self.page if self.requests[-1].query.entity == self.refused else None
        if page is not None:
            h2.send_headers(stream, [(":status", str(page)), ("content-type", "text/html")])
            h2.send_data(stream, b"<html></html>", end_stream=True)
        elif path != PATH + "Subscribe":
            h2.send_headers(stream, [*GRPC, ("grpc-status", "12")], end_stream=True)
        else:
            deltas = [reset(), *(enter(agg_id, at) for at, agg_id in enumerate(self.rows))]
            batch = pb.DeltaBatch(deltas=deltas, epoch=1, first_seq=1, snapshot_complete=True)
            started = pb.Started(subscription_id=f"sub-{len(self.requests)}")
            messages = pb.SubscribeResponse(started=started), pb.SubscribeResponse(batch=batch)
            h2.send_headers(stream, GRPC)
            h2.send_data(stream, b"".join(map(framed, messages)))
            self._open.append((h2, writer, stream))


@pytest.fixture
async def tier():
    tier = await ProxiedTier().start()
    yield tier
    await tier.stop()


@pytest.mark.parametrize("how", ["reset", "no trailers"])
@pytest.mark.parametrize("page", [401, 403, 404, 500, 503])
async def test_a_page_between_two_calls_ends_no_stream_and_the_position_is_still_offered(
    page, how, tier, start_bridge, join
):
    bridge = await start_bridge(max_connections_per_ip="0")
    clients = [await join(bridge.url, kind, query()) for kind in KINDS]
    for client in clients:
        await client.shows("a", "b")
    tier.page, tier.rows = page, ["b", "c"]
    tier.cut(how)
    await until(lambda: len(tier.requests) >= 3)  # the first one, and two that got the page
    tier.page = None
    for client in clients:
        await client.shows("b", "c")
        assert not client.closed.done()
    offers = [request.resume.subscription_id for request in tier.requests]
    assert offers == ["", *["sub-1"] * (len(offers) - 1)]


@pytest.mark.parametrize("page", [400, 401, 403, 404, 500, 501])
async def test_a_page_before_a_stream_has_begun_is_a_bad_gateway(page, tier, start_bridge, join):
    tier.page = page
    bridge = await start_bridge()
    sse = await join(bridge.url, "sse")
    assert await sse.until(lambda c: c.status) == 502
    ws = await join(bridge.url, "ws")
    assert (await ws.ended()).code == 1011
    v1 = await join(bridge.url, "ws/v1")
    (error,) = await v1.until(lambda c: c.told("error"))
    assert error["code"] in ("INTERNAL", "UNKNOWN")
    assert error["retryable"]


@pytest.mark.parametrize("page", [429, 502, 503, 504])
async def test_a_page_that_says_try_later_is_unavailable(page, tier, start_bridge, join):
    tier.page = page
    bridge = await start_bridge(open_timeout="300ms")
    sse = await join(bridge.url, "sse")
    assert await sse.until(lambda c: c.status) == 503
    ws = await join(bridge.url, "ws")
    assert (await ws.ended()).code == 1013


@pytest.mark.parametrize("page", [401, 403, 404])
async def test_a_page_in_place_of_the_answer_to_a_reanchor_is_no_refusal(
    page, tier, start_bridge, join
):
    bridge = await start_bridge()
    client = await join(bridge.url, "ws", query())
    await client.shows("a", "b")
    tier.reanchor_page, tier.rows = page, ["c", "d"]
    client.say(action="reanchor", cursor={"values": ["1", "b"]})
    await client.shows("c", "d")
    assert tier.reanchors == 1


@pytest.mark.parametrize("page", [429, 502, 503])
async def test_pages_for_one_query_do_not_open_the_circuit_for_the_others(
    page, tier, start_bridge, join
):
    tier.page, tier.refused = page, "refused"
    bridge = await start_bridge(open_timeout="300ms")
    for n in range(FAILURE_THRESHOLD + 1):
        sse = await join(bridge.url, "sse", query("refused", n + 1))
        assert await sse.until(lambda c: c.status) == 503
    assert len(tier.requests) > FAILURE_THRESHOLD
    client = await join(bridge.url, "sse", query())
    await client.shows("a", "b")
