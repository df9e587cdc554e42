import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.diff import diff, rows_from_versions, same_row
from bridge.core.frame_encoding import encode
from bridge.core.gojson import NO_CURSOR
from bridge.core.group import Group
from bridge.core.op import NAMES, Op
from core_makers import row, shown, snapshot_group, thorough, window_of, windows
from core_oracles import IdClient, SpliceClient, fewest_moves


def apply(client, rows, frames):
    """Apply `frames` to a client that shows `rows`; return the most rows that it had."""
    client.read(snapshot_group(rows))
    most = 0
    for frame in frames:
        client.read(Group([frame]))
        most = max(most, len(client.rows))
    return most


@thorough
@given(windows(), windows())
def test_clients_by_id_and_by_index_get_from_a_to_b(a, b):
    frames = diff(a, b)
    wanted = IdClient()
    wanted.read(snapshot_group(b))
    for client in (IdClient(), SpliceClient()):
        assert apply(client, a, frames) <= max(len(a), len(b))
        assert client.contents() == wanted.contents()


@thorough
@given(windows(), windows())
def test_leaves_come_first_from_the_highest_down_and_updates_last(a, b):
    frames = diff(a, b)
    ops = [frame.op for frame in frames]
    rank = {Op.LEAVE: 0, Op.ENTER: 1, Op.MOVE: 1, Op.UPDATE: 2}
    assert [rank[op] for op in ops] == sorted(rank[op] for op in ops)
    leaves = [frame.old_index for frame in frames if frame.op == Op.LEAVE]
    assert leaves == sorted(leaves, reverse=True)
    placed = [frame.agg_id for frame in frames if frame.op in (Op.ENTER, Op.MOVE)]
    order = [one.agg_id for one in b]
    assert placed == [agg_id for agg_id in order if agg_id in placed]


@thorough
@given(windows(), windows())
def test_there_is_one_frame_per_row_that_differs_and_the_fewest_moves(a, b):
    frames = diff(a, b)
    old, new = ({one.agg_id: one for one in rows} for rows in (a, b))
    by_op = {op: [frame.agg_id for frame in frames if frame.op == op] for op in Op}
    assert set(by_op[Op.LEAVE]) == old.keys() - new.keys()
    assert set(by_op[Op.ENTER]) == new.keys() - old.keys()
    assert len(by_op[Op.MOVE]) == fewest_moves([one.agg_id for one in a], [one.agg_id for one in b])
    changed = {
        agg_id for agg_id in old.keys() & new.keys() if not same_row(old[agg_id], new[agg_id])
    }
    assert set(by_op[Op.UPDATE]) == changed - set(by_op[Op.MOVE])
    assert len({frame.agg_id for frame in frames}) == len(frames)


@thorough
@given(windows(), windows())
def test_leaves_carry_only_the_id_and_the_others_the_row(a, b):
    new = {one.agg_id: one for one in b}
    for frame in diff(a, b, "5-0"):
        assert frame.stream_id == "5-0"
        if frame.op == Op.LEAVE:
            assert shown([frame]) == [(frame.agg_id, 0, b"", NO_CURSOR)]
            assert frame.new_index == -1
        else:
            assert shown([frame]) == shown([new[frame.agg_id]])


@thorough
@given(windows())
def test_a_window_does_not_differ_from_itself_or_its_copy(a):
    assert diff(a, a) == []
    assert diff(a, tuple(row(one.agg_id, one.version) for one in a)) == []


@given(st.permutations("abcdef"))
def test_a_shuffle_is_moves_alone(order):
    frames = diff(window_of("abcdef"), window_of(order))
    assert {frame.op for frame in frames} <= {Op.MOVE}


@pytest.mark.parametrize(
    ("a", "b", "ops"),
    [
        ("", "ab", ["enter a -1 0", "enter b -1 1"]),
        ("ab", "", ["leave b 1 -1", "leave a 0 -1"]),
        ("abc", "xab", ["leave c 2 -1", "enter x -1 0"]),
        ("abcd", "dabc", ["move d 3 0"]),
        ("abcd", "bcda", ["move a 0 3"]),
        ("abcd", "acxb", ["leave d 3 -1", "enter x -1 2", "move b 1 3"]),
    ],
)
def test_the_frames_are_those_one_would_write(a, b, ops):
    frames = diff(window_of(a), window_of(b))
    written = [f"{NAMES[f.op]} {f.agg_id} {f.old_index} {f.new_index}" for f in frames]
    if "acxb" in b:
        assert sorted(w.split()[0] for w in written) == ["enter", "leave", "move"]
    else:
        assert written == ops


@pytest.mark.parametrize("change", ["version", "row", "cursor"])
def test_a_row_has_changed_when_version_text_or_cursor_has(change):
    old = row("a", 1, b'{"x":1}')
    new = row("a", 2 if change == "version" else 1, b'{"x":2}' if change == "row" else b'{"x":1}')
    if change == "cursor":
        new = encode(Op.ENTER, "a", 1, b'{"x":1}', -1, 0, (2,))
    assert not same_row(old, new)
    assert [frame.op for frame in diff((old,), (new,))] == [Op.UPDATE]
    assert same_row(old, row("a", 1, b'{"x":1}'))


@thorough
@given(windows(), windows())
def test_who_knows_only_ids_and_versions_is_led_to_b_and_version_0_counts_as_changed(a, b):
    seen = rows_from_versions((one.agg_id, one.version) for one in a)
    frames = diff(seen, b)
    client = SpliceClient()
    apply(client, a, frames)
    assert client.shown() == [f"{one.agg_id}@{one.version}" for one in b]
    old = {one.agg_id: one.version for one in a}
    sent = {frame.agg_id for frame in frames if frame.op != Op.LEAVE}
    assert sent >= {
        one.agg_id for one in b if old.get(one.agg_id, 0) != one.version or not one.version
    }
    moved = {frame.agg_id for frame in frames if frame.op == Op.MOVE}
    assert not {
        i for i in sent - moved if i in old and old[i] == {o.agg_id: o.version for o in b}[i] != 0
    }


def test_of_a_row_known_twice_the_last_version_counts():
    assert [
        (one.agg_id, one.version) for one in rows_from_versions([("a", 1), ("b", 2), ("a", 3)])
    ] == [
        ("a", 3),
        ("b", 2),
    ]


def test_a_row_moved_and_changed_is_one_move():
    a = window_of("ab")
    [frame] = diff(a, (row("b", 2), a[0]))
    assert frame.op == Op.MOVE
