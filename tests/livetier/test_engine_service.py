"""The service over a real gRPC server."""

import asyncio
import json
import logging
import sqlite3

import grpc
import pytest
from google.protobuf import duration_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc
from livetier.sqlite import reader
from patience import patiently
from sqlite_support import fill
from tier_client import Live, any_of, leaf, op, query, refusal, shape, value

BY_NAME = {"sort": ["name"], "limit": 3}


async def test_a_stream_starts_with_started_then_the_window_in_batches(served):
    tier, connection = served
    fill(connection, "abcd")
    async with grpc.aio.insecure_channel(tier.address) as channel:
        stub = livequery_pb2_grpc.LiveQueryServiceStub(channel)
        call = stub.Subscribe(
            pb.SubscribeRequest(query=query("thing", **BY_NAME), max_batch_deltas=2)
        )
        started = (await call.read()).started
        assert started.subscription_id
        assert started.route
        assert not started.resumed
        assert started.heartbeat_interval.seconds == 15
        assert started.effective_query.mode == pb.MODE_MAINTAINED
        one, two = [(await call.read()).batch for _ in range(2)]
        assert [op(delta) for delta in (*one.deltas, *two.deltas)] == ["reset"] + ["enter"] * 3
        assert (one.epoch, one.first_seq, one.snapshot_complete) == (1, 1, False)
        assert (two.epoch, two.first_seq, two.snapshot_complete) == (1, 3, True)
        assert one.deltas[0].reset.reason == pb.RESET_REASON_INITIAL
        assert one.deltas[0].reset.row_count == 3
        entered = one.deltas[1]
        assert (entered.agg_id, entered.old_index, entered.new_index) == ("id-a", -1, 0)
        assert [each.string_value for each in entered.cursor.values] == ["a", "id-a"]
        assert json.loads(entered.row) == {"id": "id-a", "name": "a", "size": None, "kind": None}
        call.cancel()


async def test_an_empty_window_is_a_reset_that_completes_itself(served):
    tier, _ = served
    async with Live(tier, query("thing"), batch=0) as live:
        assert (live.rows, live.seq) == ([], 1)


async def test_each_commit_is_a_group_of_the_form_in_the_table(served):
    tier, connection = served
    fill(connection, "bdf")

    async def group(statement):
        connection.execute(statement)
        await live.caught_up()
        return shape(live.groups[-1])

    async with Live(tier, query("thing", leaf("kind", "isnull"), **BY_NAME)) as live:
        assert await group("INSERT INTO thing (id, name) VALUES ('id-c', 'c')") == [
            ("enter", "id-c", -1, 1), ("leave", "id-f", 3, -1),
        ]  # fmt: skip
        assert await group("DELETE FROM thing WHERE id = 'id-b'") == [
            ("leave", "id-b", 0, -1), ("enter", "id-f", -1, 2),
        ]  # fmt: skip
        assert await group("UPDATE thing SET size = 1 WHERE name = 'd'") == [
            ("update", "id-d", 1, 1)
        ]
        assert await group("UPDATE thing SET name = 'e' WHERE name = 'c'") == [
            ("move", "id-c", 0, 1)
        ]
        assert await group("INSERT INTO thing (id, name) VALUES ('id-g', 'g'), ('id-z', 'a')") == [
            ("enter", "id-z", -1, 0), ("leave", "id-f", 3, -1),
        ]  # fmt: skip
        assert await group("UPDATE thing SET name = 'y' WHERE id = 'id-d'") == [
            ("leave", "id-d", 1, -1), ("enter", "id-f", -1, 2),
        ]  # fmt: skip
        assert json.loads(live.groups[-1][0].row)["name"] == "y"
        count = len(live.groups)
        connection.execute("UPDATE thing SET size = 7 WHERE id = 'id-d'")  # hidden
        await live.caught_up()
        assert len(live.groups) == count
        assert await group("UPDATE thing SET kind = 'x' WHERE id = 'id-z'") == [
            ("leave", "id-z", 0, -1), ("enter", "id-g", -1, 2),
        ]  # fmt: skip
        for delta in live.groups[-1]:
            assert delta.version
            assert delta.at.seconds > 1_700_000_000
            assert delta.cursor.values


