import itertools

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.batch import groups
from core_makers import enter


@given(st.lists(st.sampled_from(["", "1-0", "1-1"])))
def test_groups_are_the_runs_of_equal_stream_ids_in_order(stream_ids):
    deltas = tuple(enter(str(i), i, stream_id) for i, stream_id in enumerate(stream_ids))
    split = list(groups(deltas))
    assert tuple(delta for run in split for delta in run) == deltas
    assert all(len({delta.stream_id for delta in run}) == 1 for run in split)
    assert all(one[0].stream_id != other[0].stream_id for one, other in itertools.pairwise(split))
