import json
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Failed, Kind
from bridge.core.query import Comparison, LiveQuery, OrGroup, SortKey, check_arity
from bridge.core.query_parser import parse_query
from core_makers import quick, surrogate_free, thorough

# A query in the abstract: plain tuples, of which `spelled` makes one of many texts. A value is
# (kind, JSON text): what differs in kind or digits differs here.
names = st.sampled_from(
    ["a", "b", "a b", 'q"', "\u00e9", "|", "[]", "a eq 1", "k"]
) | surrogate_free.filter(bool)
values = st.one_of(
    st.sampled_from(
        ["1", "1.0", "true", '"1"', "[1]", "[1.0]", '{"a":1}', "0", "-1", "false", '""']
    ),
    st.sampled_from(['"]"', '"a,b"', '"\\"]"', "9007199254740993", "9007199254740992", "0.1"]),
    st.sampled_from(["18446744073709551616", "18446744073709551617", "[null]", "[]", "{}"]),
)
comparisons = st.one_of(
    st.tuples(st.just("is"), names, st.sampled_from(["isnull", "isnotnull"]), st.just(())),
    st.tuples(st.just("is"), names, st.sampled_from(["eq", "ne", "lt"]), st.tuples(values)),
    st.tuples(
        st.just("is"),
        names,
        st.sampled_from(["in", "notin"]),
        st.lists(values | st.just("null"), min_size=1, max_size=3).map(tuple),
    ),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.tuples(st.just("or"), st.lists(inner, min_size=1, max_size=3).map(tuple)),
    max_leaves=4,
)


@st.composite
def queries(draw):
    sort = draw(st.lists(st.tuples(names, st.booleans()), max_size=2).map(tuple))
    cursor = None
    if draw(st.booleans()):
        cursor = tuple(draw(values | st.just("null")) for _ in range(len(sort) + 1))
    where = draw(st.lists(conditions, max_size=3).map(tuple))
    return (draw(names), where, sort, draw(st.integers(1, 3)), cursor, draw(st.integers(0, 1)))


def spelled(query, seed):
    """Spell a query: any key order, any key case, defaults left out or not, white space."""
    random = Random(seed)

    def choice(*options):
        return random.choice(options)

    def key(name):
        folded = "".join(choice(c, c.upper(), "\u017f" if c == "s" else c) for c in name)
        return json.dumps(folded, ensure_ascii=choice(True, False))

    def members(*pairs):
        kept = [(name, text) for name, text in pairs if text is not None]
        if choice(True, False):
            kept.append(("nobody", choice("1", "null", '{"entity":"x"}', "1e400")))
        space = choice("", " ", "\n\t")
        body = (space + "," + space).join(
            f"{key(name)}{space}:{space}{text}" for name, text in random.sample(kept, len(kept))
        )
        return "{" + space + body + space + "}"

    def string(text):
        return json.dumps(text, ensure_ascii=choice(True, False))

    def many(texts, *zeros):
        return "[" + ",".join(texts) + "]" if texts else choice(*zeros)

    def condition(tree):
        if tree[0] == "or":
            extra = [("column", choice(None, '"x"')), ("op", choice(None, '"what"'))]
            return members(("or", many([condition(c) for c in tree[1]])), *extra)
        _, column, op, operands = tree
        if op in ("in", "notin"):
            value = many(operands)
        else:
            value = operands[0] if operands else choice(None, "null", "7")
        return members(
            ("column", string(column)),
            ("op", string(op)),
            ("value", value),
            ("or", choice(None, "null", "[]")),
        )

    entity, where, sort, limit, cursor, mode = query
    return members(
        ("entity", string(entity)),
        ("where", many([condition(c) for c in where], None, "null", "[]")),
        (
            "sort",
            many(
                [
                    members(
                        ("column", string(column)),
                        ("desc", "true" if desc else choice(None, "null", "false")),
                    )
                    for column, desc in sort
                ],
                None,
                "null",
                "[]",
            ),
        ),
        ("limit", str(limit)),
        (
            "cursor",
            members(("values", many(cursor)))
            if cursor
            else choice(None, "null", "{}", '{"values":null}', '{"values":[]}'),
        ),
        ("mode", "1" if mode else choice(None, "null", "0")),
    )


