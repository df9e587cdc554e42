"""A client of the contract for tests: builds queries, reduces a stream, and checks its laws."""

import asyncio
import json
from itertools import groupby

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc
from patience import patiently

OPS = {
    "eq": pb.OPERATOR_EQ,
    "ne": pb.OPERATOR_NE,
    "gt": pb.OPERATOR_GT,
    "gte": pb.OPERATOR_GTE,
    "lt": pb.OPERATOR_LT,
    "lte": pb.OPERATOR_LTE,
    "in": pb.OPERATOR_IN,
    "notin": pb.OPERATOR_NOT_IN,
    "like": pb.OPERATOR_LIKE,
    "ilike": pb.OPERATOR_ILIKE,
    "isnull": pb.OPERATOR_IS_NULL,
    "isnotnull": pb.OPERATOR_IS_NOT_NULL,
}


def value(plain):
    if plain is None:
        return pb.Value(null_value=0)
    if isinstance(plain, bool):
        return pb.Value(bool_value=plain)
    if isinstance(plain, int):
        kind = "int_value" if plain < 2**63 else "uint_value"
        return pb.Value(**{kind: plain})
    if isinstance(plain, float):
        return pb.Value(double_value=plain)
    if isinstance(plain, bytes):
        return pb.Value(json_value=plain)
    return pb.Value(string_value=plain)


def leaf(column, op, operand=None):
    comparison = pb.Comparison(column=column, operator=OPS[op])
    if op in ("in", "notin"):
        comparison.list.values.extend(value(member) for member in operand)
    elif op not in ("isnull", "isnotnull"):
        comparison.value.CopyFrom(value(operand))
    return pb.Condition(comparison=comparison)


def any_of(*members):
    return pb.Condition(or_group=pb.OrGroup(conditions=members))


def query(entity, *where, sort=(), limit=10, cursor=None, streamed=False):
    """Build a query; a sort key is a column, with "-" before it when descending."""
    return pb.LiveQuery(
        entity=entity,
        where=where,
        sort=[pb.SortKey(column=key.lstrip("-"), desc=key.startswith("-")) for key in sort],
        limit=limit,
        cursor=None if cursor is None else pb.Cursor(values=[value(plain) for plain in cursor]),
        mode=pb.MODE_STREAMED if streamed else pb.MODE_MAINTAINED,
    )


def op(delta):
    return pb.DeltaOp.Name(delta.op).removeprefix("DELTA_OP_").lower()


def shape(group):
    """Return a group as (op, id, old_index, new_index) tuples."""
    return [(op(delta), delta.agg_id, delta.old_index, delta.new_index) for delta in group]


def refusal(error):
    """Return (code, field, message) of a failed call, from its details."""
    details = list(rpc_status.from_call(error).details)
    info, text = error_details_pb2.ErrorInfo(), error_details_pb2.LocalizedMessage()
    assert details[0].Unpack(info)
    assert details[1].Unpack(text)
    assert info.domain == "livequery.v1"
    assert info.reason
    assert text.message == error.details()
    return error.code(), info.metadata.get("field"), text.message


def end_seq(subscription):
    """The number of the last delta once all that waits in an outbox is sent."""
    return subscription.seq + subscription._waiting


