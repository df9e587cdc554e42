"""v1 over WebSocket and SSE, on real sockets before a real gRPC server (docs/wire.md §5)."""

import asyncio
import contextlib
import json
import re
import zlib

import aiohttp
import grpc
import pytest

from clients import QUERY, SseClient
from core_oracles import IdClient, SpliceClient
from livequery.v1 import livequery_pb2 as pb
from patience import patient, patiently
from scripted_tier import Refusal, enter, leave, update

ANY = {"entity": "flights", "limit": 3}


def digest(rows):
    crc = 0
    for agg_id, version in rows:
        crc = zlib.crc32(f"{agg_id}\n{version}\n".encode(), crc)
    return f"{crc:08x}"


class V1:
    """A v1 client: keeps a window per subscription, both ways, and checks every digest."""

    def __init__(self, ws) -> None:
        self.ws = ws
        self.windows = {}
        self.pos = {}
        self.messages = []

    async def say(self, **command):
        await self.ws.send_str(json.dumps(command))

    async def subscribe(self, sub, query=ANY, **more):
        await self.say(action="subscribe", sub=sub, query=query, **more)

    def window(self, sub):
        return self.windows.setdefault(sub, (IdClient(), SpliceClient()))

    async def receive(self, within=5):
        message = await self.ws.receive(timeout=within)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        told = json.loads(message.data)
        if told["type"] == "frames":
            for frame in told["frames"]:
                for client in self.window(told["sub"]):
                    client.apply(frame)
            self.pos[told["sub"]] = told["pos"]
        if "digest" in told:
            by_id, by_index = self.window(told["sub"])
            assert by_id.rows == by_index.rows
            assert told["digest"] == digest(by_id.rows)
        self.messages.append(told)
        return told

    async def until(self, kind, sub=None):
        while True:
            told = await self.receive()
            if told["type"] == kind and (sub is None or told.get("sub") == sub):
                return told

    def ids(self, sub):
        return self.window(sub)[0].ids


@pytest.fixture
async def connect(http):
    sockets = []

    async def connect(bridge, **more):
        ws = await http.ws_connect(
            bridge.base + "/ws", protocols=("livequery.v1",), autoclose=False, **more
        )
        assert ws.protocol == "livequery.v1"
        sockets.append(ws)
        return V1(ws)

    yield connect
    for ws in sockets:
        await ws.close()


async def opened(client, tier, sub, *ids, query=ANY):
    await client.subscribe(sub, query)
    call = await tier.next_call()
    call.start()
    call.snapshot(*ids)
    await client.until("ready", sub)
    return call


async def test_a_subscription_is_frames_then_ready_then_groups(start_bridge, tier, connect):
    bridge = await start_bridge()
    client = await connect(bridge)
    call = await opened(client, tier, "s", "a", "b")
    assert [m["type"] for m in client.messages] == ["frames", "ready"]
    frames, ready = client.messages
    assert [f["op"] for f in frames["frames"]] == ["reset", "enter", "enter"]
    assert ready == {
        "type": "ready",
        "sub": "s",
        "rows": 2,
        "resumed": "snapshot",
        "digest": digest([("a", 1), ("b", 1)]),
    }
    call.send(enter("z", 0, stream_id="1-0"))
    call.send(leave("z", 0, stream_id="2-0"), update("a", 0, stream_id="2-0"))
    while client.ids("s") != ["a", "b"] or len(client.messages) < 3:
        told = await client.receive()
        assert told["type"] == "frames"
    assert client.window("s")[0].rows == [("a", 2), ("b", 1)]


async def test_many_subscriptions_share_a_socket_and_never_mix(start_bridge, tier, connect):
    bridge = await start_bridge()
    client = await connect(bridge)
    calls = {}
    for n in range(10):
        query = {"entity": f"e{n}", "limit": 3}
        calls[n] = await opened(client, tier, f"s{n}", f"r{n}", query=query)
    for n, call in calls.items():
        call.send(enter(f"q{n}", 0, stream_id="1-0"))
    for n in range(10):
        while client.ids(f"s{n}") != [f"q{n}", f"r{n}"]:
            await client.receive()


