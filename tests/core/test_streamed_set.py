import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.apply_result import ApplyResult
from bridge.core.frame_encoding import RESET
from bridge.core.group import Group
from bridge.core.op import Op
from bridge.core.streamed_set import StreamedSet
from core_makers import IDS, frame, group, shown, snapshot_group, thorough, wild_frames, window_of


@thorough
@given(st.lists(st.lists(wild_frames(), min_size=1, max_size=4), max_size=6))
def test_streamed_members_are_what_the_reducer_makes_of_all_that_is_not_stale(groups):
    members, known = StreamedSet(), {}
    for frames in groups:
        kept = []
        for one in frames:
            held = known.get(one.agg_id)
            if one.op in (Op.ENTER, Op.MOVE, Op.UPDATE, Op.MATCH):
                if held is not None and one.version and one.version < held.version:
                    continue
                if held is not None or one.op != Op.UPDATE:
                    known[one.agg_id] = one
            elif one.op in (Op.LEAVE, Op.UNMATCH):
                known.pop(one.agg_id, None)
            elif one.op == Op.RESET:
                known.clear()
            kept.append(one)
        applied = members.apply(Group(tuple(frames), "7-0"))
        assert set(members.snapshot()) == set(known.values())
        assert len(members) == len(known)
        assert list(applied.group.frames if applied.group else ()) == kept
        assert applied.repairs == ("stale_version",) * (len(frames) - len(kept))


@pytest.mark.parametrize("op", [Op.UPDATE, Op.UNMATCH, Op.LEAVE, 9])
def test_what_concerns_a_member_never_sent_passes_through(op):
    members, sent = StreamedSet(window_of("ab")), group(frame(op, "z", 0, 0, 1))
    assert members.apply(sent) == ApplyResult(sent)
    assert sorted(r.agg_id for r in members.snapshot()) == ["a", "b"]


def test_a_streamed_set_has_no_order_and_no_limit():
    members = StreamedSet()
    members.reduce([RESET, *(frame(Op.MATCH, str(i), 0, 0) for i in range(5000))])
    assert len(members) == 5000


def test_a_streamed_set_beyond_its_maximum_keeps_nothing_and_lets_all_pass():
    members = StreamedSet(window_of("ab"), max_members=3)
    for agg_id in "cd":
        assert not members.full
        members.apply(group(frame(Op.MATCH, agg_id, 0, 0, 5)))
    assert (members.full, members.snapshot(), len(members)) == (True, (), 0)
    stale = group(frame(Op.UPDATE, "c", 0, 0, 1))
    assert members.apply(stale) == ApplyResult(stale)


def test_a_snapshot_applied_twice_is_the_same_set():
    members = StreamedSet(window_of(IDS))
    members.reduce(snapshot_group(window_of(IDS)).frames)
    assert shown(members.snapshot()) == shown(window_of(IDS))


def test_a_snapshot_beyond_the_maximum_is_whole_and_the_next_change_fills_the_set():
    members = StreamedSet(max_members=3)
    members.reduce([RESET, *(frame(Op.ENTER, agg_id, 0, 0) for agg_id in "abcde")])
    assert [row.agg_id for row in members.snapshot()] == list("abcde")
    members.apply(group(frame(Op.MATCH, "f", 0, 0)))
    assert members.full
