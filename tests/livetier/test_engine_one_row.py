"""Scripts of windows over one result, compared with those made from each window alone."""

from hypothesis import given, settings
from hypothesis import strategies as st

from livetier.engine.one_row import OneRow
from livetier.engine.window import Row, edit_script

places = st.dictionaries(st.integers(0, 5), st.integers(0, 4))


def result(table, versions):
    rows = [Row(versions.get(key, 1), b"%d" % place, (place, key)) for key, place in table.items()]
    return tuple(sorted(rows, key=lambda row: row.order))


@settings(max_examples=500)
@given(places, st.integers(0, 5), st.none() | st.integers(0, 4), st.integers(1, 5))
def test_each_window_over_a_result_gets_the_script_it_would_get_alone(table, key, place, most):
    after = {other: at for other, at in table.items() if other != key}
    if place is not None:
        after[key] = place
    # What is known of a result may end before the result does.
    old, new = result(table, {})[:most], result(after, {key: 2})
    hidden = {row.key: row for row in new[most:]}
    one = OneRow(old, new[:most], key, hidden)
    for limit in range(1, most + 1):
        present = {row.key: row for row in new}
        alone = edit_script(old[:limit], new[:limit], limit, present)
        assert list(one.script(limit)) == list(alone)
