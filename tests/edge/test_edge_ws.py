"""Core over WebSocket, on real sockets before a real gRPC server (docs/wire.md §4)."""

import json

import aiohttp
import grpc
import pytest

from clients import QUERY
from livequery.v1 import livequery_pb2 as pb
from patience import patient, patiently
from scripted_tier import Refusal, enter, leave, reset, update

SUBSCRIBE = json.dumps({"action": "subscribe", "query": QUERY})


class Socket:
    """A client that reads frames and, in the end, the close code and reason."""

    def __init__(self, ws) -> None:
        self.ws = ws

    async def say(self, **command):
        await self.ws.send_str(json.dumps(command))

    async def frames(self, count):
        frames = []
        for _ in range(count):
            message = await self.ws.receive(timeout=patient(5))
            assert message.type is aiohttp.WSMsgType.TEXT, message
            frames.append(json.loads(message.data))
        return frames

    async def closed(self, within=5):
        """Read until the close frame; returns (code, reason)."""
        while True:
            message = await self.ws.receive(timeout=within)
            if message.type is aiohttp.WSMsgType.CLOSE:
                await self.ws.close()
                return message.data, message.extra or ""
            assert message.type is aiohttp.WSMsgType.TEXT, message


@pytest.fixture
async def connect(http):
    sockets = []

    async def connect(bridge, first=SUBSCRIBE, **more):
        ws = await http.ws_connect(bridge.base + "/ws", autoclose=False, max_msg_size=0, **more)
        sockets.append(ws)
        if first is not None:
            await ws.send_str(first)
        return Socket(ws)

    yield connect
    for ws in sockets:
        await ws.close()


async def test_first_message_subscribes_and_each_frame_is_one_text_message(
    start_bridge, tier, connect
):
    bridge = await start_bridge()
    socket = await connect(bridge)
    call = await tier.next_call()
    call.start()
    call.snapshot("a", "b")
    assert [f["op"] for f in await socket.frames(3)] == ["reset", "enter", "enter"]
    call.send(enter("z", 0, stream_id="1-0"), leave("b", 2, stream_id="1-0"))
    assert [f["op"] for f in await socket.frames(2)] == ["enter", "leave"]


async def test_both_transports_see_the_same_frames(start_bridge, tier, connect, http):
    bridge = await start_bridge()
    tier.rows = ["a", "b"]
    socket = await connect(bridge)
    messages = [(await socket.ws.receive(timeout=patient(5))).data for _ in range(3)]
    response = await http.post(bridge.base, data=json.dumps(QUERY))
    lines = []
    while len(lines) < 3:
        line = await response.content.readline()
        if line.startswith(b"data: "):
            lines.append(line.decode().removeprefix("data: ").rstrip("\n"))
    assert lines == messages
    response.close()


async def test_a_frame_of_any_size_is_one_message(start_bridge, tier, connect):
    bridge = await start_bridge()
    socket = await connect(bridge)
    call = await tier.next_call()
    call.start()
    sizes = [0, 10, 100, 126, 1000, 65_000, 66_000, 300_000]
    rows = [b'"' + b"x" * size + b'"' for size in sizes]
    call.send(
        reset(), *(enter(f"r{i}", i, row=row) for i, row in enumerate(rows[:3])), complete=True
    )
    for frame, size in zip((await socket.frames(4))[1:], sizes, strict=False):
        assert len(frame["row"]) == size
    for row in rows[3:]:
        call.send(update("r0", 0, row=row, version=2, stream_id="1-0"))
        [frame] = await socket.frames(1)
        assert frame["row"] == json.loads(row)


async def test_unsubscribe_closes_1000_and_releases_the_call(start_bridge, tier, connect):
    bridge = await start_bridge()
    socket = await connect(bridge)
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    await socket.frames(2)
    await socket.say(action="unsubscribe")
    assert (await socket.closed())[0] == 1000
    async with patiently(3):
        await call.over.wait()


async def test_an_aborted_connection_releases_the_call(start_bridge, tier, connect):
    bridge = await start_bridge()
    socket = await connect(bridge)
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    await socket.frames(2)
    socket.ws._response.connection.transport.abort()
    async with patiently(3):
        await call.over.wait()


async def test_the_tiers_ok_closes_1000(start_bridge, tier, connect):
    bridge = await start_bridge()
    socket = await connect(bridge)
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    call.end()
    assert (await socket.closed())[0] == 1000


