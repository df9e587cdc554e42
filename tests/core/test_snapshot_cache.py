import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.group import Group
from bridge.core.op import Op
from bridge.core.snapshot_cache import SnapshotCache
from bridge.core.window import Window
from core_makers import (
    enter,
    frame,
    members_of,
    quick,
    row,
    shown,
    snapshot_group,
    wild_frames,
    window_of,
    windows,
)


def fields(group):
    return list(map(members_of, group.frames))


@quick
@given(st.lists(windows(), max_size=4), st.lists(wild_frames(), max_size=6))
def test_a_cached_snapshot_equals_a_fresh_one_whatever_came_before(earlier, changes):
    cache, window = SnapshotCache(), Window(5)
    for rows in earlier:
        window = Window(5, rows[:5])
        assert fields(cache.group(rows)) == fields(snapshot_group(rows))
    for change in changes:
        window.apply(Group((change,)))
        rows = window.snapshot()
        assert fields(cache.group(rows)) == fields(snapshot_group(rows))


def enters_after(before, after):
    cache = SnapshotCache()
    cache.group(before)
    _, *first = cache.group(before).frames
    _, *second = cache.group(after).frames
    return [one is other for one, other in zip(first, second, strict=False)]


def test_a_row_that_is_still_at_its_index_is_not_encoded_again():
    rows = window_of("abc")
    assert enters_after(rows, (rows[0], row("b", 2), rows[2])) == [True, False, True]
    assert enters_after(rows, (rows[1], rows[0], rows[2])) == [False, False, True]
    assert enters_after(rows, rows[:1]) == [True]


@pytest.mark.parametrize("text", [b"", b"1"])
def test_rows_without_ids_are_rows_all_the_same(text):
    rows = (row("", 0, text), row("", 0, text))
    cache = SnapshotCache()
    for _ in range(3):
        assert fields(cache.group(rows)) == fields(snapshot_group(rows))


def test_the_first_snapshot_is_not_kept():
    rows = (frame(Op.UPDATE, "a", 0, 0, 2, b"{}"), frame(Op.MOVE, "b", 0, 1, 2, b"{}"))
    cache = SnapshotCache()
    first, second = cache.group(rows), cache.group(rows)
    assert all(
        one is not other for one, other in zip(first.frames[1:], second.frames[1:], strict=True)
    )


def test_an_enter_that_is_still_at_its_index_is_used_as_it_came():
    came = (enter("a", 0), enter("b", 1), enter("c", 2, "1-0"), enter("d", 2))
    enters = SnapshotCache().group(came).frames[1:]
    assert [one is other for one, other in zip(enters, came, strict=True)] == [
        True, True, False, False,
    ]  # fmt: skip


@quick
@given(windows())
def test_a_snapshot_is_a_reset_and_enters_without_holes_or_stream_id(rows):
    first, *enters = snapshot_group(rows).frames
    assert first.data == b'{"op":"reset","old_index":0,"new_index":0,"cursor":{"values":null}}'
    assert [(e.op, e.old_index, e.new_index) for e in enters] == [
        (Op.ENTER, -1, i) for i in range(len(rows))
    ]
    assert shown(enters) == shown(rows)
    assert {e.stream_id for e in enters} <= {""}
