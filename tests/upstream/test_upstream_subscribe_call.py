"""One Subscribe call: its request, its messages, and that every way out of it cancels."""

import asyncio
import base64
from dataclasses import replace

import grpc
import pytest
from upstream_tier import NOBODY, QUERY, read

from bridge.core.errors import Failed, Kind
from bridge.core.sequencer import CallPosition, Heartbeat
from bridge.live.backend import Identity, ResumeOffer
from livequery.v1 import livequery_pb2 as pb
from patience import patiently
from scripted_tier import Refusal, enter, reset
from waiting import until

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
ROUTE = bytes(range(256))


@pytest.fixture
async def one(replica, bridge_to):
    """A replica whose messages the test writes, and a backend connected to it."""
    tier = await replica(started=False)
    _, backend = bridge_to(tier)
    return tier, backend


async def begin(backend, tier, identity=NOBODY, **started):
    opening = asyncio.create_task(backend.subscribe(QUERY, identity))
    call = await tier.next_call()
    call.start(**started)
    return await opening, call


async def ended(call):
    """The tier sees the call end within a second."""
    async with patiently(1):
        await call.over.wait()


async def test_the_request_and_the_messages_of_a_call(one):
    tier, backend = one
    sub, call = await begin(backend, tier, Identity((("authorization", "Bearer x"), ("x-a", "1"))))
    assert sub.id == call.id
    assert sub.effective is None
    assert sub.heartbeat == 0
    assert call.request.query == pb.LiveQuery(
        entity="flights", sort=[pb.SortKey(column="est_dep")], limit=3, mode=pb.MODE_MAINTAINED
    )
    assert call.request.request_id
    assert call.request.max_batch_deltas == 1000
    assert call.request.heartbeat_interval.seconds == 15
    assert call.metadata["authorization"] == "Bearer x"
    assert call.metadata["x-a"] == "1"
    assert call.metadata["user-agent"].startswith("livequery-bridge")
    call.send(reset(), enter("a", 0), complete=True)
    batch = await read(sub)
    assert [delta.agg_id for delta in batch.deltas] == ["", "a"]
    assert batch.snapshot_complete
    call.out.put_nowait(pb.SubscribeResponse())
    call.out.put_nowait(pb.SubscribeResponse(heartbeat=pb.Heartbeat(epoch=1, last_seq=2)))
    assert await read(sub) == Heartbeat(1, 2)
    call.end()
    assert await read(sub) is None
    sub.close()


async def test_the_tiers_limit_and_heartbeat_are_known(one):
    tier, backend = one
    started = pb.Started(effective_query=pb.LiveQuery(limit=2))
    started.heartbeat_interval.FromMilliseconds(1500)
    sub, _ = await begin(
        backend,
        tier,
        effective_query=started.effective_query,
        heartbeat_interval=started.heartbeat_interval,
    )
    assert sub.effective == replace(QUERY, limit=2)
    assert sub.heartbeat == 1.5
    sub.close()


async def test_a_resume_position_is_offered_and_its_answer_known(one):
    tier, backend = one
    sub, call = await begin(backend, tier, route=ROUTE)
    assert (sub.route, sub.resumed) == (ROUTE, False)
    assert not call.request.HasField("resume")
    sub.close()
    offer = ResumeOffer(sub.id, sub.route, CallPosition(3, 2**64 - 1, "7-0"))
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY, again=True, resume=offer))
    call = await tier.next_call()
    assert call.request.resume == pb.ResumePosition(
        subscription_id=sub.id, epoch=3, seq=2**64 - 1, stream_id="7-0", route=ROUTE
    )
    assert "livequery-route" not in call.metadata, "whoever has it may be gone: any replica will do"
    call.start(subscription_id=sub.id, resumed=True)
    again = await opening
    assert (again.id, again.resumed, again.route) == (sub.id, True, b"")
    again.close()


async def test_a_second_replica_is_offered_the_same_position_under_another_request_id(
    replica, bridge_to
):
    tiers = [await replica(started=False), await replica(started=False)]
    _, backend = bridge_to(*tiers)
    offer = ResumeOffer("sub-9", b"", CallPosition(1, 4, ""))
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY, resume=offer))
    asked = []
    for _ in range(2):
        waits = [asyncio.create_task(tier.next_call()) for tier in tiers]
        done, late = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in late:
            wait.cancel()
        call = done.pop().result()
        asked.append(call.request)
        if len(asked) == 1:
            call.fail(UNAVAILABLE)
    call.start()
    sub = await opening
    assert asked[0].resume == asked[1].resume
    assert asked[0].request_id != asked[1].request_id
    assert not sub.resumed
    sub.close()


# ------------------------------------------------------------------ the call always ends


async def test_cancelling_during_the_open_ends_the_call(one, bridge_to):
    tier, backend = one
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    call = await tier.next_call()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await ended(call)


async def test_closing_ends_the_call_and_is_idempotent(one):
    tier, backend = one
    sub, call = await begin(backend, tier)
    sub.close()
    await ended(call)
    sub.close()


async def test_cancelling_a_read_ends_the_call(one):
    tier, backend = one
    sub, call = await begin(backend, tier)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await read(sub)
    sub.close()
    await ended(call)


UNREADABLE = [
    pb.SubscribeResponse(batch=pb.DeltaBatch()),
    pb.SubscribeResponse(heartbeat=pb.Heartbeat()),
    pb.SubscribeResponse(),
]


@pytest.mark.parametrize("first", UNREADABLE, ids=["batch", "heartbeat", "nothing"])
async def test_a_first_message_that_is_not_started_is_broken_and_ends_the_call(one, first):
    tier, backend = one
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    call = await tier.next_call()
    call.out.put_nowait(first)
    with pytest.raises(Failed) as failed:
        await opening
    assert failed.value.kind is Kind.BROKEN
    await ended(call)