async def test_64_subscriptions_over_10_queries_on_two_sockets_are_10_calls(
    start_bridge, tier, connect
):
    bridge = await start_bridge()
    tier.rows = ["a", "b", "c"]
    clients = [await connect(bridge) for _ in range(2)]
    for client in clients:
        for n in range(64):
            await client.subscribe(f"s{n}", {"entity": f"e{n % 10}", "limit": 3})
    for client in clients:
        for _ in range(64):
            await client.until("ready")
        await client.subscribe("one too many")
        told = await client.until("error")
        assert (told["status"], told["code"], told["sub"]) == (
            429,
            "RESOURCE_EXHAUSTED",
            "one too many",
        )
    assert tier.opened == 10


async def test_unsubscribe_is_answered_by_ended_and_frees_the_name(start_bridge, tier, connect):
    bridge = await start_bridge()
    client = await connect(bridge)
    await opened(client, tier, "s", "a")
    await client.say(action="unsubscribe", sub="s")
    assert await client.until("ended") == {"type": "ended", "sub": "s", "reason": "unsubscribed"}
    tier.rows = ["b"]
    await client.subscribe("s")
    await client.until("ready", "s")


@pytest.mark.parametrize(
    ("command", "status", "field"),
    [
        ({"action": "dance", "sub": "s"}, 501, "action"),
        ({"sub": "s"}, 400, "action"),
        ({"action": "unsubscribe", "sub": "nobody"}, 404, "sub"),
        ({"action": "reanchor", "sub": "nobody"}, 404, "sub"),
        ({"action": "subscribe", "sub": "s", "query": ANY}, 409, "sub"),
        ({"action": "subscribe", "sub": "", "query": ANY}, 400, "sub"),
        ({"action": "subscribe", "sub": "x" * 65, "query": ANY}, 400, "sub"),
        ({"action": "subscribe", "query": ANY}, 400, "sub"),
        ({"action": "subscribe", "sub": "n"}, 400, "query"),
        ({"action": "subscribe", "sub": "n", "query": {"entity": "a"}}, 400, "limit"),
        ({"action": "subscribe", "sub": "n", "query": {**ANY, "x": "y" * 17_000}}, 413, "query"),
        ({"action": "subscribe", "sub": "n", "query": ANY, "resume": 5}, 400, "resume"),
        ({"action": "subscribe", "sub": "n", "query": ANY, "known": "a"}, 400, "known"),
        ({"action": "subscribe", "sub": "n", "query": ANY, "known": [5]}, 400, "known[0]"),
        ({"action": "reanchor", "sub": "s", "limit": -1}, 400, "limit"),
        ({"action": "reanchor", "sub": "s", "cursor": {"values": [1, 2]}}, 400, "cursor.values"),
        ({"action": "authenticate"}, 400, "token"),
    ],
)
async def test_a_bad_command_is_an_error_and_the_rest_goes_on(
    start_bridge, tier, connect, command, status, field
):
    bridge = await start_bridge()
    client = await connect(bridge)
    call = await opened(client, tier, "s", "a")
    await client.say(**command)
    told = await client.until("error")
    assert (told["status"], told["field"]) == (status, field)
    if 0 < len(command.get("sub", "")) <= 64:
        assert told["sub"] == command["sub"]
    assert told["retryable"] is False
    await client.say(action="ping")
    assert await client.until("pong") == {"type": "pong"}
    call.send(update("a", 0, stream_id="1-0"))
    assert (await client.receive())["type"] == "frames"


@pytest.mark.parametrize("text", ["x", "", "{", '{"a":1} {}', '"\\ud800"'])
async def test_text_that_is_no_json_closes_4500(start_bridge, connect, text):
    bridge = await start_bridge()
    client = await connect(bridge)
    await client.ws.send_str(text)
    message = await client.ws.receive(timeout=patient(5))
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4500)


