import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.group_splitter import split_groups
from bridge.core.native_batch import NativeBatch
from bridge.core.struct_batch import StructBatch
from core_makers import batch_members, enter

BATCHES = [
    {},
    {"deltas": (enter("a", 0),), "epoch": 2**64 - 1, "first_seq": 7, "snapshot_complete": True},
    {"bare": True, "reanchor": False, "request_id": "r"},
]


@pytest.mark.parametrize("members", BATCHES)
def test_a_batch_of_either_build_is_the_same_to_its_users(members):
    one, other = StructBatch(**members), NativeBatch(**members)
    assert batch_members(one) == batch_members(other)
    for kind in (StructBatch, NativeBatch):
        assert batch_members(kind(*batch_members(one).values())) == batch_members(one)
    assert one != StructBatch(**members), "by identity"
    assert other != NativeBatch(**members), "by identity"


@given(st.lists(st.sampled_from(["", "1-0", "1-1"])))
def test_groups_are_the_runs_of_equal_stream_ids_in_order(stream_ids):
    deltas = tuple(enter(str(i), i, stream_id) for i, stream_id in enumerate(stream_ids))
    split = split_groups(deltas)
    assert tuple(delta for run in split for delta in run.frames) == deltas
    assert all({delta.stream_id for delta in run.frames} == {run.stream_id} for run in split)
    assert all(one.stream_id != other.stream_id for one, other in itertools.pairwise(split))


def test_a_frame_that_is_alone_is_its_own_group():
    alone, *others = deltas = enter("a", 0, "1-0"), enter("b", 1, "2-0"), enter("c", 2, "2-0")
    first, second = split_groups(deltas)
    assert first is alone
    assert second.frames == tuple(others)
    assert split_groups((alone,)) == [alone]
