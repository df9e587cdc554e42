"""Losing, refusing and silent tiers, seen from a client (docs/semantics.md, docs/wire.md §6)."""

import asyncio
import json

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from clients import QUERY, SseClient
from patience import patiently
from scripted_tier import update


@pytest.fixture
async def ask(http):
    clients = []

    async def ask(bridge, **more):
        clients.append(SseClient(await http.post(bridge.base, data=json.dumps(QUERY), **more)))
        return clients[-1]

    yield ask
    for client in clients:
        client.close()


async def counted(http, bridge, metric):
    text = await (await http.get(bridge.url + "/metrics")).text()
    return next((line for line in text.splitlines() if line.startswith(metric)), None)


async def test_a_tier_that_breaks_its_promise_of_heartbeats_is_left(
    start_bridge, tier, open_sse, http
):
    bridge = await start_bridge()
    beat = Duration(nanos=100_000_000)
    _, call = await open_sse(bridge, "a", started={"heartbeat_interval": beat})
    again = await tier.next_call()
    async with patiently(2):
        await call.over.wait()
    again.start()
    again.snapshot("a")
    assert await counted(http, bridge, 'livequery_bridge_resubscribes_total{cause="silence"} 1')


async def test_a_call_whose_snapshot_never_comes_ends_with_the_staleness_limit(
    start_bridge, tier, open_sse
):
    bridge = await start_bridge(max_staleness="400ms")
    client, call = await open_sse(bridge, "a")
    call.fail()
    (await tier.next_call()).start()
    async with patiently(3):
        assert await client.event() is None


async def test_an_unauthenticated_call_is_tried_with_another_viewers_credential(
    start_bridge, tier, ask
):
    bridge = await start_bridge(forward_metadata="authorization,x-tenant", scope="x-tenant")

    def who(token):
        return {"headers": {"X-Tenant": "acme", "Authorization": token}}

    asking = asyncio.create_task(ask(bridge, **who("old")))
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    first = await asking
    await first.frames(2)
    second = await ask(bridge, **who("new"))
    await second.frames(2)
    call.fail(grpc.StatusCode.UNAUTHENTICATED)
    tried = await tier.next_call()
    assert tried.metadata["authorization"] == "new"
    tried.fail(grpc.StatusCode.UNAUTHENTICATED)
    assert await first.event() is None
    assert await second.event() is None


async def test_what_was_seen_before_is_dropped_and_counted(start_bridge, tier, open_sse, http):
    bridge = await start_bridge()
    client, call = await open_sse(bridge, "a")
    call.send(update("a", 0, version=2, stream_id="1-0"))
    call.seq -= 1
    call.send(update("a", 0, version=2, stream_id="1-0"))
    call.send(update("a", 0, version=3, stream_id="2-0"))
    assert [f["stream_id"] for f in await client.frames(2)] == ["1-0", "2-0"]
    assert await counted(http, bridge, 'livequery_bridge_repairs_total{cause="repeated"} 1')


async def test_a_row_below_the_mirrors_version_is_dropped_and_counted(
    start_bridge, tier, open_sse, http
):
    bridge = await start_bridge()
    client, call = await open_sse(bridge, "a")
    call.send(update("a", 0, version=5, stream_id="1-0"))
    call.send(update("a", 0, version=4, stream_id="2-0"))
    call.send(update("a", 0, version=6, stream_id="3-0"))
    assert [f["stream_id"] for f in await client.frames(2)] == ["1-0", "3-0"]
    assert await counted(http, bridge, 'livequery_bridge_repairs_total{cause="stale_version"} 1')


async def test_a_bare_reset_is_cured_by_subscribing_anew(start_bridge, tier, open_sse):
    bridge = await start_bridge()
    client, call = await open_sse(bridge, "a")
    call.snapshot(bare=True)
    again = await tier.next_call()
    again.start()
    again.snapshot("b")
    assert [(f["op"], f["agg_id"]) for f in await client.frames(2)] == [
        ("leave", "a"),
        ("enter", "b"),
    ]


async def test_a_minimal_tier_without_numbers_is_served(start_bridge, tier, ask):
    bridge = await start_bridge()
    asking = asyncio.create_task(ask(bridge))
    call = await tier.next_call()
    call.start()
    call.snapshot("a", "b")
    client = await asking
    await client.frames(3)
    call.send(update("a", 0, version=0), epoch=0, first_seq=0)
    frame = await client.frame()
    assert (frame["op"], frame["agg_id"]) == ("update", "a")


async def test_a_smaller_limit_of_the_tiers_own_is_the_windows(start_bridge, tier, ask):
    bridge = await start_bridge()
    asking = asyncio.create_task(ask(bridge))
    call = await tier.next_call()
    query = call.request.query
    query.limit = 2
    call.start(effective_query=query)
    call.snapshot("a", "b", "c")
    client = await asking
    assert [f.get("agg_id") for f in await client.frames(3)] == [None, "a", "b"]


async def test_a_second_replica_takes_over_when_the_first_is_gone(start_bridge, tier, ask):
    from scripted_tier import ScriptedTier

    other = await ScriptedTier().start()
    other.rows = ["b"]
    try:
        bridge = await start_bridge(upstream=f"{tier.address},{other.address}")
        tier.rows = ["a"]
        client = await ask(bridge)
        first = (await client.frames(2))[1]["agg_id"]
        await (tier if first == "a" else other).stop()
        frames = await client.frames(2)
        assert [f["op"] for f in frames] == ["leave", "enter"]
    finally:
        await other.stop()
