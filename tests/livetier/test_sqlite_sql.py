"""The SELECTs against a brute-force model in Python of what literal.py and compile.py promise."""

import json
import math
import re
from decimal import Decimal
from functools import cmp_to_key

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.value import encode_scalar
from livetier.sqlite import sql
from livetier.sqlite.compile import compile_query
from livetier.sqlite.database import Database
from livetier.sqlite.literal import literal_of
from sqlite_support import window
from tier_client import any_of, leaf, query, value

COLUMNS = ("txt", "num", "rea", "any")
TEXT = st.text("aAbBéÉ%_*?[]5 ", max_size=4)
INTEGERS = st.one_of(
    st.integers(-3, 6),
    st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63 - 1, 2**60 + 1, 1152921504606847000]),
)
REALS = st.sampled_from([-1.5, 0.0, 0.1, 1.0, 2.5, 5.0, 1e300, 2.0**53, 2.0**60, 2.0**63])
STORED = st.one_of(st.none(), INTEGERS, REALS, TEXT)
DECIMALS = st.sampled_from(
    [b"0.10000000000000000001", b"0.1", b"5.0", b"1e400", b"-1e400", b"9007199254740993.5",
     b"9007199254740992.5", b"9223372036854775807.5", b"2.50", b"-0.00000000000000000000001"]
)  # fmt: skip
OPERAND = st.one_of(st.none(), st.booleans(), INTEGERS, REALS, TEXT, DECIMALS)
ROWS = st.lists(st.tuples(STORED, STORED, STORED, STORED), max_size=6)
PATTERN = st.text("aAbBéÉ%_*?[5", max_size=4)
LEAF = st.one_of(
    st.builds(
        leaf,
        st.sampled_from(COLUMNS),
        st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
        OPERAND,
    ),
    st.builds(
        leaf,
        st.sampled_from(COLUMNS),
        st.sampled_from(["in", "notin"]),
        st.lists(OPERAND, min_size=1, max_size=4),
    ),
    st.builds(leaf, st.sampled_from(["txt", "any"]), st.sampled_from(["like", "ilike"]), PATTERN),
    st.builds(leaf, st.sampled_from(COLUMNS), st.sampled_from(["isnull", "isnotnull"])),
)
CONDITION = st.recursive(LEAF, lambda inner: st.builds(any_of, inner, inner), max_leaves=4)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    database = Database(tmp_path_factory.mktemp("sql") / "sql.sqlite")
    database.connection.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, txt TEXT COLLATE NOCASE, num INTEGER, rea REAL, any)"
    )
    yield database
    database.close()


def fill(database, rows):
    """Store rows and return them as SQLite keeps them (columns have affinities)."""
    database.connection.execute("BEGIN")
    database.connection.execute("DELETE FROM t")
    database.connection.executemany("INSERT INTO t (txt, num, rea, any) VALUES (?, ?, ?, ?)", rows)
    database.connection.execute("COMMIT")
    cursor = database.connection.execute("SELECT id, txt, num, rea, any FROM t")
    return [dict(zip(("id", *COLUMNS), row, strict=True)) for row in cursor]


def ids(database, live_query):
    return [row.key for row in window(database, live_query)]


# -- the model


def meaning(operand):
    """Return an operand as a Python value that compares exactly: None, a number or text."""
    kind = operand.WhichOneof("kind")
    if kind == "null_value":
        return None
    if kind == "json_value":
        parsed = json.loads(operand.json_value, parse_float=Decimal, parse_int=Decimal)
        if not isinstance(parsed, Decimal):
            return int(parsed) if isinstance(parsed, bool) else parsed
        return parsed if math.isfinite(float(parsed)) else float(parsed)
    plain = getattr(operand, kind)
    return int(plain) if isinstance(plain, bool) else plain


def rank(plain):
    return 0 if plain is None else 2 if isinstance(plain, str) else 1


def compare(stored, operand, column="any"):
    """Return -1, 0 or 1: by class, then by value; a REAL column is read as it prints."""
    if rank(stored) != rank(operand):
        return -1 if rank(stored) < rank(operand) else 1
    if stored is None:
        return 0
    whole = isinstance(operand, int) and column == "rea"
    if (whole or isinstance(operand, Decimal)) and isinstance(stored, float):
        # A double means its shortest spelling; its exact value is accepted as well.
        if operand in (Decimal(repr(stored)), Decimal(stored)):
            return 0
        return -1 if Decimal(stored) < operand else 1
    return (stored > operand) - (stored < operand)


