"""What a tier's author is told of a tier that is a little wrong: a WARNING per query and cause."""

import concurrent.futures
import contextlib
import logging
import threading

import grpc
import pytest
from faults_support import KINDS, query, running

from clients import SseClient
from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc
from patience import patient
from scripted_tier import enter, reset, update
from waiting import until


def no_started(call):
    """It is accepted, and that is all."""


def no_reset(call):
    call.start()
    call.send(enter("a", 0), complete=True)


def only_the_end(call):
    call.start()
    call.send(complete=True)


def update_in_a_snapshot(call):
    call.start()
    call.send(reset(), enter("a", 0), update("a", 0), complete=True)


def without_id(agg_id):
    def script(call):
        call.start()
        nameless = enter("", 1, row=b'{"secret":1}')
        if agg_id is None:
            nameless.ClearField("agg_id")
        call.send(reset(), enter("a", 0), nameless, complete=True)

    return script


WRONG = {
    "no `started`": (no_started, "no_started: accepted, no `started`"),
    "no reset": (
        no_reset,
        "no_snapshot: expected a reset first, got op=enter id='a' old_index=-1 new_index=0",
    ),
    "a snapshot of nothing": (only_the_end, "no_snapshot: expected a reset before"),
    "UPDATE in a snapshot": (
        update_in_a_snapshot,
        "snapshot: op=update id='a' old_index=0 new_index=0: expected enters only in a snapshot",
    ),
    "agg_id missing": (
        without_id(None),
        "unreadable: op=enter id='' old_index=-1 new_index=1: agg_id is missing",
    ),
    "agg_id empty": (
        without_id(""),
        "unreadable: op=enter id='' old_index=-1 new_index=1: agg_id is missing",
    ),
}


def told(caplog):
    found = [r for r in caplog.records if r.name.endswith("fault_log")]
    return [r.getMessage() for r in found if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("name", WRONG)
async def test_each_is_one_warning_for_a_query_however_often_it_is_tried(
    start_bridge, tier, http, caplog, name
):
    script, said = WRONG[name]
    caplog.set_level(logging.INFO, "bridge")
    bridge = await start_bridge(open_timeout=f"{patient(0.4):.1f}s")

    async def play():
        while True:
            script(await tier.calls.get())

    async with running(play()):
        for entity in ("one", "two"):
            for _ in range(2):
                before = tier.opened
                async with http.post(bridge.base, json=query(entity)):
                    await until(lambda n=before: tier.opened > n)
                await until(lambda n=entity: any(n in line for line in told(caplog)))
                await until(lambda: not tier.open)
    lines = told(caplog)
    assert len(lines) == 2, lines
    for entity, line in zip(("one", "two"), lines, strict=True):
        assert line.startswith(f"the tier's stream of {entity}: {said}"), line
        assert "secret" not in line
    assert not any(record.exc_info for record in caplog.records)


class SyncTier(livequery_pb2_grpc.LiveQueryServiceServicer):
    """A synchronous server of grpcio: each open call holds one of its few threads."""

    def Subscribe(self, request, context):  # noqa: N802 - the service says so
        over = threading.Event()
        context.add_callback(over.set)
        yield pb.SubscribeResponse(started=pb.Started(subscription_id=request.query.entity))
        deltas = [reset(), enter("a", 0)]
        yield pb.SubscribeResponse(
            batch=pb.DeltaBatch(deltas=deltas, epoch=1, first_seq=1, snapshot_complete=True)
        )
        over.wait()


@contextlib.contextmanager
def sync_tier(threads, **options):
    """Serve with so many threads; yields the address."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0)], **options)
        livequery_pb2_grpc.add_LiveQueryServiceServicer_to_server(SyncTier(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()


async def test_a_sync_server_whose_threads_are_used_up_is_named_and_serves_once_one_is_free(
    start_bridge, http, caplog
):
    with sync_tier(threads=2) as address:
        bridge = await start_bridge(upstream=address, open_timeout=f"{patient(2):.0f}s")
        streams = [SseClient(await http.post(bridge.base, json=query(e))) for e in ("one", "two")]
        for stream in streams:
            await stream.frames(2)
        response = await http.post(bridge.base, json=query("three"))
        assert response.status == 504
        detail = (await response.json(content_type=None))["detail"]
        assert detail == "the tier accepted the call and sent no `started` in time"
        [line] = told(caplog)
        assert line.startswith("the tier's stream of three: no_started: ")
        streams[0].close()

        async def served():
            response = await http.post(bridge.base, json=query("three"))
            served = response.status == 200
            response.close()
            return served

        await until(served)
        streams[1].close()
        await bridge.close()


@pytest.mark.parametrize("coding", ["Gzip", "Deflate", "NoCompression"])
async def test_rows_of_a_sync_server_that_compresses_unasked_reach_clients(
    start_bridge, join, caplog, coding
):
    with sync_tier(threads=4, compression=grpc.Compression[coding]) as address:
        bridge = await start_bridge(upstream=address)
        for kind in KINDS:
            client = await join(bridge.url, kind, query())
            await client.shows("a")
            client.leave()
        assert not told(caplog)
        await bridge.close()


@pytest.mark.parametrize("size", [70_000, 200_000])
async def test_a_stack_trace_in_one_calls_trailers_touches_no_neighbour(
    start_bridge, tier, join, size
):
    """A status of 70 kB, as servers send it that put a trace there."""
    tier.rows = ["a"]
    bridge = await start_bridge()
    neighbour = await join(bridge.url, "ws/v1", query("one"))
    await neighbour.shows("a")
    [call] = tier.open.values()
    tier.rows = None
    other = await join(bridge.url, "sse", query("two"))
    (await tier.next_call()).fail(grpc.StatusCode.INTERNAL, "at f();" * (size // 7))
    assert await other.until(lambda c: c.status) == 502
    call.send(update("a", 0, version=9))
    await neighbour.until(lambda c: c.frames[-1].get("version") == 9)
    assert not neighbour.told("stale")
    assert tier.opened == 2
