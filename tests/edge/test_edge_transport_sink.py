"""The sink, on a real connection of asyncio's own loop."""

import asyncio

from bridge.web.transport_sink import TransportSink
from patience import patiently


async def test_held_bytes_released_alone_leave_a_transport_that_can_close():
    async def serve(_, writer):
        sink = TransportSink(writer.transport, None)
        sink.hold(b"held")
        sink.release()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with patiently(10):
            assert await reader.read() == b"held"
        writer.close()
        await writer.wait_closed()
