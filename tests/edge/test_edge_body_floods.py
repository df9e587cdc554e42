"""Bodies that are sent to cost: tiny chunks, and bodies that are answered before they have come."""

import asyncio
import gc
import socket
import struct

from aiohttp.http_exceptions import HttpProcessingError

from patience import patiently
from raw_client import BOTH_WAYS, STREAM_REQUEST, exchange

HEAD = b"POST /api/v1/live HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
TINY = b"1\r\nx\r\n"


async def test_a_body_that_is_answered_before_it_has_come_ends_the_connection(start_bridge, wire):
    """A client that used it again would find it closed."""
    bridge = await start_bridge()
    client = await wire(bridge)
    client.send(HEAD + b"4000\r\n" + b"x" * 0x4000 + b"\r\n8000\r\nx")
    head = await client.head()
    assert head.startswith("HTTP/1.1 413 ")
    assert "Connection: close" in head


async def test_a_body_that_has_come_keeps_the_connection(start_bridge):
    bridge = await start_bridge()
    head, _ = await exchange(bridge, HEAD + TINY * 8 + b"0\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" not in head


async def test_of_an_error_among_tiny_chunks_one_is_kept_not_one_for_each_chunk(start_bridge, wire):
    bridge = await start_bridge()
    gc.collect()
    before = _errors()
    client = await wire(bridge)
    client.send((HEAD + TINY * 10_000) * 20)
    assert (await client.head()).startswith("HTTP/1.1 4")
    await asyncio.sleep(0.2)
    assert _errors() - before <= 3
    client.writer.transport.abort()


def _errors():
    return sum(isinstance(thing, HttpProcessingError) for thing in gc.get_objects())


@BOTH_WAYS
async def test_a_client_that_leaves_while_it_is_not_read_is_let_go_at_the_next_heartbeat(
    start_bridge, tier, wire, cut
):
    """It has sent so much behind its request that reading is paused; a reset is not seen then."""
    bridge = await start_bridge(heartbeat_interval="500ms")
    client = await wire(bridge)
    client.send(STREAM_REQUEST[:cut])
    await asyncio.sleep(0.02)
    client.send(STREAM_REQUEST[cut:])
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    await client.until(b'"agg_id":"a"')
    client.send(b"x" * 4_000_000)
    await asyncio.sleep(0.2)
    sock = client.writer.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()
    async with patiently(5):
        while bridge._admission.open or bridge._listeners.connections:
            await asyncio.sleep(0.01)