async def test_an_array_is_an_error_only(start_bridge, connect):
    bridge = await start_bridge()
    client = await connect(bridge)
    await client.ws.send_str("[]")
    assert (await client.until("error"))["status"] == 400


async def test_a_refusal_of_the_tier_is_an_error_with_field_and_no_ended(
    start_bridge, tier, connect
):
    bridge = await start_bridge()
    client = await connect(bridge)
    await client.subscribe("s")
    (await tier.next_call()).fail(
        grpc.StatusCode.INVALID_ARGUMENT, "secret", field="where[0].column", reason="UNKNOWN_COLUMN"
    )
    told = await client.until("error")
    assert told["sub"] == "s"
    assert told["field"] == "where[0].column"
    assert "secret" not in json.dumps(told)
    tier.rows = ["a"]
    await client.subscribe("s")
    await client.until("ready", "s")
    assert not [m for m in client.messages if m["type"] == "ended"]


async def test_the_tiers_ok_is_ended_completed(start_bridge, tier, connect):
    bridge = await start_bridge()
    client = await connect(bridge)
    call = await opened(client, tier, "s", "a")
    call.end()
    assert (await client.until("ended"))["reason"] == "completed"


async def test_a_refusal_mid_stream_is_ended_denied(start_bridge, tier, connect):
    bridge = await start_bridge()
    client = await connect(bridge)
    call = await opened(client, tier, "s", "a")
    call.fail(grpc.StatusCode.PERMISSION_DENIED)
    assert (await client.until("ended"))["reason"] == "denied"


async def test_losing_the_tier_is_stale_then_the_diff_then_live(start_bridge, tier, connect):
    bridge = await start_bridge()
    client = await connect(bridge)
    call = await opened(client, tier, "s", "a", "b", "c")
    call.fail(grpc.StatusCode.UNAVAILABLE)
    assert (await client.receive())["type"] == "stale"
    again = await tier.next_call()
    late = await connect(bridge)
    await late.subscribe("s")
    assert [(await late.receive())["type"] for _ in range(3)] == ["frames", "ready", "stale"]
    again.start()
    again.snapshot("b", "c", "d")
    told = await client.receive()
    assert [(f["op"], f["agg_id"]) for f in told["frames"]] == [("leave", "a"), ("enter", "d")]
    assert (await client.receive())["type"] == "live"
    await late.until("live")
    assert late.ids("s") == client.ids("s") == ["b", "c", "d"]


async def test_a_tier_lost_for_too_long_is_ended_unavailable(start_bridge, tier, connect):
    bridge = await start_bridge(max_staleness="300ms")
    client = await connect(bridge)
    call = await opened(client, tier, "s", "a")
    await tier.stop()
    del call
    assert (await client.until("ended"))["reason"] == "unavailable"


# ------------------------------------------------------------------ reanchor


async def test_a_reanchor_is_the_diff_then_ready(start_bridge, tier, connect):
    bridge = await start_bridge()

    def answer(call, request):
        call.snapshot(
            *("b", "c", "d"), reason=pb.RESET_REASON_REANCHOR, request_id=request.request_id
        )

    tier.reanchored = answer
    client = await connect(bridge)
    await opened(client, tier, "s", "a", "b", "c")
    await client.say(action="reanchor", sub="s", cursor={"values": ["a"]})
    told = await client.receive()
    assert [(f["op"], f["agg_id"]) for f in told["frames"]] == [("leave", "a"), ("enter", "d")]
    ready = await client.receive()
    assert (ready["type"], ready["resumed"]) == ("ready", "diff")
    assert len(tier.reanchors) == 1


async def test_a_reanchor_of_one_never_shows_on_another(start_bridge, tier, connect):
    bridge = await start_bridge()
    mover, stayer = await connect(bridge), await connect(bridge)
    call = await opened(mover, tier, "s", "a", "b")
    await stayer.subscribe("t")
    await stayer.until("ready")
    await mover.say(action="reanchor", sub="s", cursor={"values": ["a"]})
    other = await tier.next_call()
    other.start()
    other.snapshot("b", "c")
    await mover.until("ready")
    assert mover.ids("s") == ["b", "c"]
    call.send(update("a", 0, stream_id="1-0"))
    told = await stayer.receive()
    assert [f["agg_id"] for f in told["frames"]] == ["a"]
    assert not tier.reanchors