async def test_subscriptions_of_one_query_share_a_view_and_see_the_same(served):
    tier, connection = served
    fill(connection, "abc")
    async with (
        Live(tier, query("thing", **BY_NAME)) as one,
        Live(tier, query("thing", **BY_NAME)) as two,
        Live(tier, query("thing", sort=["-name"], limit=3)) as other,
    ):
        views = [tier.watcher.find(live.started.subscription_id).view for live in (one, two, other)]
        assert views[0] is views[1] is not views[2]
        fill(connection, "A")
        for live in (one, two, other):
            await live.caught_up()
        assert one.rows == two.rows
        assert one.groups == two.groups
        assert other.groups == []


async def test_heartbeats_come_at_the_interval_asked_for_and_carry_the_watermark(served):
    tier, connection = served
    async with Live(tier, query("thing", leaf("name", "eq", "x")), heartbeat=0) as live:
        assert live.started.heartbeat_interval.seconds == 1  # no shorter than that
        fill(connection, "a")
        await live.until(lambda: live.heartbeats)
        await tier.settle()
        assert live.heartbeats[-1].watermark == tier.watcher.position.stream_id
        assert live.groups == []


async def reanchor(live, **fields):
    request = pb.ReanchorRequest(
        subscription_id=live.started.subscription_id, route=live.started.route, **fields
    )
    return await live.stub.Reanchor(request)


async def test_reanchor_slides_the_window_and_answers_the_epoch(served):
    tier, connection = served
    fill(connection, "abcdef")
    async with Live(tier, query("thing", **BY_NAME)) as live:
        anchor = pb.Cursor(values=[value("b"), value("id-b")])
        answer = await reanchor(live, cursor=anchor, limit=2, request_id="r1")
        assert answer.epoch == 2
        assert answer.effective_query.limit == 2
        assert answer.effective_query.cursor == anchor
        live.started.effective_query.CopyFrom(answer.effective_query)
        await live.until(lambda: live.epoch == 2 and live.complete)
        assert live.ids == ["id-c", "id-d"]
        assert live.resets[-1].reason == pb.RESET_REASON_REANCHOR
        assert live.resets[-1].request_id == "r1"
        connection.execute("DELETE FROM thing WHERE name IN ('a', 'c')")
        await live.caught_up()
        assert live.ids == ["id-d", "id-e"]
        answer = await reanchor(live)  # to the head, size kept
        assert (answer.epoch, answer.effective_query.limit) == (3, 2)
        await live.until(lambda: live.epoch == 3 and live.complete)
        assert live.ids == ["id-b", "id-d"]


