import itertools

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.group_splitter import split_groups
from core_makers import enter


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
