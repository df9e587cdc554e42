"""A window from the one before and the changed rows, compared with a whole reading."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livetier.engine.merge import Known, merge
from livetier.engine.window import Row


def row(key, place):
    return Row(1, b"", (place, key))


def order(each):
    return each.order


def first(table, most):
    rows = sorted((row(key, place) for key, place in table.items()), key=order)
    return Known(tuple(rows[:most]), complete=len(rows) < most)


tables = st.dictionaries(st.integers(0, 12), st.integers(0, 5))
changes = st.dictionaries(st.integers(0, 12), st.none() | st.integers(0, 5), max_size=5)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(tables, st.lists(changes, max_size=8), st.integers(1, 5), st.integers(0, 3))
def test_what_is_merged_is_what_a_reading_would_find(table, commits, needed, reserve):
    kept = needed + reserve
    known = first(table, kept)
    for commit in commits:
        for key, place in commit.items():
            if place is None:
                table.pop(key, None)
            else:
                table[key] = place
        present = [row(key, table[key]) for key in commit if key in table]
        merged = merge(known, commit, present, order, needed=needed, kept=kept)
        whole = first(table, kept)
        if merged is None:
            known = whole
            continue
        known = merged.known
        assert known.rows[:needed] == whole.rows[:needed]
        assert known.rows == whole.rows[: len(known.rows)]  # maybe fewer after the window
        if known.complete:
            assert len(known.rows) == len(table)
        for key, hidden in merged.hidden.items():
            assert hidden.order == (table[key], key)
            assert hidden not in known.rows
