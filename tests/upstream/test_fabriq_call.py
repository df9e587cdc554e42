"""One LiveQuery call: what it hands over, in which order, and that every way out of it cancels."""

import asyncio
import contextlib

import pytest
from upstream_tier import NOBODY, QUERY

from bridge.config.loader import resolve
from bridge.core.address import parse_address
from bridge.core.errors import Failed, Kind
from bridge.factories import backend as backend_of
from bridge.factories import endpoints
from bridge.upstream.call_opener import CallOpener
from bridge.upstream.endpoints import Endpoints
from bridge.upstream.fabriq import group_linger
from bridge.upstream.fabriq.backend import FabriqBackend
from bridge.upstream.fabriq.fabriq_call import MAX_REANCHORS
from fabriq_tier import LEAVE, UPDATE, FabriqTier
from patience import patiently
from waiting import until


@pytest.fixture
async def tier():
    tier = await FabriqTier().start()
    yield tier
    await tier.stop()


@pytest.fixture
async def backend(tier):
    replicas = Endpoints([parse_address(tier.address)])
    yield FabriqBackend(CallOpener(replicas))
    await replicas.close()


@pytest.fixture
async def begun(tier, backend):
    """A call with rows a, b: (its side of the bridge, the tier's, what it hands over)."""
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    call = await tier.next_call()
    call.snapshot("a", "b")
    sub = await opening
    taken = asyncio.Queue()
    following = asyncio.create_task(sub.follow(taken.put_nowait))
    await taken.get()
    yield sub, call, taken, following
    following.cancel()
    await asyncio.wait([following])
    sub.close()


def at(cursor):
    return QUERY.reanchored((cursor, "x"), 2)


async def test_deltas_are_handed_over_before_the_snapshot_that_came_after_them(begun, monkeypatch):
    monkeypatch.setattr(group_linger, "LINGER", 60)  # not by time, however long they are under way
    sub, call, taken, _ = begun
    assert sub.id == "sub"
    asking = asyncio.create_task(sub.reanchor(at(1), QUERY, "r1"))
    await call.reanchored()
    call.delta(UPDATE, "a", 0, 0, stream_id="1-0")
    call.delta(LEAVE, "b", 1, -1, stream_id="1-0")
    call.snapshot("c")
    call.snapshot("d")
    group, answer, other = [await taken.get() for _ in range(3)]
    assert [frame.agg_id for frame in group.deltas] == ["a", "b"]
    assert (answer.reanchor, answer.request_id, answer.snapshot_complete) == (True, "r1", True)
    assert (other.reanchor, other.request_id) == (False, "")
    assert await asking is None


async def test_a_reanchor_that_nobody_waits_for_keeps_its_place_in_the_order(begun):
    sub, call, taken, _ = begun
    first = asyncio.create_task(sub.reanchor(at(1), QUERY, "r1"))
    await call.reanchored()
    first.cancel()
    await asyncio.wait([first])
    second = asyncio.create_task(sub.reanchor(at(2), QUERY, "r2"))
    await call.reanchored()
    call.error("internal", "no")
    call.snapshot("d")
    assert (await taken.get()).request_id == "r2"
    assert await second is None


async def test_reanchors_without_an_answer_are_bounded_and_fail_with_the_call(begun):
    sub, call, _, following = begun
    asking = [asyncio.create_task(sub.reanchor(at(n), QUERY, "r")) for n in range(MAX_REANCHORS)]
    await asyncio.sleep(0)
    with pytest.raises(Failed) as refused:
        await sub.reanchor(at(99), QUERY, "r")
    assert refused.value.kind is Kind.UNAVAILABLE
    call.end()
    await asyncio.wait([following])
    sub.close()
    for outcome in await asyncio.gather(*asking, return_exceptions=True):
        assert outcome.kind is Kind.UNAVAILABLE


async def test_a_group_before_the_end_is_handed_over_before_it(begun):
    _, call, taken, following = begun
    call.delta(UPDATE, "a", 0, 0)
    call.fail()
    with pytest.raises(Failed):
        await following
    assert [frame.agg_id for frame in taken.get_nowait().deltas] == ["a"]


async def test_what_the_reader_raises_a_moment_later_ends_the_call(tier, backend):
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    call = await tier.next_call()
    call.snapshot("a")
    sub = await opening

    def take(batch):
        if not batch.snapshot_complete:
            raise ValueError("the reader's own")

    following = asyncio.create_task(sub.follow(take))
    await asyncio.sleep(0)
    call.delta(UPDATE, "a", 0, 0)
    with pytest.raises(ValueError, match="own"):
        await following
    sub.close()
    async with patiently(5):
        await call.over.wait()


async def test_cancelling_an_open_leaves_nothing_open(tier, backend):
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    call = await tier.next_call()
    opening.cancel()
    async with patiently(5):
        await call.over.wait()


@pytest.mark.parametrize("frame", [b"\x12\x02{}", b"", b"\xff\xff"])
async def test_a_stream_that_does_not_begin_with_a_snapshot_is_broken(tier, backend, frame):
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    (await tier.next_call()).raw(frame)
    with pytest.raises(Failed) as told:
        await opening
    assert told.value.kind is Kind.BROKEN


async def test_a_slow_snapshot_is_no_reason_to_ask_another_replica_or_to_suspect_this_one(
    monkeypatch,
):
    """The snapshot is the first word, and the database reads meanwhile."""
    monkeypatch.setattr("bridge.upstream.call_opener.ANSWER_TIMEOUT", 0.05)
    async with contextlib.AsyncExitStack() as stack:
        tiers = []
        for _ in range(2):
            tiers.append(await FabriqTier().start())
            stack.push_async_callback(tiers[-1].stop)
        config, _ = resolve(
            {"upstream": ",".join(t.address for t in tiers), "upstream_protocol": "fabriq.v1"},
            {},
            None,
        )
        replicas = endpoints(config)
        stack.push_async_callback(replicas.close)
        fabriq = backend_of(config, replicas)
        opening = asyncio.create_task(fabriq.subscribe(QUERY, NOBODY))
        await until(lambda: any(tier.opened for tier in tiers))
        await asyncio.wait([opening], timeout=0.3)
        assert sum(tier.opened for tier in tiers) == 1
        asked = next(tier for tier in tiers if tier.opened)
        (await asked.next_call()).snapshot("a")
        (await opening).close()
        leaving = asyncio.create_task(fabriq.subscribe(QUERY, NOBODY))
        await asyncio.wait([leaving], timeout=0.3)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert {each.state for each in replicas.snapshot()} == {"ready"}
