"""Wires: connections byte for byte."""

import asyncio
import json
import re
from urllib.parse import quote

from clients import QUERY

ASK = f"GET /api/v1/live?query={quote(json.dumps(QUERY))} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Wire:
    """One connection, byte for byte."""

    def __init__(self, reader, writer) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data):
        self.writer.write(data)

    async def head(self):
        """The next status line and header, the changing fields named."""
        async with asyncio.timeout(5):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        return re.sub(r"(Date|X-Request-Id): .*", r"\1: …", text)

    async def until(self, text):
        async with asyncio.timeout(5):
            return await self.reader.readuntil(text)

    async def stream(self, tier):
        """Open a stream of one row; returns the tier's call."""
        self.send(ASK)
        call = await tier.next_call()
        call.start()
        call.snapshot("a")
        assert "200 OK" in await self.head()
        await self.until(b'"agg_id":"a"')
        return call

    async def body(self, head):
        size = int(re.search(r"Content-Length: (\d+)", head)[1])
        return await self.reader.readexactly(size)
