"""A fabriq server whose every word is the test's: real gRPC, frames and JSON made here by hand."""

import asyncio
import json

import grpc

from patience import patiently
from served_tier import ServedTier

HEAD = object()
"""The cursor of a reanchor to the head: none."""
_END = object()
ENTER, LEAVE, MOVE, UPDATE, RESET, MATCH, UNMATCH = range(7)


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number, value):
    """A field of a protobuf message: bytes, text or a whole number."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def fields(message):
    """Read a protobuf message: {number: bytes or whole number}."""
    found, at = {}, 0

    def varint():
        nonlocal at
        number, shift = 0, 0
        while True:
            octet = message[at]
            at += 1
            number |= (octet & 127) << shift
            shift += 7
            if octet < 128:
                return number

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            found[tag >> 3] = varint()
        else:
            size = varint()
            found[tag >> 3] = message[at : at + size]
            at += size
    return found


def row(agg_id, version=1, *, raw=None, cursor=None):
    """A row of a snapshot, as Go prints it."""
    return {
        "AggID": agg_id,
        "Version": version,
        "Cursor": {"values": cursor or [agg_id]},
        "Raw": raw if raw is not None else {"id": agg_id},
        "Vals": {"id": agg_id},
    }


def snapshot_json(*rows, sub_id="sub"):
    rows = [row(each) if isinstance(each, str) else each for each in rows]
    return json.dumps({"SubID": sub_id, "Rows": rows or None, "Watermark": "5-0"}).encode()


def delta_json(op, agg_id, old, new, *, stream_id="9-0", version=2, raw=None, **more):
    """A delta, as Go prints it; a leave carries its row as well."""
    delta = {"op": op, "agg_id": agg_id, "version": version, "row": raw or {"id": agg_id}}
    delta |= {"old_index": old, "new_index": new, "cursor": {"values": [agg_id]}}
    delta |= {"stream_id": stream_id} if stream_id else {}
    return json.dumps({**delta, "at": "2026-07-01T12:00:00.123456789Z", **more}).encode()


class FabriqStream:
    """One LiveQuery call, from the tier's side. `reanchors` are (cursor, limit)."""

    def __init__(self, query, context) -> None:
        self.query = query
        self.metadata = dict(context.invocation_metadata())
        self.peer = context.peer()
        self.caller = context.auth_context().get("x509_common_name", [b""])[0].decode()
        self.out = asyncio.Queue()
        self.reanchors = asyncio.Queue()
        self.half_closed = asyncio.Event()
        self.over = asyncio.Event()

    def raw(self, frame):
        self.out.put_nowait(frame)

    def snapshot(self, *rows):
        self.raw(field(1, snapshot_json(*rows)))

    def delta(self, *args, **more):
        self.raw(field(2, delta_json(*args, **more)))

    def error(self, code, message=""):
        self.raw(field(3, field(1, code) + field(2, message)))

    def end(self):
        self.out.put_nowait(_END)

    def fail(self, code=grpc.StatusCode.UNAVAILABLE, text=""):
        self.out.put_nowait((code, text))

    async def reanchored(self):
        async with patiently(5):
            return await self.reanchors.get()

    async def read_more(self, requests):
        async for message in requests:
            asked = fields(fields(message)[2])
            cursor = json.loads(asked[1]) if asked.get(1) else HEAD
            self.reanchors.put_nowait((cursor, asked.get(2, 0)))
        self.half_closed.set()


class FabriqTier(ServedTier, grpc.GenericRpcHandler):
    """A server of fabriq's wire."""

    def add_to(self, server):
        server.add_generic_rpc_handlers((self,))

    def service(self, handler_call_details):
        if handler_call_details.method == "/fabriq.v1.Fabriq/LiveQuery":
            return grpc.stream_stream_rpc_method_handler(self.live_query)
        return None

    async def live_query(self, requests, context):
        first = fields(fields(await anext(aiter(requests)))[1])
        stream = FabriqStream(json.loads(first[1]), context)
        number = next(self.numbers)
        self.opened += 1
        self.open[number] = stream
        reading = asyncio.create_task(stream.read_more(requests))
        try:
            if self.rows is not None:
                stream.snapshot(*self.rows)
            else:
                self.calls.put_nowait(stream)
            while (item := await stream.out.get()) is not _END:
                if isinstance(item, tuple):
                    await context.abort(*item)
                yield item
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            stream.over.set()
            del self.open[number]