@pytest.mark.parametrize(
    "first",
    [
        '{"action":"reanchor","cursor":null}',
        '{"action":"unsubscribe"}',
        '{"action":"Subscribe","query":{"entity":"a","limit":1}}',
        '{"action":"subscribe"}',
        '{"action":"subscribe","query":null}',
        '{"action":"subscribe","query":"x"}',
        '{"action":"subscribe","query":{"entity":"a","limit":0}}',
        '{"action":"subscribe","query":{"entity":"a","limit":1000000000}}',
        '{"action":"subscribe","query":{"entity":"a","limit":1,"where":[{"column":"c","op":"=="}]}}',
        "{}",
        "[]",
        "x",
        "",
        "\x00",
        '{"action":1}',
    ],
)
async def test_anything_but_a_good_subscribe_first_closes_4500_with_the_field(
    start_bridge, connect, first
):
    bridge = await start_bridge()
    code, reason = await (await connect(bridge, first)).closed()
    assert code == 4500
    assert ":" in reason


async def test_a_binary_first_message_closes_4500(start_bridge, connect):
    bridge = await start_bridge()
    socket = await connect(bridge, None)
    await socket.ws.send_bytes(SUBSCRIBE.encode())
    assert (await socket.closed())[0] == 4500


async def test_a_message_beyond_64_kib_closes_1009(start_bridge, connect):
    bridge = await start_bridge()
    socket = await connect(bridge, "x" * 70_000)
    assert (await socket.closed())[0] == 1009


async def test_no_first_message_closes_4005(start_bridge, connect):
    bridge = await start_bridge()
    socket = await connect(bridge, None)
    code, _ = await socket.closed(within=8)
    assert code == 4005


async def test_unknown_actions_and_a_second_subscribe_are_ignored(start_bridge, tier, connect):
    bridge = await start_bridge()
    tier.rows = ["a"]
    socket = await connect(bridge)
    await socket.frames(2)
    await socket.say(action="dance")
    await socket.say(action="subscribe", query={**QUERY, "limit": 1})
    await socket.say(action="reanchor", cursor=None)
    assert [f["op"] for f in await socket.frames(2)] == ["reset", "enter"]


@pytest.mark.parametrize("later", ["x", "[]", '{"action":"reanchor","limit":-1}', '{"limit":"1"}'])
async def test_a_later_message_that_is_no_command_closes_4500(start_bridge, tier, connect, later):
    bridge = await start_bridge()
    tier.rows = ["a"]
    socket = await connect(bridge)
    await socket.frames(2)
    await socket.ws.send_str(later)
    assert (await socket.closed())[0] == 4500


async def test_no_pong_closes_4002(start_bridge, tier, http):
    bridge = await start_bridge(ping_interval="200ms")
    tier.rows = ["a"]
    ws = await http.ws_connect(bridge.base + "/ws", autoclose=False, autoping=False)
    await ws.send_str(SUBSCRIBE)
    kinds = []
    while (message := await ws.receive(timeout=patient(5))).type is not aiohttp.WSMsgType.CLOSE:
        kinds.append(message.type)
    assert aiohttp.WSMsgType.PING in kinds
    assert message.data == 4002
    await ws.close()


async def test_pongs_keep_a_socket_open(start_bridge, tier, connect):
    bridge = await start_bridge(ping_interval=f"{patient(100):.0f}ms")
    tier.rows = ["a"]
    socket = await connect(bridge, autoping=False)
    await socket.frames(2)
    for _ in range(6):
        message = await socket.ws.receive(timeout=patient(5))
        assert message.type is aiohttp.WSMsgType.PING
        await socket.ws.pong(message.data)
    await socket.say(action="unsubscribe")
    assert (await socket.closed())[0] == 1000


async def test_a_clients_ping_is_answered(start_bridge, tier, connect):
    bridge = await start_bridge()
    socket = await connect(bridge, None, autoping=False)
    await socket.ws.ping(b"hello")
    message = await socket.ws.receive(timeout=patient(5))
    assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"hello")


# ------------------------------------------------------------------ reanchor


def moves_to(*ids):
    """A tier that answers every Reanchor with these rows on the stream."""

    def answer(call, request):
        call.snapshot(*ids, reason=pb.RESET_REASON_REANCHOR, request_id=request.request_id)
        return pb.ReanchorResponse(epoch=call.epoch)

    return answer


async def test_a_sole_viewers_reanchor_is_the_tiers_own_and_shows_as_reset_and_enters(
    start_bridge, tier, connect
):
    bridge = await start_bridge()
    tier.reanchored = moves_to("d", "e")
    socket = await connect(bridge)
    call = await tier.next_call()
    call.start(route=b"r1")
    call.snapshot("a", "b")
    await socket.frames(3)
    await socket.say(action="reanchor", cursor={"values": ["2013", "c"]}, limit=2)
    frames = await socket.frames(3)
    assert [(f["op"], f.get("agg_id")) for f in frames] == [
        ("reset", None),
        ("enter", "d"),
        ("enter", "e"),
    ]
    [request] = tier.reanchors
    assert request.subscription_id == call.id
    assert request.route == b"r1"
    assert [v.string_value for v in request.cursor.values] == ["2013", "c"]
    assert request.limit == 2
    assert request.query.limit == 3
    assert tier.opened == 1
    call.send(update("e", 1, stream_id="9-0"))
    assert (await socket.frames(1))[0]["agg_id"] == "e"


