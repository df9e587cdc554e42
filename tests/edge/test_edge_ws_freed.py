"""What a WebSocket held is freed when it is over, by reference counts alone."""

import asyncio
import json

import pytest

from bridge.core.errors import Failed
from bridge.live.stream_end import End, EndReason
from bridge.live.viewer import Viewer
from bridge.web.transport_sink import TransportSink
from bridge.web.ws.client_subscription import ClientSubscription
from bridge.web.ws.connection import WebSocketConnection
from bridge.web.ws.core_session import CoreSession
from bridge.web.ws.message_reader import MessageReader
from bridge.web.ws.v1_session import V1Session
from clients import QUERY
from patience import patiently
from raw_client import (
    CLOSE_FRAME,
    UPGRADE,
    all_freed,
    message,
    open_websocket,
    read_message,
    read_rest,
    subscribe_client,
    websockets_of,
)

V1_REQUEST = UPGRADE + b"Sec-WebSocket-Protocol: livequery.v1\r\n\r\n"
KINDS = (
    WebSocketConnection,
    MessageReader,
    CoreSession,
    V1Session,
    ClientSubscription,
    TransportSink,
    Viewer,
    Failed,
)


def command(action, **members):
    return message(json.dumps({"action": action, **members}).encode())


async def subscribe_v1(client, tier):
    assert "101 Switching" in await open_websocket(client, V1_REQUEST)
    client.send(command("subscribe", sub="a", query=QUERY))
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    await client.until(b'"ready"')
    return call


@pytest.mark.parametrize("end", ["left", "closed", "over", "wrong", "refused"])
async def test_what_a_socket_held_is_freed_without_the_garbage_collector(
    start_bridge, tier, wire, end
):
    bridge = await start_bridge(linger="0")
    async with all_freed(*KINDS):
        client = await wire(bridge)
        call = await subscribe_client(client, tier)
        if end == "over":
            call.end()
            await read_message(client)
        if end == "refused":
            client.send(message(b"nonsense"))
            await read_message(client)
        if end == "wrong":
            client.send(message(b"\xff"))
            await read_message(client)
        if end != "left":
            client.send(CLOSE_FRAME)
            await read_rest(client)
        client.writer.transport.abort()


@pytest.mark.parametrize("end", ["left", "closed", "over", "refused", "unsubscribed"])
async def test_what_a_v1_socket_held_is_freed_without_the_garbage_collector(
    start_bridge, tier, wire, end
):
    bridge = await start_bridge(linger="0")
    async with all_freed(*KINDS):
        client = await wire(bridge)
        call = await subscribe_v1(client, tier)
        if end == "over":
            call.end()
            await client.until(b'"ended"')
        if end == "unsubscribed":
            client.send(command("unsubscribe", sub="a"))
            await client.until(b'"ended"')
        if end == "refused":
            client.send(message(b"nonsense"))
            await read_rest(client)
        if end == "closed":
            client.send(CLOSE_FRAME)
            await read_rest(client)
        client.writer.transport.abort()


@pytest.mark.parametrize("v1", [False, True], ids=["core", "v1"])
async def test_a_session_whose_end_is_cancelled_again_and_again_releases_its_subscription(
    start_bridge, tier, wire, v1
):
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    await (subscribe_v1 if v1 else subscribe_client)(client, tier)
    for limit in (4, 5):
        client.send(command("reanchor", sub="a", cursor=None, limit=limit))
    (await tier.next_call()).start()
    [connection] = websockets_of(bridge)
    connection.end(End(EndReason.CLIENT_GONE))
    ending = connection._task
    for _ in range(3):
        await asyncio.sleep(0)
        ending.cancel()
    await asyncio.wait([ending])
    async with patiently(5):
        while bridge._hub.subscriptions:
            await asyncio.sleep(0.01)
    assert not bridge._hub._by_viewer


@pytest.mark.parametrize("v1", [False, True], ids=["core", "v1"])
async def test_a_window_that_was_about_to_move_is_freed_without_the_garbage_collector(
    start_bridge, tier, wire, v1
):
    bridge = await start_bridge(linger="0")
    async with all_freed(*KINDS):
        client = await wire(bridge)
        await (subscribe_v1 if v1 else subscribe_client)(client, tier)
        for limit in (4, 5):
            client.send(command("reanchor", sub="a", cursor=None, limit=limit))
        (await tier.next_call()).start()
        client.writer.transport.abort()