class Live:
    """An open subscription that is read in the background; every law of the stream is asserted."""

    def __init__(self, tier, live_query, *, batch=1000, heartbeat=None):
        self.channel = grpc.aio.insecure_channel(tier.address)
        self.stub = livequery_pb2_grpc.LiveQueryServiceStub(self.channel)
        request = pb.SubscribeRequest(query=live_query, max_batch_deltas=batch)
        if heartbeat is not None:
            request.heartbeat_interval.CopyFrom(duration_pb2.Duration(seconds=heartbeat))
        self.tier = tier
        self.call = self.stub.Subscribe(request)
        self.started = None
        self.rows = []  # (id, version, row)
        self.members = {}  # streamed mode: id -> row
        self.groups = []
        self.resets = []
        self.heartbeats = []
        self.epoch = self.seq = 0
        self.last_stream = (0, 0)
        self.complete = False
        self.changed = asyncio.Condition()
        self.task = asyncio.create_task(self._read())

    async def __aenter__(self):
        await self.until(lambda: self.complete)
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.wait([self.task])
        self.call.cancel()
        await self.channel.close()

    async def until(self, predicate):
        async with patiently(20), self.changed:
            while not predicate():
                if self.task.done():
                    self.task.result()
                    raise AssertionError("the stream is over")
                await self.changed.wait()

    async def caught_up(self):
        """Wait until everything committed before this call has been applied here."""
        await self.tier.settle()
        await self.drained()

    async def drained(self):
        """Wait until everything that the tier has settled has been applied here."""
        subscription = self.tier.watcher.find(self.started.subscription_id)
        await self.until(
            lambda: (
                not subscription.reset_due and self.complete and self.seq == end_seq(subscription)
            )
        )

    @property
    def ids(self):
        return [row[0] for row in self.rows]

    @property
    def limit(self):
        return self.started.effective_query.limit

    async def _read(self):
        try:
            while (response := await self.call.read()) is not grpc.aio.EOF:
                async with self.changed:
                    self._take(response)
                    self.changed.notify_all()
        finally:
            async with self.changed:
                self.changed.notify_all()

    def _take(self, response):
        match response.WhichOneof("message"):
            case "started":
                assert self.started is None
                self.started = response.started
            case "heartbeat":
                assert response.heartbeat.last_seq == self.seq
                assert response.heartbeat.epoch == self.epoch
                self.heartbeats.append(response.heartbeat)
            case "batch":
                self._batch(response.batch)

    def _batch(self, batch):
        assert batch.first_seq == self.seq + 1
        self.seq += len(batch.deltas)
        if batch.deltas[0].op == pb.DELTA_OP_RESET:
            assert batch.epoch == self.epoch + 1
            self.epoch = batch.epoch
            self.complete = False
            self.resets.append(batch.deltas[0].reset)
        assert batch.epoch == self.epoch
        for delta in batch.deltas:
            self._apply(delta)
        if not self.complete:
            self.complete = batch.snapshot_complete
            assert not any(delta.stream_id for delta in batch.deltas)
            if self.complete and not self.members:
                assert self.resets[-1].row_count == len(self.rows)
        else:
            assert not batch.snapshot_complete
            for stream_id, group in groupby(batch.deltas, key=lambda delta: delta.stream_id):
                self.groups.append(list(group))
                position = tuple(int(part) for part in stream_id.split("-"))
                assert position > self.last_stream
                self.last_stream = position
        assert len(self.rows) <= self.limit

    def _apply(self, delta):
        """Splice literally by index, holding every index to account."""
        name = op(delta)
        row = json.loads(delta.row) if delta.row else None
        entry = (delta.agg_id, delta.version, row)
        streamed = self.started.effective_query.mode == pb.MODE_STREAMED
        if name == "reset":
            self.rows, self.members = [], {}
        elif streamed and name == "unmatch":
            self.members.pop(delta.agg_id, None)
        elif streamed:
            indexes = (-1, len(self.members)) if name == "enter" else (0, 0)
            assert (delta.old_index, delta.new_index) == indexes
            self.members[delta.agg_id] = row
        else:
            if delta.old_index >= 0:
                assert self.rows[delta.old_index][0] == delta.agg_id
            if name in ("leave", "move"):
                del self.rows[delta.old_index]
            if name in ("enter", "move"):
                assert 0 <= delta.new_index <= len(self.rows)
                assert delta.agg_id not in self.ids
                self.rows.insert(delta.new_index, entry)
            if name == "update":
                assert delta.old_index == delta.new_index
                self.rows[delta.new_index] = entry
            assert len(self.rows) <= self.limit + 1