async def test_the_next_reanchor_names_the_query_now_in_force(start_bridge, tier, connect):
    bridge = await start_bridge()
    tier.reanchored = moves_to("d")
    socket = await connect(bridge)
    call = await tier.next_call()
    call.start()
    call.snapshot("a", "b")
    await socket.frames(3)
    for cursor in (["1", "c"], ["2", "d"]):
        await socket.say(action="reanchor", cursor={"values": cursor})
        assert [f["op"] for f in await socket.frames(2)] == ["reset", "enter"]
    assert [v.string_value for v in tier.reanchors[1].query.cursor.values] == ["1", "c"]


async def test_a_tier_without_reanchor_is_subscribed_anew_at_the_new_anchor(
    start_bridge, tier, connect
):
    bridge = await start_bridge()
    socket = await connect(bridge)
    call = await tier.next_call()
    call.start()
    call.snapshot("a", "b")
    await socket.frames(3)
    await socket.say(action="reanchor", cursor={"values": ["2013", "c"]})
    again = await tier.next_call()
    assert [v.string_value for v in again.request.query.cursor.values] == ["2013", "c"]
    assert not call.over.is_set(), "the old window is kept until the new one is whole"
    again.start()
    again.snapshot("d")
    assert [f.get("agg_id") for f in await socket.frames(2)] == [None, "d"]
    async with patiently(3):
        await call.over.wait()


async def test_a_shared_subscription_is_never_moved_under_the_others(start_bridge, tier, connect):
    bridge = await start_bridge()
    tier.reanchored = moves_to("never")
    mover = await connect(bridge)
    call = await tier.next_call()
    call.start()
    call.snapshot("a", "b")
    await mover.frames(3)
    stayer = await connect(bridge)
    await stayer.frames(3)
    await mover.say(action="reanchor", cursor={"values": ["2013", "c"]})
    other = await tier.next_call()
    other.start()
    other.snapshot("d")
    assert [f.get("agg_id") for f in await mover.frames(2)] == [None, "d"]
    assert not tier.reanchors
    call.send(update("a", 0, stream_id="1-0"))
    assert (await stayer.frames(1))[0]["agg_id"] == "a"


async def test_a_newer_reanchor_replaces_one_under_way(start_bridge, tier, connect):
    bridge = await start_bridge()
    socket = await connect(bridge)
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    await socket.frames(2)
    await socket.say(action="reanchor", cursor={"values": ["1", "x"]})
    abandoned = await tier.next_call()
    await socket.say(action="reanchor", cursor={"values": ["2", "y"]})
    wanted = await tier.next_call()
    wanted.start()
    wanted.snapshot("w")
    assert [f.get("agg_id") for f in await socket.frames(2)] == [None, "w"]
    async with patiently(3):
        await abandoned.over.wait()
        await call.over.wait()


@pytest.mark.parametrize(
    "command",
    [
        {"cursor": {"values": ["only one"]}},
        {"limit": 1001},
        {"cursor": {"values": [1, 2, 3]}},
    ],
)
async def test_a_reanchor_that_cannot_be_closes_4500_with_the_field(
    start_bridge, tier, connect, command
):
    bridge = await start_bridge()
    tier.rows = ["a"]
    socket = await connect(bridge)
    await socket.frames(2)
    await socket.say(action="reanchor", **command)
    code, reason = await socket.closed()
    assert code == 4500
    assert reason.startswith(next(iter(command)))


async def test_a_reanchor_the_tier_refuses_is_reported_by_its_close_code(
    start_bridge, tier, connect
):
    bridge = await start_bridge()
    tier.reanchored = lambda *_: Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "secret", field="cursor.values"
    )
    tier.rows = ["a"]
    socket = await connect(bridge)
    await socket.frames(2)
    await socket.say(action="reanchor", cursor={"values": [1, 2]})
    code, reason = await socket.closed()
    assert code == 4500
    assert reason.startswith("cursor.values: ")
    assert "secret" not in reason


async def test_a_call_lost_during_a_reanchor_is_opened_again_at_the_new_anchor(
    start_bridge, tier, connect
):
    bridge = await start_bridge()

    def agree_then_die(call, request):
        call.fail()
        return pb.ReanchorResponse(epoch=2)

    tier.reanchored = agree_then_die
    socket = await connect(bridge)
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    await socket.frames(2)
    await socket.say(action="reanchor", cursor={"values": ["2", "y"]})
    again = await tier.next_call()
    assert [v.string_value for v in again.request.query.cursor.values] == ["2", "y"]
    again.start()
    again.snapshot("w")
    assert [f.get("agg_id") for f in await socket.frames(2)] == [None, "w"]