async def test_a_refused_reanchor_leaves_the_window_and_sends_an_error(start_bridge, tier, connect):
    bridge = await start_bridge()
    tier.reanchored = lambda *_: Refusal(grpc.StatusCode.INVALID_ARGUMENT, field="cursor.values")
    client = await connect(bridge)
    call = await opened(client, tier, "s", "a", "b")
    await client.say(action="reanchor", sub="s", cursor={"values": ["a"]})
    told = await client.receive()
    assert (told["type"], told["sub"], told["field"]) == ("error", "s", "cursor.values")
    call.send(update("a", 0, stream_id="1-0"))
    assert (await client.receive())["type"] == "frames"
    assert client.ids("s") == ["a", "b"]


async def test_a_reanchor_to_where_it_is_is_ready_at_once(start_bridge, tier, connect):
    bridge = await start_bridge()
    client = await connect(bridge)
    await opened(client, tier, "s", "a", "b")
    await client.say(action="reanchor", sub="s", cursor=None)
    assert (await client.receive())["type"] == "ready"


# ------------------------------------------------------------------ resume


async def test_a_known_position_is_replayed_from_exactly_there(start_bridge, tier, connect):
    bridge = await start_bridge()
    client, other = await connect(bridge), await connect(bridge)
    call = await opened(client, tier, "s", "a", "b")
    await other.subscribe("o")
    await other.until("ready")
    await client.ws.close()
    call.send(enter("z", 0, stream_id="1-0"))
    await other.receive()
    call.send(leave("b", 2, stream_id="2-0"))
    await other.receive()
    back = await connect(bridge)
    back.windows["s"] = client.windows["s"]
    await back.subscribe("s", resume=client.pos["s"])
    ready = await back.until("ready")
    assert ready["resumed"] == "replay"
    assert [f["op"] for f in back.messages[0]["frames"]] == ["enter", "leave"]
    assert back.ids("s") == ["z", "a"]


async def test_a_position_does_not_outlive_a_failover(start_bridge, tier, connect):
    bridge = await start_bridge()
    client, other = await connect(bridge), await connect(bridge)
    call = await opened(client, tier, "s", "a")
    await other.subscribe("o")
    await other.until("ready")
    call.fail()
    again = await tier.next_call()
    again.start()
    again.snapshot("a", "b")
    await other.until("live")
    back = await connect(bridge)
    await back.subscribe("s", resume=client.pos["s"])
    assert (await back.until("ready"))["resumed"] == "snapshot"


@pytest.mark.parametrize("resume", ["", "x", "abc.5", "99999999999999999999.1", "é.1"])
async def test_a_position_that_does_not_fit_is_passed_over(start_bridge, tier, connect, resume):
    bridge = await start_bridge()
    tier.rows = ["a"]
    client = await connect(bridge)
    await client.subscribe("s", resume=resume)
    assert (await client.until("ready"))["resumed"] == "snapshot"


@pytest.mark.parametrize("as_object", [False, True])
async def test_a_second_bridge_sends_only_what_a_known_window_lacks(
    start_bridge, tier, connect, as_object
):
    first, second = await start_bridge(), await start_bridge()
    tier.rows = ["a", "b", "c"]
    client = await connect(first)
    await client.subscribe("s")
    await client.until("ready")
    tier.rows = ["b", "c", "d"]
    known = [[agg_id, version] for agg_id, version in client.windows["s"][0].rows]
    back = await connect(second)
    back.windows["s"] = client.windows["s"]
    await back.subscribe("s", resume=client.pos["s"], known=dict(known) if as_object else known)
    ready = await back.until("ready")
    assert ready["resumed"] == "diff"
    assert [(f["op"], f["agg_id"]) for f in back.messages[0]["frames"]] == [
        ("leave", "a"),
        ("enter", "d"),
    ]


