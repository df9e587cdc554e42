import itertools

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delta import NAMES, RESET, LiveDelta, Op, groups
from core_makers import enter


def test_ops_are_the_numbers_and_names_of_the_schema():
    assert [NAMES[op] for op in Op] == ["delta", *(op.name.lower() for op in Op if op)]
    assert list(Op) == list(range(8))


def test_a_bare_delta_has_the_zero_values_of_the_schema():
    assert LiveDelta(op=5, agg_id="", version=0, row=b"", old_index=0, new_index=0) == RESET
    assert (RESET.cursor, RESET.stream_id, RESET.at) == (None, "", 0.0)


@given(st.lists(st.sampled_from(["", "1-0", "1-1"])))
def test_groups_are_the_runs_of_equal_stream_ids_in_order(stream_ids):
    deltas = [enter(str(i), i, stream_id) for i, stream_id in enumerate(stream_ids)]
    split = list(groups(deltas))
    assert [delta for _, run in split for delta in run] == deltas
    assert all({delta.stream_id for delta in run} == {stream_id} for stream_id, run in split)
    assert all(one != other for (one, _), (other, _) in itertools.pairwise(split))
