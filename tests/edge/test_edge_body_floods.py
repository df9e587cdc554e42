"""Bodies that are sent to cost: tiny chunks, and bodies that are answered before they have come."""

import asyncio
import gc

from aiohttp.http_exceptions import HttpProcessingError

from raw_client import exchange

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