async def test_a_refused_reanchor_leaves_the_window_as_it_was(served):
    tier, connection = served
    fill(connection, "ab")
    async with Live(tier, query("thing", **BY_NAME)) as live:
        for fields, code, field in (
            ({"cursor": pb.Cursor(values=[value(1)])}, "INVALID_ARGUMENT", "cursor.values"),
            ({"limit": -1}, "INVALID_ARGUMENT", "limit"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await reanchor(live, **fields)
            assert refusal(caught.value)[:2] == (grpc.StatusCode[code], field)
        for request, field in (
            (pb.ReanchorRequest(subscription_id="nobody"), "subscription_id"),
            (
                pb.ReanchorRequest(
                    subscription_id=live.started.subscription_id, route=b"elsewhere"
                ),
                "route",
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await live.stub.Reanchor(request)
            assert refusal(caught.value)[:2] == (grpc.StatusCode.NOT_FOUND, field)
        fill(connection, "c")
        await live.caught_up()
        assert live.epoch == 1
        assert live.ids == ["id-a", "id-b", "id-c"]


async def test_streamed_mode_tells_of_members_inside_and_outside_its_page(served):
    tier, connection = served
    fill(connection, "abc")
    asked = query("thing", leaf("kind", "isnull"), sort=["name"], limit=1, streamed=True)
    async with Live(tier, asked) as live:
        assert list(live.members) == ["id-a"]
        connection.execute("UPDATE thing SET size = 1 WHERE name = 'c'")
        await live.caught_up()
        assert shape(live.groups[-1]) == [("update", "id-c", 0, 0)]
        connection.execute("UPDATE thing SET kind = 1 WHERE name = 'b'")
        await live.caught_up()
        assert shape(live.groups[-1]) == [("unmatch", "id-b", 0, 0)]
        assert live.groups[-1][0].version
        fill(connection, "d")
        await live.caught_up()
        assert shape(live.groups[-1]) == [("match", "id-d", 0, 0)]
        assert live.groups[-1][0].cursor.values[0].string_value == "d"
        await reanchor(live, cursor=pb.Cursor(values=[value("a"), value("id-a")]))
        await live.until(lambda: live.epoch == 2 and live.complete)
        assert list(live.members) == ["id-c"]
        connection.execute("DELETE FROM thing WHERE name = 'a'")
        await live.caught_up()
        assert shape(live.groups[-1]) == [("unmatch", "id-a", 0, 0)]


async def test_a_failure_of_the_watcher_ends_its_streams_rather_than_freeze_them(
    served, monkeypatch, caplog
):
    tier, connection = served
    async with Live(tier, query("thing")) as live:
        with monkeypatch.context() as patch:
            patch.setattr(reader, "read", lambda *_: 1 / 0)
            fill(connection, "a")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await live.until(lambda: False)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "watching failed" in caplog.text
    async with Live(tier, query("thing")) as live:
        assert live.ids == ["id-a"]
        fill(connection, "b")
        await live.until(lambda: len(live.ids) == 2)


async def test_a_database_that_cannot_be_read_for_a_while_delays_and_loses_nothing(
    served, monkeypatch
):
    tier, connection = served
    tries = 0
    working = reader.read

    def locked_at_first(*args):
        nonlocal tries
        tries += 1
        if tries == 1:
            raise sqlite3.OperationalError("database is locked")
        return working(*args)

    async with Live(tier, query("thing")) as live:
        await live.caught_up()
        monkeypatch.setattr(reader, "read", locked_at_first)
        fill(connection, "a")
        await live.until(lambda: live.ids == ["id-a"])
        assert tries >= 2


EQ = leaf("name", "eq", "x")
NO_OPERATOR = pb.Condition(comparison=pb.Comparison(column="name"))
NO_VALUE = pb.Condition(comparison=pb.Comparison(column="name", operator=pb.OPERATOR_GT))
UNSET = pb.Condition(
    comparison=pb.Comparison(column="name", operator=pb.OPERATOR_EQ, value=pb.Value())
)


@pytest.mark.parametrize(
    ("asked", "code", "field", "hint"),
    [
        (query(""), "INVALID_ARGUMENT", "entity", ""),
        (query("zebra"), "NOT_FOUND", "entity", ""),
        (query("things"), "NOT_FOUND", "entity", 'did you mean "thing"?'),
        (query("thing", leaf("naem", "eq", 1)), "INVALID_ARGUMENT", "where[0].column",
         'thing has no column "naem"; did you mean "name"?'),
        (query("thing", EQ, any_of(leaf("zz", "eq", 1))), "INVALID_ARGUMENT",
         "where[1].or[0].column", 'thing has no column "zz"'),
        (query("thing", any_of(EQ, any_of(EQ, NO_OPERATOR))), "INVALID_ARGUMENT",
         "where[0].or[1].or[1].op", ""),
        (query("thing", pb.Condition()), "INVALID_ARGUMENT", "where[0]", ""),
        (query("thing", any_of()), "INVALID_ARGUMENT", "where[0].or", ""),
        (query("thing", NO_VALUE), "INVALID_ARGUMENT", "where[0].value", ""),
        (query("thing", UNSET), "INVALID_ARGUMENT", "where[0].value", ""),
        (query("thing", leaf("name", "in", [])), "INVALID_ARGUMENT", "where[0].value", ""),
        (query("thing", leaf("name", "notin", [])), "INVALID_ARGUMENT", "where[0].value", ""),
        (query("thing", leaf("name", "like", 5)), "INVALID_ARGUMENT", "where[0].value", ""),
        (query("thing", leaf("size", "like", "5")), "INVALID_ARGUMENT", "where[0].op", ""),
        (query("thing", leaf("name", "eq", b"[1]")), "INVALID_ARGUMENT", "where[0].value", ""),
        (query("thing", leaf("name", "eq", b"\xff{")), "INVALID_ARGUMENT", "where[0].value", ""),
        (query("thing", leaf("size", "eq", float("nan"))), "INVALID_ARGUMENT", "where[0].value", ""),
        (query("thing", *[EQ] * 300), "INVALID_ARGUMENT", "where", ""),
        (query("thing", leaf("name", "in", ["x"] * 1001)), "INVALID_ARGUMENT", "where[0].value", ""),
        (query("thing", sort=["nope"]), "INVALID_ARGUMENT", "sort[0].column", ""),
        (query("thing", sort=["name"] * 17), "INVALID_ARGUMENT", "sort", ""),
        (query("thing", limit=0), "INVALID_ARGUMENT", "limit", ""),
        (query("thing", limit=-5), "INVALID_ARGUMENT", "limit", ""),
        (query("thing", sort=["name"], cursor=["x"]), "INVALID_ARGUMENT", "cursor.values", ""),
        (pb.LiveQuery(entity="thing", limit=1, mode=7), "INVALID_ARGUMENT", "mode", ""),
    ],
)  # fmt: skip
async def test_a_refusal_names_the_field_and_is_not_logged(
    served, caplog, *, asked, code, field, hint
):
    tier, _ = served
    async with grpc.aio.insecure_channel(tier.address) as channel:
        stub = livequery_pb2_grpc.LiveQueryServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Subscribe(pb.SubscribeRequest(query=asked)).read()
        found = refusal(caught.value)
        assert found[:2] == (grpc.StatusCode[code], field)
        assert hint in found[2]
        assert ("did you mean" in found[2]) == ("did you mean" in hint)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_limit_beyond_the_largest_is_clamped_and_said_so(served):
    tier, _ = served
    async with Live(tier, query("thing", limit=2**31 - 1)) as live:
        assert live.limit == 10_000


async def test_health_and_reflection_know_the_service(served):
    tier, _ = served
    async with grpc.aio.insecure_channel(tier.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "livequery.v1.LiveQueryService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = {each.name for each in (await call.read()).list_services_response.service}
        assert "livequery.v1.LiveQueryService" in listed
        call.cancel()


async def test_a_consumer_that_does_not_read_gets_the_present_window_afresh(served):
    tier, connection = served
    connection.execute("INSERT INTO thing (id, name) VALUES ('a', 0)")
    async with grpc.aio.insecure_channel(tier.address) as channel:
        stub = livequery_pb2_grpc.LiveQueryServiceStub(channel)
        call = stub.Subscribe(pb.SubscribeRequest(query=query("thing"), max_batch_deltas=10))
        identifier = (await call.read()).started.subscription_id
        assert (await call.read()).batch.snapshot_complete
        subscription = tier.watcher.find(identifier)
        filler = "x" * 20_000
        written = 0
        while not subscription.reset_due:
            written += 1
            assert written < 20_000
            connection.execute("UPDATE thing SET name = ?", (f"{written} {filler}",))
            await tier.settle()
        resets, seq, last = [], 2, None
        async with patiently(20):
            while not (resets and last.snapshot_complete):
                last = (await call.read()).batch
                assert last.first_seq == seq + 1
                seq += len(last.deltas)
                resets += [delta for delta in last.deltas if op(delta) == "reset"]
        assert [delta.reset.reason for delta in resets] == [pb.RESET_REASON_OVERFLOW]
        assert last.epoch == 2
        assert json.loads(last.deltas[-1].row)["name"].startswith(f"{written} ")
        call.cancel()


async def to_its_end(call):
    while await call.read() is not grpc.aio.EOF:
        pass


@pytest.mark.parametrize("reading", [True, False])
async def test_stopping_ends_every_stream_with_unavailable_in_two_seconds(tiers, things, reading):
    url, connection = things
    connection.executemany(
        "INSERT INTO thing (id, name) VALUES (?, ?)", [(str(i), "x" * 50_000) for i in range(40)]
    )
    tier = await tiers(database=url)
    async with grpc.aio.insecure_channel(tier.address) as channel:
        stub = livequery_pb2_grpc.LiveQueryServiceStub(channel)
        call = stub.Subscribe(pb.SubscribeRequest(query=query("thing", limit=40)))
        await call.read()
        if reading:
            while not (await call.read()).batch.snapshot_complete:
                pass
        async with patiently(2):
            await tier.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await to_its_end(call)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_cancelling_the_call_is_the_unsubscribe(served, monkeypatch):
    tier, _ = served
    gone = asyncio.Event()
    leave = tier.watcher.leave
    monkeypatch.setattr(tier.watcher, "leave", lambda one: (leave(one), gone.set()))
    async with Live(tier, query("thing")) as live:
        identifier = live.started.subscription_id
        assert tier.watcher.find(identifier) is not None
    async with patiently(5):
        await gone.wait()
    assert tier.watcher.find(identifier) is None


async def test_request_heartbeat_of_an_hour_is_a_minute(served):
    tier, _ = served
    async with grpc.aio.insecure_channel(tier.address) as channel:
        stub = livequery_pb2_grpc.LiveQueryServiceStub(channel)
        wish = duration_pb2.Duration(seconds=3600)
        call = stub.Subscribe(pb.SubscribeRequest(query=query("thing"), heartbeat_interval=wish))
        assert (await call.read()).started.heartbeat_interval.seconds == 60
        call.cancel()