@thorough
@given(queries(), st.integers(), st.integers())
def test_one_query_has_one_key_however_it_is_spelled(query, seed, other):
    assert parse_query(spelled(query, seed)).key == parse_query(spelled(query, other)).key


@thorough
@given(queries(), queries(), st.integers(0, 5), st.integers())
def test_queries_that_differ_in_one_thing_have_different_keys(query, donor, part, seed):
    other = (*query[:part], donor[part], *query[part + 1 :])
    if part == 2 and len(query[2]) != len(donor[2]):
        other = (*other[:4], None, other[5])
    if part == 4 and len(query[2]) != len(donor[2]):
        return
    one, two = parse_query(spelled(query, seed)), parse_query(spelled(other, seed))
    assert (one.key == two.key) == (query == other)


@pytest.mark.parametrize(
    "place", ['"where":[{"column":"a","op":"eq","value":%s}]', '"cursor":{"values":[%s]}']
)
def test_number_kinds_and_look_alikes_have_keys_of_their_own(place):
    texts = ["1", "1.0", "true", '"1"', "[1]", "[1.0]", '"true"', '"[1]"', "1.5", "-1"]
    keys = {parse_query('{"entity":"e","limit":1,%s}' % (place % text)).key for text in texts}
    assert len(keys) == len(texts)


def test_every_part_of_a_query_counts_in_its_key():
    leaf, key = Comparison("c", "eq", 1), SortKey("s", desc=False)
    base = LiveQuery("e", (leaf,), (key,), 5, (1, "x"), 0)
    changes = [
        {"entity": "f"},
        {"where": ()},
        {"where": (leaf, leaf)},
        {"where": (replace(leaf, column="d"),)},
        {"where": (replace(leaf, operator="ne"),)},
        {"where": (replace(leaf, operand=2),)},
        {"where": (replace(leaf, operator="in", operand=(1,)),)},
        {"where": (OrGroup((leaf,)),)},
        {"sort": (replace(key, desc=True),)},
        {"sort": (replace(key, column="t"),)},
        {"sort": (key, key)},
        {"limit": 6},
        {"cursor": None},
        {"cursor": (1, "y")},
        {"cursor": (1.0, "x")},
        {"cursor": ("x", 1)},
        {"mode": 1},
    ]
    queries = [base, *(replace(base, **change) for change in changes)]
    assert len({query.key for query in queries}) == len(queries)


def test_the_order_of_conditions_counts():
    a, b = Comparison("a", "isnull", None), Comparison("b", "isnull", None)
    assert LiveQuery("e", (a, b), (), 1).key != LiveQuery("e", (b, a), (), 1).key


def test_an_or_group_is_not_its_members():
    a, b = Comparison("a", "isnull", None), Comparison("b", "isnull", None)
    grouped = [(a, b), (OrGroup((a, b)),), (OrGroup((a,)), b), (OrGroup((a,)), OrGroup((b,)))]
    assert len({LiveQuery("e", where, (), 1).key for where in grouped}) == 4


def test_reanchored_moves_the_cursor_and_keeps_the_limit_at_zero():
    query = LiveQuery("e", (), (SortKey("a", desc=False),), 10)
    assert query.reanchored((1, "x"), 0) == LiveQuery("e", (), query.sort, 10, (1, "x"))
    assert query.reanchored(None, 5).limit == 5


def test_a_reanchored_query_has_a_key_of_its_own():
    query = LiveQuery("e", (), (), 10)
    assert query.key != query.reanchored(("x",), 0).key != query.reanchored(("x",), 3).key


@quick
@given(st.integers(0, 4), st.integers(0, 6))
def test_a_cursor_has_one_value_per_sort_key_then_the_id(keys, values):
    sort = tuple(SortKey("a", desc=False) for _ in range(keys))
    if values == keys + 1:
        check_arity(("x",) * values, sort)
        return
    with pytest.raises(Failed) as caught:
        check_arity(("x",) * values, sort)
    assert (caught.value.kind, caught.value.field) == (Kind.BAD_QUERY, "cursor.values")


def test_the_head_fits_any_sort():
    check_arity(None, (SortKey("a", desc=True),))


def test_streamed_is_mode_one():
    assert LiveQuery("e", (), (), 1, mode=1).streamed
    assert not LiveQuery("e", (), (), 1).streamed
