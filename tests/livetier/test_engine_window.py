from hypothesis import given
from hypothesis import strategies as st

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.window import Row, edit_script, membership
from reducer import ENTER, LEAVE, MOVE, UPDATE, splice

# A table: id -> (sort key, whether the filter lets it through, other content, version).
IDS = st.sampled_from("abcdefghij")
RECORD = st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 2))
TABLE = st.dictionaries(IDS, RECORD)
CHANGE = st.one_of(st.none(), RECORD)
LIMIT = st.integers(1, 6)
ANCHOR = st.one_of(st.none(), st.tuples(st.integers(0, 3), IDS))


def row(key, record, version):
    return Row(version, repr(record).encode(), (record[0], key))


def everything(table, versions, anchor):
    """Return all rows that match, in order."""
    rows = [row(key, record, versions[key]) for key, record in table.items() if record[1]]
    rows.sort(key=lambda each: each.order)
    return [each for each in rows if anchor is None or each.order > anchor]


def step(table, changes, limit, anchor):
    """Return (old window, new window, hidden, all rows before, all rows after)."""
    versions = dict.fromkeys("abcdefghij", 1)
    before = everything(table, versions, anchor)
    after_table = dict(table)
    for key, record in changes.items():
        versions[key] = 2
        after_table.pop(key, None)
        if record is not None:
            after_table[key] = record
    after = everything(after_table, versions, anchor)
    old, new = tuple(before[:limit]), tuple(after[:limit])
    # A row before the anchor is hidden as well: it matches, and is out of view.
    matching = {each.key: each for each in everything(after_table, versions, None)}
    shown = {each.key for each in new}
    hidden = {
        each.key: matching[each.key]
        for each in old
        if each.key in matching and each.key not in shown
    }
    return old, new, hidden


@given(TABLE, st.dictionaries(IDS, CHANGE), LIMIT, ANCHOR)
def test_a_script_leads_from_the_old_window_to_the_new_one(table, changes, limit, anchor):
    old, new, hidden = step(table, changes, limit, anchor)
    found = edit_script(old, new, limit, hidden)
    assert splice(found, old, limit) == new
    assert (found == []) == (old == new)


@given(TABLE, IDS, CHANGE, LIMIT, ANCHOR)
def test_a_change_of_one_row_has_the_form_of_its_line_in_the_table(
    table, key, record, limit, anchor
):
    old, new, hidden = step(table, {key: record}, limit, anchor)
    found = [
        (change.op, change.key, change.old_index, change.new_index)
        for change in edit_script(old, new, limit, hidden)
    ]
    was = next((place for place, each in enumerate(old) if each.key == key), -1)
    now = next((place for place, each in enumerate(new) if each.key == key), -1)
    if was < 0 and now < 0:
        expected = []
    elif was < 0:
        expected = [(ENTER, key, -1, now)]
        if len(old) == limit:
            expected.append((LEAVE, old[-1].key, limit, -1))
    elif now < 0:
        expected = [(LEAVE, key, was, -1)]
        if len(new) == limit:
            expected.append((ENTER, new[-1].key, -1, limit - 1))
    elif old[was].order == new[now].order:
        expected = [(UPDATE, key, was, was)]
    else:
        expected = [(MOVE, key, was, now)]
    assert found == expected


@given(TABLE, IDS, CHANGE, LIMIT)
def test_a_leave_shows_the_row_as_it_is_or_was(table, key, record, limit):
    old, new, hidden = step(table, {key: record}, limit, None)
    for change in edit_script(old, new, limit, hidden):
        assert change.version == change.row.version
        if change.op == LEAVE and change.key == key:
            moved_out_of_view = record is not None and record[1]
            assert change.version == (2 if moved_out_of_view else 1)


def test_a_transaction_that_replaces_the_whole_window_stays_within_one_row_over():
    old = tuple(Row(1, b"{}", (place, f"old{place}")) for place in range(50))
    new = tuple(Row(2, b"{}", (-place, f"new{place}")) for place in range(50, 0, -1))
    found = edit_script(old, new, 50, {each.key: each for each in old})
    assert splice(found, old, 50) == new
    assert [change.op for change in found[:4]] == [ENTER, LEAVE, ENTER, LEAVE]


def test_a_row_without_change_in_a_window_that_shrank_leaves():
    rows = tuple(Row(1, b"{}", (place, str(place))) for place in range(5))
    found = edit_script(rows, rows[:3], 3, {each.key: each for each in rows[3:]})
    assert [(change.op, change.old_index) for change in found] == [(LEAVE, 4), (LEAVE, 3)]


def test_streamed_membership_is_told_by_match_update_and_unmatch():
    present = {"b": Row(8, b"{}", ("b",)), "c": Row(9, b"{}", ("c",)), "d": Row(4, b"{}", ("d",))}
    changed = {"a": 7, "b": 8, "c": 9, "d": 4, "x": 5}
    found = membership({"a": 1, "b": 1, "d": 4}, present, changed)
    assert [(change.op, change.key, change.version) for change in found] == [
        (pb.DELTA_OP_UNMATCH, "a", 7),
        (pb.DELTA_OP_UPDATE, "b", 8),
        (pb.DELTA_OP_MATCH, "c", 9),
    ]
