"""Clients of both transports that know nothing of the bridge's code, and both reducers."""

import asyncio
import json

QUERY = {"entity": "flights", "sort": [{"column": "est_dep"}], "limit": 3}


class IdClient:
    """Applies frames by agg_id, as docs/semantics.md's reducer says."""

    def __init__(self, limit=None) -> None:
        self.rows = []
        self.limit = limit

    def apply(self, frame):
        op, agg_id = frame["op"], frame.get("agg_id", "")
        entry = (agg_id, frame.get("version", 0))
        at = next((i for i, row in enumerate(self.rows) if row[0] == agg_id), None)
        if op == "reset":
            self.rows = []
        elif op in ("leave", "unmatch"):
            if at is not None:
                del self.rows[at]
        elif op == "update":
            if at is not None:
                self.rows[at] = entry
        elif op in ("enter", "move"):
            if at is not None:
                del self.rows[at]
            self.rows.insert(min(frame["new_index"], len(self.rows)), entry)
        elif op == "match":
            if at is None:
                self.rows.append(entry)
            else:
                self.rows[at] = entry

    @property
    def ids(self):
        return [row[0] for row in self.rows]


class SpliceClient(IdClient):
    """Applies frames literally by index; any index out of range is an error."""

    def apply(self, frame):
        op, old, new = frame["op"], frame["old_index"], frame["new_index"]
        entry = (frame.get("agg_id", ""), frame.get("version", 0))
        if op == "reset":
            self.rows = []
        elif op == "leave":
            del self.rows[old]
        elif op == "update":
            self.rows[new] = entry
        elif op == "enter":
            assert 0 <= new <= len(self.rows)
            self.rows.insert(new, entry)
        elif op == "move":
            del self.rows[old]
            assert 0 <= new <= len(self.rows)
            self.rows.insert(new, entry)


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
        async with asyncio.timeout(within):
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
