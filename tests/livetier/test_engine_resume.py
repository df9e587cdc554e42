"""Resume, over a real gRPC server: granted where nothing is missing, and nowhere else."""

import asyncio
import contextlib
import random

import grpc
import pytest

from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc
from livetier.engine import history, parked
from livetier.engine.history import SentHistory
from patience import patiently
from sqlite_support import fill
from tier_client import query, value

ASKED = query("thing", sort=["name"], limit=3)


class Stream:
    """One call, read as it comes; ``position`` is what a caller would offer."""

    def __init__(self, call):
        self.call = call
        self.started = None
        self.epoch = self.seq = 0
        self.deltas = []

    async def read(self, count):
        """Read until so many deltas came, those of the snapshot included."""
        async with patiently(10):
            while len(self.deltas) < count:
                response = await self.call.read()
                if response.WhichOneof("message") == "started":
                    self.started = response.started
                    continue
                batch = response.batch
                if self.seq:
                    assert batch.first_seq == self.seq + 1
                self.epoch, self.seq = batch.epoch, batch.first_seq + len(batch.deltas) - 1
                self.deltas += batch.deltas
        return self

    @property
    def position(self):
        return pb.ResumePosition(
            subscription_id=self.started.subscription_id, epoch=self.epoch, seq=self.seq
        )


@pytest.fixture
async def subscribe(served):
    tier, _ = served
    async with contextlib.AsyncExitStack() as stack:

        async def subscribe(asked=ASKED, resume=None, metadata=None):
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(tier.address))
            stub = livequery_pb2_grpc.LiveQueryServiceStub(channel)
            request = pb.SubscribeRequest(query=asked, resume=resume, max_batch_deltas=1000)
            stream = Stream(stub.Subscribe(request, metadata=metadata))
            stream.started = (await stream.call.read()).started
            return stream

        yield subscribe


async def left(tier):
    """Wait until the tier knows that no stream is open."""
    async with patiently(5):
        while len(tier.watcher._parked) != len(tier.watcher._subscriptions):
            await asyncio.sleep(0.005)


async def test_a_caller_goes_on_behind_what_it_has(served, subscribe):
    tier, connection = served
    fill(connection, "abc")
    one = await (await subscribe()).read(4)
    connection.execute("UPDATE thing SET size = 1 WHERE name = 'a'")
    await one.read(5)
    one.call.cancel()
    await left(tier)
    connection.execute("UPDATE thing SET size = 2 WHERE name = 'b'")
    await tier.settle()
    connection.execute("DELETE FROM thing WHERE name = 'c'")
    await tier.settle()
    two = await subscribe(resume=one.position)
    assert two.started.resumed
    assert two.started.subscription_id == one.started.subscription_id
    two.epoch, two.seq = one.epoch, one.seq
    await two.read(2)
    assert [(delta.op, delta.agg_id) for delta in two.deltas] == [
        (pb.DELTA_OP_UPDATE, "id-b"),
        (pb.DELTA_OP_LEAVE, "id-c"),
    ]
    connection.execute("UPDATE thing SET size = 3 WHERE name = 'a'")
    await two.read(3)
    assert two.epoch == one.epoch


async def test_what_was_sent_and_lost_on_the_way_is_sent_again(served, subscribe):
    tier, connection = served
    fill(connection, "abc")
    one = await (await subscribe()).read(4)
    position = one.position
    for size in range(5):
        connection.execute("UPDATE thing SET size = ? WHERE name = 'a'", (size,))
        await tier.settle()
    await one.read(9)
    two = await subscribe(resume=position)  # the first call is still open: it loses its place
    assert two.started.resumed
    two.epoch, two.seq = position.epoch, position.seq
    await two.read(5)
    assert [delta.row for delta in two.deltas] == [delta.row for delta in one.deltas[4:]]
    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await one.read(100)
    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    connection.execute("UPDATE thing SET size = 9 WHERE name = 'a'")
    await two.read(6)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda position: position.MergeFrom(pb.ResumePosition(subscription_id="other")),
        lambda position: position.MergeFrom(pb.ResumePosition(epoch=position.epoch + 1)),
        lambda position: position.MergeFrom(pb.ResumePosition(seq=position.seq + 1)),
        lambda position: position.MergeFrom(pb.ResumePosition(seq=position.seq - 1)),
    ],
)
async def test_a_position_that_is_not_the_callers_brings_a_snapshot(served, subscribe, spoil):
    _, connection = served
    fill(connection, "abc")
    one = await (await subscribe()).read(4)
    position = one.position
    spoil(position)
    two = await subscribe(resume=position)
    assert not two.started.resumed
    assert two.started.subscription_id != one.started.subscription_id
    await two.read(4)
    assert two.deltas[0].op == pb.DELTA_OP_RESET


async def test_a_position_of_another_query_brings_a_snapshot(served, subscribe):
    _, connection = served
    fill(connection, "abc")
    one = await (await subscribe()).read(4)
    two = await subscribe(query("thing", sort=["name"], limit=2), resume=one.position)
    assert not two.started.resumed


