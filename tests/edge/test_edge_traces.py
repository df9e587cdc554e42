"""Runs of the original engine, raw, through the bridge to clients that join at every step."""

import asyncio
import itertools
import json
import zlib
from collections import defaultdict
from pathlib import Path

import aiohttp
import pytest

from clients import SseClient
from core_oracles import IdClient, SpliceClient
from livequery.v1 import livequery_pb2 as pb
from patience import patiently
from scripted_tier import value

TRACES = Path(__file__).parents[1] / "vectors" / "engine_traces.jsonl"
OPS = ("", "enter", "leave", "move", "update", "reset", "match", "unmatch")


def traces():
    runs = defaultdict(list)
    with TRACES.open() as file:
        for line in file:
            step = json.loads(line)
            runs[step["trace"]].append(step)
    return runs


RUNS = traces()


def spell(query):
    """The config's Go spelling is a LiveQuery as it is: keys fold."""
    return {key: query[key] for key in query if query[key] is not None}


def delta(recorded):
    values = recorded["cursor"]["values"]
    return pb.LiveDelta(
        op=OPS.index(recorded["op"]),
        agg_id=recorded.get("agg_id", ""),
        version=recorded.get("version", 0),
        row=json.dumps(recorded["row"]).encode() if "row" in recorded else b"",
        old_index=recorded["old_index"],
        new_index=recorded["new_index"],
        cursor=None if values is None else pb.Cursor(values=map(value, values)),
        stream_id=recorded.get("stream_id", ""),
    )


class Client:
    """One client, both ways of applying at once."""

    def __init__(self, read) -> None:
        self.by_id, self.by_index = IdClient(), SpliceClient()
        self._read = read
        self._task = asyncio.create_task(self._follow())

    async def _follow(self):
        while (frame := await self._read()) is not None:
            self.by_id.apply(frame)
            self.by_index.apply(frame)

    def shows(self):
        assert not self._task.done(), self._task
        rows = [f"{agg_id}@{version}" for agg_id, version in self.by_id.rows]
        same = self.by_id.rows == self.by_index.rows
        return rows if same else None

    async def close(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def join(http, base, transport, query):
    if transport == "sse":
        sse = SseClient(await http.post(base, data=json.dumps(query)))
        return Client(lambda: sse.frame(within=None)), sse.close
    protocols = ("livequery.v1",) if transport == "v1" else ()
    ws = await http.ws_connect(base + "/ws", protocols=protocols)
    await ws.send_str(json.dumps({"action": "subscribe", "sub": "s", "query": query}))
    queue = []

    async def read():
        while not queue:
            message = await ws.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return None
            told = json.loads(message.data)
            queue.extend(told.get("frames", []) if transport == "v1" else [told])
        return queue.pop(0)

    return Client(read), ws.close


def digest(rows):
    """As a v1 client sums its window up (docs/wire.md §5)."""
    text = "".join(f"{agg_id}\n{version}\n" for agg_id, version in rows)
    return f"{zlib.crc32(text.encode()):08x}"


async def all_show(clients, window):
    try:
        async with patiently(5):
            while any(client.shows() != window for client in clients):
                await asyncio.sleep(0.001)
    except TimeoutError:
        for client in clients:
            assert client.shows() == window


@pytest.mark.parametrize("transport", ["sse", "ws", "v1"])
@pytest.mark.parametrize("trace", sorted(RUNS))
async def test_whoever_joins_at_whatever_step_shows_the_engines_window_ever_after(
    start_bridge, tier, http, trace, transport
):
    bridge = await start_bridge(max_connections_per_ip="0")
    config, *steps = RUNS[trace]
    query = spell(config["query"])
    clients, closers = [], []

    async def come():
        client, close = await join(http, bridge.base, transport, query)
        clients.append(client)
        closers.append(close)

    coming = asyncio.create_task(come())
    call = await tier.next_call()
    call.start()
    await asyncio.sleep(0)
    for step in itertools.takewhile(lambda step: step["kind"] != "reanchor", steps):
        complete = step["kind"] == "snapshot"
        if step["deltas"]:
            call.send(*map(delta, step["deltas"]), complete=complete)
        if complete:
            await coming
        await all_show(clients, step["engine_window"])
        [subscription] = bridge._hub._all
        for client in clients:
            assert digest(client.by_id.rows) == subscription.window.digest(), step["step"]
        await come()
    assert tier.opened == 1
    for client in clients:
        await client.close()
    for close in closers:
        if (closing := close()) is not None:
            await closing