async def test_a_known_version_of_0_or_beyond_javascript_counts_as_changed(
    start_bridge, tier, connect
):
    bridge = await start_bridge()
    tier.rows = ["a", "b", "c"]
    client = await connect(bridge)
    for rows in (IdClient(), SpliceClient()):
        rows.rows = [("a", 0), ("b", 0), ("c", 1)]
        client.windows.setdefault("s", ())
        client.windows["s"] += (rows,)
    await client.subscribe("s", known=[["a", 0], ["b", 2**60], ["c", 1]])
    await client.until("ready")
    assert [(f["op"], f["agg_id"]) for f in client.messages[0]["frames"]] == [
        ("update", "a"),
        ("update", "b"),
    ]


async def test_core_eventsource_is_replayed_from_its_last_group_on(start_bridge, tier, http):
    bridge = await start_bridge()

    async def ask(**more):
        return SseClient(await http.post(bridge.base, data=json.dumps(QUERY), **more))

    asking = asyncio.create_task(ask())
    call = await tier.next_call()
    call.start()
    call.snapshot("a", "b", "c")
    client = await asking
    await client.frames(4)
    call.send(enter("z", 0, stream_id="5-0"), leave("c", 3, stream_id="5-0"))
    call.send(update("a", 1, stream_id="6-0"))
    await client.frames(3)
    back = await ask(headers={"Last-Event-ID": "5-0"})
    assert [f["stream_id"] for f in await back.frames(3)] == ["5-0", "5-0", "6-0"]
    by_parameter = await http.post(
        bridge.base, params={"last_event_id": "6-0"}, data=json.dumps(QUERY)
    )
    assert (await SseClient(by_parameter).frame())["stream_id"] == "6-0"
    fresh = await http.post(
        bridge.base,
        params={"last_event_id": ""},
        data=json.dumps(QUERY),
        headers={"Last-Event-ID": "6-0"},
    )
    assert (await SseClient(fresh).frame())["op"] == "reset"
    unknown = await ask(headers={"Last-Event-ID": "4-0"})
    assert (await unknown.frame())["op"] == "reset"
    for stream in (client, back, unknown):
        stream.close()
    by_parameter.close()
    fresh.close()


# ------------------------------------------------------------------ the rest


async def test_authenticate_forwards_its_token(start_bridge, tier, connect):
    bridge = await start_bridge()
    client = await connect(bridge)
    await client.say(action="authenticate", token="t1")
    assert (await client.receive())["type"] == "authenticated"
    await client.subscribe("s")
    call = await tier.next_call()
    assert call.metadata["authorization"] == "Bearer t1"
    call.start()
    await client.say(action="authenticate", token="t1")
    await client.until("authenticated")
    await client.say(action="authenticate", token="someone else")
    message = await client.ws.receive(timeout=patient(5))
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4001)


async def test_a_token_outside_the_scope_is_refreshed_in_place(start_bridge, tier, connect):
    bridge = await start_bridge(forward_metadata="authorization,x-tenant", scope="x-tenant")
    client = await connect(bridge, headers={"X-Tenant": "acme"})
    await client.say(action="authenticate", token="t1")
    call = await opened(client, tier, "s", "a")
    assert call.metadata["authorization"] == "Bearer t1"
    await client.say(action="authenticate", token="t2")
    await client.until("authenticated")
    call.fail(grpc.StatusCode.UNAVAILABLE)
    again = await tier.next_call()
    assert again.metadata["authorization"] == "Bearer t2"
    again.start()
    again.snapshot("a")
    await client.until("live")


async def test_beats_carry_the_digest_of_every_window(start_bridge, tier, connect):
    bridge = await start_bridge(ping_interval="150ms")
    client = await connect(bridge)
    await opened(client, tier, "s", "a", "b")
    beat = await client.until("beat")
    assert beat == {"type": "beat", "subs": {"s": digest([("a", 1), ("b", 1)])}}