async def test_a_stream_that_ends_before_it_begins_is_unavailable(one):
    tier, backend = one
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    (await tier.next_call()).end()
    with pytest.raises(Failed) as failed:
        await opening
    assert failed.value.kind is Kind.UNAVAILABLE


async def test_a_refusal_keeps_its_kind_and_field(one):
    tier, backend = one
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    call = await tier.next_call()
    call.fail(grpc.StatusCode.INVALID_ARGUMENT, field="where[0].column", reason="UNKNOWN_COLUMN")
    with pytest.raises(Failed) as failed:
        await opening
    assert failed.value.kind is Kind.BAD_QUERY
    assert failed.value.field == "where[0].column"


async def test_a_row_of_5_mib_is_too_large_and_the_next_call_works(one):
    tier, backend = one
    sub, call = await begin(backend, tier)
    call.send(reset(), enter("a", 0, row=b'"' + b"x" * 5 * 1024 * 1024 + b'"'), complete=True)
    with pytest.raises(Failed) as failed:
        await read(sub)
    assert failed.value.kind is Kind.TOO_LARGE
    sub.close()
    await ended(call)
    sub, _ = await begin(backend, tier)
    sub.close()


async def test_a_request_beyond_4_mib_is_too_large_before_it_is_sent(one):
    tier, backend = one
    with pytest.raises(Failed) as failed:
        await backend.subscribe(replace(QUERY, entity="x" * 5_000_000), NOBODY)
    assert failed.value.kind is Kind.TOO_LARGE
    assert tier.opened == 0


async def test_a_channel_closed_under_a_reader_is_a_lost_call_and_no_cancellation(one, bridge_to):
    tier, _ = one
    endpoints, backend = bridge_to(tier)
    sub, call = await begin(backend, tier)
    reading = asyncio.create_task(read(sub))
    await asyncio.sleep(0)
    await endpoints.close()
    with pytest.raises(Failed) as failed:
        await reading
    assert failed.value.kind is Kind.UNAVAILABLE
    sub.close()
    await ended(call)


# ------------------------------------------------------------------ reanchor


async def test_reanchor_carries_route_query_and_anchor(one):
    tier, backend = one
    seen = []
    tier.reanchored = lambda call, request: seen.append((call, request))
    sub, call = await begin(backend, tier, Identity((("authorization", "Bearer x"),)), route=ROUTE)
    to = replace(QUERY, cursor=("05:10", "id-3"))
    assert await sub.reanchor(to, QUERY, "req-1") is None
    ((owner, request),) = seen
    assert owner is call
    assert request.route == ROUTE
    assert request.query == call.request.query
    assert request.cursor == pb.Cursor(
        values=[pb.Value(string_value="05:10"), pb.Value(string_value="id-3")]
    )
    assert request.limit == 0
    assert request.request_id == "req-1"
    sub.close()


async def test_a_reanchor_sends_the_route_as_base64url_metadata_and_the_clients_metadata(one):
    tier, backend = one
    tier.reanchored = lambda *_: pb.ReanchorResponse(effective_query=pb.LiveQuery(limit=2))
    sub, _ = await begin(backend, tier, Identity((("authorization", "Bearer x"),)), route=ROUTE)
    answer = await sub.reanchor(replace(QUERY, limit=9), QUERY, "req-1")
    assert answer == replace(QUERY, limit=2)
    assert tier.reanchors[0].limit == 9
    seen = tier.reanchor_metadata
    assert seen["authorization"] == "Bearer x"
    text = seen["livequery-route"]
    assert "=" not in text
    assert set(text) & set("-_")
    assert base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) == ROUTE
    sub.close()


async def test_reanchor_is_tried_three_times_under_one_request_id_when_out_of_reach(one):
    tier, backend = one
    answers = [Refusal(UNAVAILABLE), Refusal(UNAVAILABLE), pb.ReanchorResponse()]
    tier.reanchored = lambda *_: answers.pop(0)
    sub, _ = await begin(backend, tier)
    assert await sub.reanchor(QUERY, QUERY, "req-1") is None
    assert [request.request_id for request in tier.reanchors] == ["req-1"] * 3
    tier.reanchored = lambda *_: Refusal(UNAVAILABLE)
    with pytest.raises(Failed) as failed:
        await sub.reanchor(QUERY, QUERY, "req-2")
    assert failed.value.kind is Kind.UNAVAILABLE
    assert len(tier.reanchors) == 6
    sub.close()


@pytest.mark.parametrize("code", ["NOT_FOUND", "UNIMPLEMENTED", "INTERNAL", "ABORTED"])
async def test_a_refused_reanchor_is_not_tried_again(one, code):
    tier, backend = one
    tier.reanchored = lambda *_: Refusal(grpc.StatusCode[code])
    sub, _ = await begin(backend, tier)
    with pytest.raises(Failed) as failed:
        await sub.reanchor(QUERY, QUERY, "req-1")
    assert failed.value.code == code
    assert len(tier.reanchors) == 1
    sub.close()


async def test_cancelling_a_reanchor_ends_its_call_and_not_the_stream(one):
    tier, backend = one
    over = asyncio.Event()

    async def never():
        try:
            await asyncio.Event().wait()
        finally:
            over.set()

    tier.reanchored = lambda *_: never()
    sub, call = await begin(backend, tier)
    asking = asyncio.create_task(sub.reanchor(QUERY, QUERY, "req-1"))
    await until(lambda: tier.reanchors)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with patiently(1):
        await over.wait()
    call.send(reset(), complete=True)
    assert (await read(sub)).snapshot_complete
    sub.close()