def like(text, pattern, *, fold):
    if fold:
        text, pattern = text.lower(), pattern.lower()
    parts = {"%": ".*", "_": "."}
    expression = "".join(parts.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def holds(row, condition):
    """Return True, False or None (unknown), as SQL does."""
    if condition.WhichOneof("kind") == "or_group":
        results = [holds(row, member) for member in condition.or_group.conditions]
        return True if True in results else None if None in results else False
    comparison = condition.comparison
    stored = row[comparison.column]
    name = pb.Operator.Name(comparison.operator).removeprefix("OPERATOR_")
    if name in ("IS_NULL", "IS_NOT_NULL"):
        return (stored is None) == (name == "IS_NULL")
    if name in ("IN", "NOT_IN"):
        operands = [meaning(member) for member in comparison.list.values]
        if stored is None:
            return None
        found = any(
            each is not None and compare(stored, each, comparison.column) == 0 for each in operands
        )
        if not found and None in operands:
            return None
        return found == (name == "IN")
    operand = meaning(comparison.value)
    if stored is None or operand is None:
        return None
    if name in ("LIKE", "ILIKE"):
        return isinstance(stored, str) and like(stored, operand, fold=name == "ILIKE")
    order = compare(stored, operand, comparison.column)
    if name == "NE":
        return order != 0
    if rank(stored) != rank(operand):
        return False
    return {
        "EQ": order == 0, "GT": order > 0, "GTE": order >= 0, "LT": order < 0, "LTE": order <= 0,
    }[name]  # fmt: skip


# -- claims


# Every stored value of interest, each in all columns (which convert some), and every operand.
INTERESTING = [
    None, 0, 1, 5, -3, 2**53, 2**53 + 1, 2**60, 2**60 + 1, 2**63 - 1, -(2**63), 0.1, 2.5, 5.0,
    2.0**60, 2.0**63, 1e300, -1.5, "", "5", "5.0", "a", "A", "É", "é", "0.1", "ab", "[a]", "*",
]  # fmt: skip
OPERANDS = [
    *INTERESTING, True, 2**64 - 1, 1152921504606847000, "5%", "a%", "%B", "_", "%[a]%", "*", "%",
    b"0.10000000000000000001", b"0.1", b"5.0", b"5e0", b"2.5000000000000000001", b"1e400",
    b"-1e400", b"9007199254740993.5", b"9007199254740992.5", b"9223372036854775807.5",
    b"9223372036854775808", b"1152921504606846976.5", b"true", b'"a"', b"null",
]  # fmt: skip


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "gte", "lt", "lte", "like", "ilike"])
def test_every_operator_on_every_kind_of_value_means_what_the_model_says(
    database, column, operator
):
    stored = fill(database, [(each,) * 4 for each in INTERESTING])
    for operand in OPERANDS:
        if operator.endswith("like") and not isinstance(meaning(value(operand)), str | None):
            continue
        if operator.endswith("like") and column in ("num", "rea"):
            continue
        where = leaf(column, operator, operand)
        expected = [row["id"] for row in stored if holds(row, where) is True]
        assert ids(database, query("t", where, limit=100)) == expected, operand


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("operator", ["in", "notin"])
def test_lists_mean_what_the_model_says(database, column, operator):
    stored = fill(database, [(each,) * 4 for each in INTERESTING])
    for one in OPERANDS:
        for other in (None, 1, "a", 2.5):
            where = leaf(column, operator, [one, other])
            expected = [row["id"] for row in stored if holds(row, where) is True]
            assert ids(database, query("t", where, limit=100)) == expected, (one, other)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("desc", [True, False])
def test_every_value_is_an_anchor_even_one_that_no_row_could_hold(database, column, desc):
    stored = fill(database, [(each,) * 4 for each in INTERESTING])
    for operand in OPERANDS:
        place = meaning(value(operand))
        orders = {row["id"]: compare(row[column], place, column) for row in stored}
        expected = {key for key, order in orders.items() if (order < 0 if desc else order > 0)}
        sort = [("-" if desc else "") + column]
        found = ids(database, query("t", sort=sort, cursor=[operand, 2**62], limit=100))
        assert set(found) == expected, operand


@settings(max_examples=200, deadline=None)
@given(rows=ROWS, where=st.lists(CONDITION, min_size=1, max_size=2))
def test_filters_mean_what_the_model_says(database, rows, where):
    stored = fill(database, rows)
    expected = [row["id"] for row in stored if all(holds(row, each) is True for each in where)]
    assert ids(database, query("t", *where)) == expected


SORT = st.lists(
    st.sampled_from([f"{sign}{column}" for sign in ("", "-") for column in COLUMNS]), max_size=3
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(STORED, STORED, STORED, STORED), max_size=12), sort=SORT,
       limit=st.integers(1, 4))  # fmt: skip
def test_paging_by_cursor_visits_every_row_once_and_in_order(database, rows, sort, limit):
    stored = fill(database, rows)

    def order(one, other):
        for key in sort:
            found = compare(one[key.lstrip("-")], other[key.lstrip("-")])
            if found:
                return -found if key.startswith("-") else found
        return one["id"] - other["id"]

    expected = [row["id"] for row in sorted(stored, key=cmp_to_key(order))]
    visited, anchor = [], None
    for _ in range(len(expected) + 1):
        page_query = query("t", sort=sort, limit=limit)
        if anchor is not None:
            page_query.cursor.values.extend(anchor)
        rows = window(database, page_query)
        if not rows:
            break
        visited += [row.key for row in rows]
        anchor = [encode_scalar(each) for each in rows[-1].order]
    assert visited == expected


@given(st.one_of(STORED, st.binary(max_size=4), st.sampled_from([math.inf, -math.inf])))
def test_a_cursor_value_comes_back_as_it_was_stored(stored):
    assert literal_of(encode_scalar(stored)).value == stored


def test_a_text_id_anchors_a_numeric_key(database):
    fill(database, [(None,) * 4] * 4)
    assert ids(database, query("t", cursor=["2"])) == [3, 4]


def test_like_is_case_sensitive_and_ilike_is_not_in_unicode(database):
    fill(database, [("École", None, None, None), ("école", None, None, None)])
    assert ids(database, query("t", leaf("txt", "like", "É%"))) == [1]
    assert ids(database, query("t", leaf("txt", "ilike", "É%"))) == [1, 2]


def test_an_index_serves_filter_order_and_anchor(database):
    database.connection.execute("CREATE INDEX IF NOT EXISTS by_num ON t (num, id)")
    live_query = query("t", leaf("num", "gte", 3), sort=["num"], limit=5)
    select = sql.window(compile_query(database, live_query), 5)
    plan = database.connection.execute(
        f"EXPLAIN QUERY PLAN {select.text}", select.params
    ).fetchall()
    detail = " ".join(row[3] for row in plan)
    assert "by_num" in detail
    assert "TEMP B-TREE" not in detail
    assert "SCAN r" not in detail