async def test_streamed_has_no_digest_and_passes_matches_through(start_bridge, tier, connect):
    bridge = await start_bridge()
    client = await connect(bridge)
    await client.subscribe("s", {"entity": "e", "limit": 2, "mode": 1})
    call = await tier.next_call()
    assert call.request.query.mode == pb.MODE_STREAMED
    call.start()
    call.snapshot("a")
    ready = await client.until("ready")
    assert "digest" not in ready
    call.send(pb.LiveDelta(op=pb.DELTA_OP_MATCH, agg_id="b", version=1, row=b"{}", stream_id="1-0"))
    call.send(pb.LiveDelta(op=pb.DELTA_OP_UNMATCH, agg_id="never seen", stream_id="2-0"))
    ops = []
    while len(ops) < 2:
        ops += [(f["op"], f["agg_id"]) for f in (await client.receive())["frames"]]
    assert ops == [("match", "b"), ("unmatch", "never seen")]


async def test_a_drain_is_announced_then_the_socket_closes_1001(start_bridge, tier, connect):
    bridge = await start_bridge()
    client = await connect(bridge)
    await opened(client, tier, "s", "a")
    draining = asyncio.create_task(bridge.drain())
    told = await client.until("drain")
    assert told["reconnect_after_ms"] > 0
    message = await client.ws.receive(timeout=patient(5))
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
    await client.ws.close()
    async with patiently(2):
        await draining


async def test_v1_over_sse_has_positions_as_ids_and_events_of_their_own(start_bridge, tier, http):
    bridge = await start_bridge()
    url = bridge.base + "?v=1"
    asking = asyncio.create_task(http.post(url, data=json.dumps(QUERY)))
    call = await tier.next_call()
    call.start()
    call.snapshot("a", "b")
    client = SseClient(await asking)
    events = [await client.event() for _ in range(4)]
    assert [e["event"] for e in events] == ["reset", "enter", "enter", "ready"]
    assert [bool(e["id"]) for e in events] == [False, False, True, False]
    assert [bool(e["retry"]) for e in events] == [True, False, False, False]
    ready = json.loads(events[3]["data"])
    assert ready["resumed"] == "snapshot"
    assert "sub" not in ready
    call.send(enter("z", 0, stream_id="1-0"), leave("b", 2, stream_id="1-0"))
    group = [await client.event() for _ in range(2)]
    assert [bool(e["id"]) for e in group] == [False, True]
    assert re.fullmatch(r"[0-9a-f]+\.\d+", group[1]["id"])
    back = SseClient(
        await http.post(url, data=json.dumps(QUERY), headers={"Last-Event-ID": events[2]["id"]})
    )
    again = [await back.event() for _ in range(3)]
    assert [e["event"] for e in again] == ["enter", "leave", "ready"]
    assert [bool(e["retry"]) for e in again] == [True, False, False]
    assert json.loads(again[2]["data"])["resumed"] == "replay"
    call.fail(grpc.StatusCode.UNAVAILABLE)
    assert (await client.event())["event"] == "stale"
    again = await tier.next_call()
    again.start()
    again.snapshot("z", "a")
    assert (await client.event())["event"] == "live"
    again.fail(grpc.StatusCode.NOT_FOUND)
    problem, ended = await client.event(), await client.event()
    assert problem["event"] == "problem"
    assert json.loads(ended["data"]) == {"type": "ended", "reason": "failed"}
    assert await client.event() is None
    back.close()


async def test_a_client_that_floods_commands_is_slowed_and_the_others_are_not(
    start_bridge, connect
):
    bridge = await start_bridge()
    flooding, calm = await connect(bridge), await connect(bridge)
    for _ in range(400):
        await flooding.say(action="ping")
    for _ in range(150):
        await flooding.until("pong")
    await calm.say(action="ping")
    await calm.until("pong")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while await flooding.until("pong"):
                pass
    assert 150 <= len(flooding.messages) < 200, "the rest comes ten a second"
