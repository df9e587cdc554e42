"""--max-stream-life: every stream ends in its time, is told so, and its client misses nothing."""

import asyncio
import json

import aiohttp
import pytest
from limit_clients import ODD

from bridge.web.open_streams import LIFE_SPREAD, OpenStreams
from clients import QUERY, SseClient
from ops_support import samples
from patience import patient
from scripted_tier import update
from virtual_loop import virtually

BOTH = pytest.mark.parametrize("headers", [{}, ODD], ids=["fast path", "aiohttp"])


@pytest.fixture
async def short(start_bridge, tier):
    tier.rows = ["a"]
    return await start_bridge(max_stream_life="300ms", linger="60s")


async def aged(http, bridge):
    return (await samples(http, bridge.url))['streams_ended_total{reason="aged"}']


@BOTH
async def test_v1_is_told_to_come_back_and_resumes_without_a_gap(short, http, tier, headers):
    async def connect(**resume):
        socket = await http.ws_connect(
            f"{short.base}/ws", protocols=["livequery.v1"], headers=headers
        )
        await socket.send_str(
            json.dumps({"action": "subscribe", "sub": "s", "query": QUERY, **resume})
        )
        return socket

    socket, told = await connect(), []
    while (message := await socket.receive(timeout=patient(5))).type is aiohttp.WSMsgType.TEXT:
        told.append(json.loads(message.data))
    assert socket.close_code == 1001
    assert told[-1]["type"] == "drain"
    assert 500 <= told[-1]["reconnect_after_ms"] <= 5000
    [position] = [message["pos"] for message in told if message["type"] == "frames"]
    [call] = tier.open.values()
    call.send(update("a", 0, version=2, stream_id="2-0"))
    socket = await connect(resume=position)
    [frames, ready] = [
        json.loads((await socket.receive(timeout=patient(5))).data) for _ in range(2)
    ]
    if ready["type"] == "frames":
        frames, ready = ready, frames
    assert ready["resumed"] == "replay"
    assert [frame["op"] for frame in frames["frames"]] == ["update"]
    await socket.close()
    assert await aged(http, short) >= 1


@BOTH
async def test_core_sockets_close_1001(short, http, headers):
    socket = await http.ws_connect(f"{short.base}/ws", headers=headers)
    await socket.send_str(json.dumps({"action": "subscribe", "query": QUERY}))
    while (await socket.receive(timeout=patient(5))).type is aiohttp.WSMsgType.TEXT:
        pass
    assert socket.close_code == 1001


@BOTH
async def test_event_streams_end_whole_and_v1_ones_say_drain(short, http, headers):
    for version in ("", "?v=1"):
        answer = await http.post(short.base + version, data=json.dumps(QUERY), headers=headers)
        client, events = SseClient(answer), []
        while (event := await client.event()) is not None:
            events.append(event["event"])
        assert ("drain" in events) is bool(version)
        assert answer.headers.get("Connection") != "close"


async def test_0_ends_none(start_bridge, tier, http):
    tier.rows = ["a"]
    bridge = await start_bridge(max_stream_life="0")
    client = SseClient(await http.post(bridge.base, data=json.dumps(QUERY)))
    await client.frames(2)
    assert len(bridge.context.open_streams) == 1
    assert not bridge.context.open_streams.lives()
    client.close()


async def test_lives_differ_by_a_tenth(start_bridge, tier, http):
    tier.rows = ["a"]
    bridge = await start_bridge()
    clients = [await http.post(bridge.base, data=json.dumps(QUERY)) for _ in range(50)]
    lives = bridge.context.open_streams.lives()
    assert len(set(lives)) == 50
    assert 3600 * (1 - LIFE_SPREAD) - patient(5) <= min(lives) < 3400
    assert 3800 < max(lives) <= 3600 * (1 + LIFE_SPREAD)
    for client in clients:
        client.close()


class Stream:
    """A stream that notes when it was told to end, and goes, if it is one that goes."""

    def __init__(self, streams, *, goes=True):
        self.streams, self.goes, self.told, self.opened = streams, goes, [], now()
        streams.add(self)

    def age(self):
        self.told.append(now() - self.opened)
        if self.goes:
            self.streams.discard(self)


def now():
    return asyncio.get_running_loop().time()


@virtually
async def test_each_stream_ends_in_its_time_by_one_timer():
    streams = OpenStreams(1000)
    made = []
    for _ in range(200):
        made.append(Stream(streams))
        await asyncio.sleep(3)
    stays, left = Stream(streams, goes=False), Stream(streams)
    streams.discard(left)
    await asyncio.sleep(1200)
    tick = 1000 / 500
    assert all(len(one.told) == 1 and 900 <= one.told[0] <= 1100 + tick for one in made)
    assert len({round(one.told[0]) for one in made}) > 20
    assert (list(streams), left.told) == ([stays], [])
    await asyncio.sleep(1200)
    assert len(stays.told) in {2, 3}, "told again, as long as it stays"
    streams.stop()


@virtually
async def test_a_stream_that_fails_at_its_end_keeps_no_other_open():
    streams = OpenStreams(100)
    bad, good = Stream(streams), Stream(streams)
    bad.age = lambda: 1 / 0
    await asyncio.sleep(130)
    assert good.told
    streams.stop()
