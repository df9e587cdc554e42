"""A port that is closed while somebody connects."""

import asyncio
import socket

from patience import patiently
from raw_client import HEALTH_REQUEST, RawClient, all_released


async def test_who_was_accepted_just_before_the_port_closed_is_served(start_bridge):
    bridge = await start_bridge()
    [listener] = bridge._listeners.all
    host, port = listener.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as sock:  # by the kernel, as yet
        await asyncio.sleep(0)  # asyncio sees it,
        await asyncio.sleep(0)  # and accepts it; in its next turn it makes the transport
        listener.stop_accepting()
        sock.setblocking(False)
        client = RawClient(*await asyncio.open_connection(sock=sock))
        client.send(HEALTH_REQUEST)
        async with patiently(5):
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        client.writer.close()
    await all_released(bridge)
