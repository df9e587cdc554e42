"""Clients of both transports that know nothing of the bridge's code."""

import json

from patience import patiently

QUERY = {"entity": "flights", "sort": [{"column": "est_dep"}], "limit": 3}


def parse_sse(buffer: bytes):
    """Split a byte buffer into (events, rest); an event is {event, data, id, retry, comments}."""
    *blocks, rest = buffer.split(b"\n\n")
    events = []
    for block in blocks:
        event = {"event": None, "data": [], "id": None, "retry": None, "comments": []}
        for line in block.split(b"\n"):
            name, _, text = line.decode().partition(":")
            text = text.removeprefix(" ")
            if not name:
                event["comments"].append(text)
            elif name == "data":
                event["data"].append(text)
            else:
                event[name] = text
        event["data"] = "\n".join(event["data"]) if event["data"] else None
        events.append(event)
    return events, rest


class SseClient:
    """Reads a streaming aiohttp response event by event."""

    def __init__(self, response) -> None:
        self.response = response
        self.events = []
        self._buffer = b""

    async def event(self, within=5.0):
        """The next block, whatever it is; None at the end of the stream."""
        async with patiently(within):
            while not self.events:
                data = await self.response.content.readany()
                if not data:
                    return None
                events, self._buffer = parse_sse(self._buffer + data)
                self.events.extend(events)
        return self.events.pop(0)

    async def frame(self, within=5.0):
        """The next frame, comments and retry lines passed over."""
        while (event := await self.event(within)) is not None:
            if event["data"] is not None:
                frame = json.loads(event["data"])
                assert event["event"] == frame["op"]
                assert event["id"] == frame.get("stream_id")
                return frame
        return None

    async def frames(self, count):
        return [await self.frame() for _ in range(count)]

    def close(self):
        self.response.close()
