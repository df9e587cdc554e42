"""Deltas of one change come out as one group, in their order, a moment later."""

import asyncio

import pytest

from bridge.core.frame_encoding import encode
from bridge.core.op import Op
from bridge.upstream.fabriq.group_linger import LINGER, MAX_GROUP, GroupLinger
from virtual_loop import virtually


class Groups:
    """What was handed over: (time since the start, ids)."""

    def __init__(self, error=None):
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.seen, self.errors = [], []
        self.error = error
        self.linger = GroupLinger(self.take, self.errors.append)

    def take(self, batch):
        if self.error is not None:
            raise self.error
        ids = "".join(frame.agg_id for frame in batch.deltas)
        self.seen.append((round(self.loop.time() - self.began, 6), ids))

    def add(self, agg_id, stream_id):
        self.linger.add(encode(Op.LEAVE, agg_id, stream_id=stream_id))


@virtually
async def test_a_group_is_handed_over_a_moment_after_its_last_delta():
    groups = Groups()
    groups.add("a", "1-0")
    await asyncio.sleep(LINGER * 0.8)
    groups.add("b", "1-0")
    await asyncio.sleep(1)
    assert groups.seen == [(round(LINGER * 1.8, 6), "ab")]


@virtually
async def test_another_change_ends_a_group_at_once():
    groups = Groups()
    for agg_id, stream_id in ("a1", "b1", "c2", "d3", "e3", "f4"):
        groups.add(agg_id, stream_id)
    assert groups.seen == [(0, "ab"), (0, "c"), (0, "de")]
    await asyncio.sleep(1)
    assert groups.seen[3:] == [(LINGER, "f")]


@virtually
async def test_deltas_without_a_stream_id_are_a_group_by_time_alone():
    groups = Groups()
    groups.add("a", "")
    groups.add("b", "")
    await asyncio.sleep(LINGER * 2)
    groups.add("c", "")
    await asyncio.sleep(1)
    assert [ids for _, ids in groups.seen] == ["ab", "c"]


@virtually
async def test_a_group_without_end_is_handed_over_in_pieces():
    groups = Groups()
    for _ in range(MAX_GROUP + 1):
        groups.add("a", "1-0")
    assert groups.seen == [(0, "a" * MAX_GROUP)]
    groups.linger.stop()


@virtually
async def test_nothing_is_handed_over_after_the_stop():
    groups = Groups()
    groups.add("a", "1-0")
    groups.linger.stop()
    groups.linger.stop()
    await asyncio.sleep(1)
    assert groups.seen == []


@virtually
async def test_an_error_by_time_is_told_and_one_by_a_delta_is_raised():
    error = ValueError("no")
    groups = Groups(error)
    groups.add("a", "1-0")
    await asyncio.sleep(1)
    assert groups.errors == [error]
    groups.add("a", "1-0")
    with pytest.raises(ValueError, match="no"):
        groups.add("b", "2-0")
    groups.linger.stop()
