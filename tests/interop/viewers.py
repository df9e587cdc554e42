"""Clients of the bridge that read in the background, and hold both reducers to what they were told."""

import asyncio
import contextlib
import json

from clients import SseClient
from core_oracles import IdClient, SpliceClient


class Viewer:
    """One stream. Rows as (id, version); `ended` says how it was over."""

    def __init__(self):
        self.by_id = IdClient()
        self.by_index = SpliceClient()
        self.resets = self.updates = 0
        self.ended = None
        self._task = None

    def _apply(self, frame):
        self.by_id.apply(frame)
        self.by_index.apply(frame)
        self.resets += frame["op"] == "reset"
        self.updates += frame["op"] == "update"

    @property
    def data(self):
        """The rows shown, in order: id -> columns."""
        return {frame["agg_id"]: frame["row"] for frame in self.by_id.frames}

    @property
    def last_cursor(self):
        return self.by_id.frames[-1]["cursor"]

    async def until(self, check, within=10.0):
        """Wait until a check is true."""
        async with asyncio.timeout(within):
            while not check():
                assert self.ended is None, f"{type(self).__name__} ended: {self.ended}"
                await asyncio.sleep(0.02)

    async def shows(self, window, within=10.0):
        """Wait until the rows are these, for both reducers."""
        try:
            await self.until(lambda: self.by_id.rows == self.by_index.rows == window, within)
        except TimeoutError:
            ids = [agg_id for agg_id, _ in window]
            raise AssertionError(
                f"{type(self).__name__} shows {self.by_id.ids}, the tier has {ids}"
            ) from None

    def _start(self, reading):
        async def read():
            try:
                self.ended = await reading
            except Exception as error:  # noqa: BLE001 - any end is told by `ended`
                self.ended = repr(error)

        self._task = asyncio.create_task(read())

    async def close(self):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


class SseViewer(Viewer):
    async def open(self, http, base, query):
        self._response = await http.post(base, json=query)
        assert self._response.status == 200, (self._response.status, await self._response.text())
        self._start(self._read())
        return self

    async def _read(self):
        client = SseClient(self._response)
        while (frame := await client.frame(within=None)) is not None:
            self._apply(frame)
        return "the end of the stream"

    async def close(self):
        await super().close()
        self._response.close()


class WsViewer(Viewer):
    async def open(self, http, base, query):
        self._socket = await http.ws_connect(base + "/ws")
        await self._socket.send_json({"action": "subscribe", "query": query})
        self._start(self._read())
        return self

    async def reanchor(self, cursor, limit):
        await self._socket.send_json({"action": "reanchor", "cursor": cursor, "limit": limit})

    async def _read(self):
        async for message in self._socket:
            self._apply(json.loads(message.data))
        return f"close code {self._socket.close_code}"

    async def close(self):
        await super().close()
        await self._socket.close()
