"""The whole of it: a day of flights from SQLite over gRPC to browsers' clients, minute by minute."""

import asyncio
import contextlib
import json
import sqlite3

import aiohttp
import pytest

from clients import SseClient
from livetier.demo import flights
from livetier.server import TierOptions, start_tier
from patience import patiently

JFK = [{"column": "origin", "op": "eq", "value": "JFK"}]
LATE = [{"column": "status", "op": "in", "value": ["delayed", "cancelled"]}]
EARLY = [
    {
        "or": [
            {"column": "est_dep", "op": "lt", "value": "2013-07-10T08:00"},
            {"column": "delay_min", "op": "gte", "value": 60},
        ]
    }
]
# A LiveQuery and what SQL makes of it, written by hand.
BOARDS = [
    (
        {"entity": "flights", "where": JFK, "sort": [{"column": "est_dep"}], "limit": 12},
        "origin = 'JFK' ORDER BY est_dep, id LIMIT 12",
    ),
    (
        {
            "entity": "flights",
            "where": LATE,
            "sort": [{"column": "delay_min", "desc": True}, {"column": "carrier"}],
            "limit": 7,
        },
        "status IN ('delayed', 'cancelled') ORDER BY delay_min DESC, carrier, id LIMIT 7",
    ),
    (
        {"entity": "flights", "where": EARLY, "sort": [{"column": "status"}], "limit": 25},
        "(est_dep < '2013-07-10T08:00' OR delay_min >= 60) ORDER BY status, id LIMIT 25",
    ),
    (
        {
            "entity": "flights",
            "sort": [{"column": "est_dep"}],
            "limit": 5,
            "cursor": {"values": ["2013-07-10T12:00", ""]},
        },
        "(est_dep, id) > ('2013-07-10T12:00', '') ORDER BY est_dep, id LIMIT 5",
    ),
]


class Board:
    """A window by agg_id, rows included."""

    def __init__(self) -> None:
        self.rows = []
        self.ops = set()

    def apply(self, frame):
        op, agg_id = frame["op"], frame.get("agg_id")
        self.ops.add(op)
        if op == "reset":
            self.rows = []
            return
        at = next((i for i, row in enumerate(self.rows) if row["id"] == agg_id), None)
        if op == "update" and at is not None:
            self.rows[at] = frame["row"]
            return
        if at is not None:
            del self.rows[at]
        if op in ("enter", "move"):
            self.rows.insert(min(frame["new_index"], len(self.rows)), frame["row"])


@pytest.fixture
async def flights_tier():
    tier = await start_tier(TierOptions(speed=0, start="00:00"))
    yield tier
    await tier.stop()


@contextlib.asynccontextmanager
async def following(read, board):
    """Apply every frame that comes, in the background."""

    async def follow():
        while (frame := await read()) is not None:
            board.apply(frame)

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def watch(stack, http, base, transport, query):
    """Follow a query over one of the transports; returns its board."""
    board = Board()
    if transport == "sse":
        client = SseClient(await http.post(base, data=json.dumps(query)))
        stack.callback(client.close)

        async def read():
            return await client.frame(within=None)

        await stack.enter_async_context(following(read, board))
        return board
    v1 = transport == "v1"
    protocols = ("livequery.v1",) if v1 else ()
    ws = await stack.enter_async_context(http.ws_connect(base + "/ws", protocols=protocols))
    await ws.send_str(json.dumps({"action": "subscribe", "sub": "s", "query": query}))
    queue = []

    async def read_ws():
        while not queue:
            message = await ws.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return None
            told = json.loads(message.data)
            queue.extend(told.get("frames", []) if v1 else [told])
        return queue.pop(0)

    await stack.enter_async_context(following(read_ws, board))
    return board


@pytest.mark.timeout(180)
async def test_every_clients_window_equals_the_tiers_select_in_every_minute_of_the_day(
    flights_tier, start_bridge, http
):
    bridge = await start_bridge(upstream=flights_tier.address)
    database = sqlite3.connect(flights_tier.database)
    database.row_factory = sqlite3.Row
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(database.close)
        boards = [
            (sql, await watch(stack, http, bridge.base, transport, query))
            for query, sql in BOARDS
            for transport in ("sse", "ws", "v1")
        ]
        changes = 0
        for minute in range(1, flights.length()):
            changes += await asyncio.to_thread(flights_tier.replay.advance_to, minute)
            await flights_tier.settle()
            for sql, board in boards:
                rows = [dict(row) for row in database.execute(f"SELECT * FROM flights WHERE {sql}")]  # noqa: S608 - written above
                try:
                    async with patiently(10):
                        while board.rows != rows:
                            await asyncio.sleep(0)
                except TimeoutError:
                    assert board.rows == rows, (minute, sql)
        assert changes > 4000
        assert all(board.ops >= {"reset", "enter", "leave", "update"} for _, board in boards[:3])
        assert set.union(*(board.ops for _, board in boards)) >= {"move"}


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({"entity": "trains", "limit": 1}, 404, "entity"),
        (
            {
                "entity": "flights",
                "limit": 1,
                "where": [{"column": "nope", "op": "eq", "value": 1}],
            },
            400,
            "where[0].column",
        ),
        ({"entity": "flights", "limit": 1, "sort": [{"column": "nope"}]}, 400, "sort[0].column"),
    ],
)
async def test_what_the_tier_does_not_know_is_told_with_its_field(
    flights_tier, start_bridge, http, query, status, field
):
    bridge = await start_bridge(upstream=flights_tier.address)
    response = await http.post(bridge.base, data=json.dumps(query))
    problem = json.loads(await response.text())
    assert (response.status, problem["field"]) == (status, field)
    assert "nope" in problem["detail"] or "trains" in problem["detail"]