async def test_a_position_before_a_reanchor_brings_a_snapshot(served, subscribe):
    tier, connection = served
    fill(connection, "abc")
    one = await (await subscribe()).read(4)
    position = one.position
    async with grpc.aio.insecure_channel(tier.address) as channel:
        stub = livequery_pb2_grpc.LiveQueryServiceStub(channel)
        cursor = pb.Cursor(values=[value("a"), value("id-a")])
        identifier = one.started.subscription_id
        await stub.Reanchor(pb.ReanchorRequest(subscription_id=identifier, cursor=cursor))
    await one.read(7)
    assert not (await subscribe(resume=position)).started.resumed


async def test_a_subscription_is_kept_for_a_while_only(served, subscribe, monkeypatch):
    tier, connection = served
    monkeypatch.setattr(parked, "SECONDS", 0.05)
    fill(connection, "abc")
    one = await (await subscribe()).read(4)
    one.call.cancel()
    async with patiently(5):
        while tier.watcher._subscriptions:
            await asyncio.sleep(0.01)
    assert not tier.watcher._views
    assert not (await subscribe(resume=one.position)).started.resumed


async def test_only_so_many_are_kept(served, subscribe, monkeypatch):
    tier, _ = served
    monkeypatch.setattr(parked, "MOST", 2)
    streams = [await (await subscribe(query("thing", limit=n))).read(1) for n in (1, 2, 3)]
    for stream in streams:
        stream.call.cancel()
        await asyncio.sleep(0.05)
    await left(tier)
    assert len(tier.watcher._subscriptions) == 2
    granted = [
        (await subscribe(query("thing", limit=n), resume=stream.position)).started.resumed
        for n, stream in zip((1, 2, 3), streams, strict=True)
    ]
    assert granted == [False, True, True]


async def test_an_outbox_that_overflows_while_it_is_kept_brings_a_snapshot(served, subscribe):
    tier, connection = served
    fill(connection, "abc")
    one = await (await subscribe()).read(4)
    one.call.cancel()
    await left(tier)
    for size in range(2):
        text = "x" * (3 << 20)
        connection.execute("UPDATE thing SET size = ?, kind = ? WHERE name = 'a'", (size, text))
        await tier.settle()
    assert not (await subscribe(resume=one.position)).started.resumed


def splice(rows, delta):
    """Apply a delta literally, by index."""
    if delta.op == pb.DELTA_OP_RESET:
        rows.clear()
        return
    if delta.old_index >= 0:
        assert rows.pop(delta.old_index)[0] == delta.agg_id
    if delta.new_index >= 0:
        rows.insert(delta.new_index, (delta.agg_id, delta.row))


async def test_after_many_losses_the_window_is_the_tables(served, subscribe):
    """What a caller has, resumed or not, is the window at each rest."""
    tier, connection = served
    fill(connection, "abcdef")
    pick = random.Random(5)
    rows, stream, granted = [], None, 0
    for _ in range(30):
        before = stream
        stream = await subscribe(resume=stream.position if stream else None)
        granted += stream.started.resumed
        if stream.started.resumed:
            stream.epoch, stream.seq = before.epoch, before.seq
        seen = 0
        for _ in range(pick.randint(0, 4)):
            name = pick.choice("abcdefgh")
            connection.execute("INSERT OR REPLACE INTO thing VALUES (?, ?, ?, NULL)", (
                f"id-{name}", pick.choice("abcdefgh"), pick.randint(0, 9)
            ))  # fmt: skip
            await tier.settle()
        subscription = tier.watcher.find(stream.started.subscription_id)
        async with patiently(10):
            while stream.seq < subscription.seq + subscription._waiting or subscription.reset_due:
                await stream.read(seen + 1)
                for delta in stream.deltas[seen:]:
                    splice(rows, delta)
                seen = len(stream.deltas)
        expected = [(row.id, row.json) for row in subscription.view.rows]
        assert rows == expected
        stream.call.cancel()
        if pick.random() < 0.7:
            await left(tier)
    assert granted == 29


def test_history_is_bounded_by_count_size_and_age(monkeypatch):
    sent = SentHistory()
    assert not sent.holds(0)
    sent.start(10)
    assert sent.holds(10)
    assert not sent.holds(9)
    group = [pb.LiveDelta(row=b"x" * 1000)] * 3
    for number in range(100):
        sent.add(11 + 3 * number, group, 0.0)
    assert sent.holds(10)
    assert [first for first, _ in sent.since(300)] == [301, 302, 305, 308]
    sent.add(311, group, history.SECONDS + 1)
    assert not sent.holds(309)
    assert sent.holds(310)
    monkeypatch.setattr(history, "MOST_BYTES", 5000)
    sent.add(314, group, history.SECONDS + 1)
    assert not sent.holds(312)
    assert sent.holds(313)
