"""--max-stream-life: every stream ends in its time, is told so, and its client misses nothing."""

import json

import aiohttp
import pytest
from limit_clients import ODD

from bridge.web.stream_slot import LIFE_SPREAD
from clients import QUERY, SseClient
from ops_support import samples
from patience import patient
from scripted_tier import update

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
    assert not [timer for _, _, timer in bridge.context.idle_timers._due if timer._interval > 60]
    client.close()


async def test_lives_differ_by_a_tenth(start_bridge, tier, http):
    tier.rows = ["a"]
    bridge = await start_bridge()
    clients = [await http.post(bridge.base, data=json.dumps(QUERY)) for _ in range(50)]
    lives = [
        timer._interval for _, _, timer in bridge.context.idle_timers._due if timer._interval > 60
    ]
    assert len(set(lives)) == 50
    assert 3600 * (1 - LIFE_SPREAD) <= min(lives) < 3400
    assert 3800 < max(lives) <= 3600 * (1 + LIFE_SPREAD)
    for client in clients:
        client.close()
