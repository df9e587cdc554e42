import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Failed, Kind
from bridge.core.query import Comparison, OrGroup, SortKey
from bridge.core.query_parser import (
    INT32_MAX,
    MAX_BYTES,
    MAX_CONDITIONS,
    MAX_LIST,
    MAX_OR_DEPTH,
    MAX_SORT_KEYS,
    OPERATORS,
    parse_query,
)
from bridge.core.value import JsonText
from core_makers import failure_of, json_texts, mutations, named, quick, thorough, vector_input

RECORDED = named("livequery_decode")


def refused(data, **options):
    with pytest.raises(Failed) as caught:
        parse_query(data, **options)
    assert caught.value.field
    return caught.value


def query(**members):
    return json.dumps({"entity": "asset", "limit": 10} | members)


def where(*conditions):
    return query(where=list(conditions))


# ---------------------------------------------------------------- golden vectors


def well_formed(normal):
    """Whether Go's normal form passes the checks that the contract adds (docs/wire.md §1)."""
    cursor = (normal["Cursor"] or {}).get("values") or []
    sort = normal["Sort"] or []
    return (
        normal["Entity"] != ""
        and 1 <= normal["Limit"] <= INT32_MAX
        and normal["Mode"] in (0, 1)
        and len(cursor) in (0, len(sort) + 1)
        and len(sort) <= MAX_SORT_KEYS
        and all(key["Column"] for key in sort)
        and all(map(condition_well_formed, normal["Where"] or []))
    )


def condition_well_formed(condition, depth=0):
    if condition["Or"]:
        return depth < MAX_OR_DEPTH and all(
            condition_well_formed(c, depth + 1) for c in condition["Or"]
        )
    value = condition["Value"]
    if condition["Op"] in ("in", "notin"):
        fits = isinstance(value, list) and 0 < len(value) <= MAX_LIST
    else:
        fits = condition["Op"] in ("isnull", "isnotnull") or value is not None
    return condition["Column"] != "" and condition["Op"] in OPERATORS and fits


def as_go_sees(value):
    if isinstance(value, tuple):
        return list(map(as_go_sees, value))
    if isinstance(value, JsonText):
        return json.loads(value.text)
    too_long = type(value) is int and abs(value) > 2**53
    return float(value) if too_long else value


def normal_condition(condition):
    if isinstance(condition, OrGroup):
        return {"Or": list(map(normal_condition, condition.conditions))}
    return {
        "Column": condition.column,
        "Op": condition.operator,
        "Value": as_go_sees(condition.operand),
    }


def recorded_condition(condition):
    if condition["Or"]:
        return {"Or": list(map(recorded_condition, condition["Or"]))}
    unary = condition["Op"] in ("isnull", "isnotnull")
    return {
        "Column": condition["Column"],
        "Op": condition["Op"],
        "Value": None if unary else condition["Value"],
    }


def folded_repeats(data):
    """Whether some object repeats a key: there Go merges, and the bridge replaces."""
    found = []

    def note(pairs):
        keys = [key.casefold() for key, _ in pairs]
        found.extend(key for key in keys if keys.count(key) > 1)

    json.loads(data, object_pairs_hook=note)
    return bool(found)


def is_json(data):
    """Whether it is JSON and text, which a lone surrogate is not."""
    try:
        json.dumps(json.loads(data.decode()), ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


# A repeated key replaces here, where Go merges: tested by name below.
WITHOUT_REPEATED_KEYS = [
    name
    for name, vector in RECORDED.items()
    if not (vector["sse_accepts"] and is_json(vector_input(vector)))
    or not folded_repeats(vector_input(vector))
]


@pytest.mark.parametrize("name", WITHOUT_REPEATED_KEYS)
def test_a_recorded_query_is_read_as_go_read_it_or_refused_where_that_is_wanted(name):
    vector = RECORDED[name]
    data = vector_input(vector)
    accepted = vector["sse_accepts"] and is_json(data)
    normal = json.loads(vector["normalized"]) if "normalized" in vector else None
    if not accepted or not well_formed(normal) or len(data) > MAX_BYTES:
        refused(data)
        return
    read = parse_query(data)
    cursor = (normal["Cursor"] or {}).get("values") or None
    assert {
        "Entity": read.entity,
        "Where": list(map(normal_condition, read.where)),
        "Sort": [{"Column": key.column, "Desc": key.desc} for key in read.sort],
        "Limit": read.limit,
        "Cursor": as_go_sees(read.cursor),
        "Mode": read.mode,
    } == {
        "Entity": normal["Entity"],
        "Where": list(map(recorded_condition, normal["Where"] or [])),
        "Sort": normal["Sort"] or [],
        "Limit": normal["Limit"],
        "Cursor": cursor,
        "Mode": normal["Mode"],
    }


def test_a_repeated_key_replaces_the_earlier_value_whole():
    assert refused(RECORDED["dup_where_second_replaces"]["input"]).field == "where[0].op"
    read = parse_query(
        '{"entity":"x","LIMIT":3,"limit":4,"Entity":"y","\\u017fort":[],"where":[],"WHERE":null}'
    )
    assert (read.entity, read.limit, read.where) == ("y", 4, ())


def test_integers_of_64_bits_keep_their_digits():
    for number in (2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)):
        [condition] = parse_query(where({"column": "c", "op": "eq", "value": number})).where
        assert condition.operand == number


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("key", ["\u017fort", "\u017fORT", "SORT", "sor\u0054"])
def test_keys_match_under_simple_folding(key):
    [sort] = parse_query(query(**{key: [{"COLUMN": "a", "de\u017fc": True}]})).sort
    assert sort == SortKey("a", desc=True)


@pytest.mark.parametrize("key", ["l\u0130mit", "l\u0131mit", "limi t", "limit\u0000"])
def test_keys_that_only_look_alike_are_unknown(key):
    assert refused(json.dumps({"entity": "e", key: 5})).field == "limit"


def test_null_is_the_zero_value_everywhere():
    nothing = dict.fromkeys(["where", "sort", "cursor", "mode"])
    assert parse_query(query(**nothing)).key == parse_query(query()).key
    inner = {"column": "c", "op": "isnull", "value": None, "or": None}
    assert parse_query(where(inner)).where == (Comparison("c", "isnull", None),)
    assert parse_query(query(sort=[{"column": "c", "desc": None}])).sort == (
        SortKey("c", desc=False),
    )


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("null", "entity"),
        (query(where=[None]), "where[0].column"),
        (query(sort=[None]), "sort[0].column"),
        (query(entity=None), "entity"),
        (query(limit=None), "limit"),
        (where({"or": [None]}), "where[0].or[0].column"),
        (where({"column": "c", "op": None, "value": 1}), "where[0].op"),
        (where({"column": None, "op": "eq", "value": 1}), "where[0].column"),
    ],
)
def test_null_where_something_is_needed_is_refused_by_field(text, field):
    assert refused(text).field == field


@pytest.mark.parametrize(
    "cursor", ["null", "{}", '{"values":null}', '{"values":[]}', '{"VALUES":[]}', '{"x":1}']
)
def test_a_cursor_without_values_is_the_head(cursor):
    assert parse_query(f'{{"entity":"e","limit":1,"cursor":{cursor}}}').cursor is None


def test_or_wins_over_the_rest_of_its_condition_wherever_it_nests():
    leaf = {"column": "c", "op": "eq", "value": 1}
    nested = {"column": "", "op": "?", "or": [{"or": [leaf], "value": [1]}, leaf]}
    one = Comparison("c", "eq", 1)
    assert parse_query(where(nested)).where == (OrGroup((OrGroup((one,)), one)),)
    assert parse_query(where(leaf | {"or": []})).where == (one,)


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_every_operator_is_read_with_the_operand_it_takes(operator):
    value = [1, None, "x"] if operator in ("in", "notin") else "x"
    operand = tuple(value) if operator in ("in", "notin") else value
    operand = None if operator.startswith("is") else operand
    assert parse_query(where({"column": "c", "op": operator, "value": value})).where == (
        Comparison("c", operator, operand),
    )


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "kind", "field"),
    [
        ("[]", Kind.MALFORMED, "query"),
        ('"x"', Kind.MALFORMED, "query"),
        (query() + " x", Kind.MALFORMED, "query"),
        (query(entity=5), Kind.MALFORMED, "entity"),
        (query(entity=""), Kind.BAD_QUERY, "entity"),
        (query(where={}), Kind.MALFORMED, "where"),
        (query(where=[5]), Kind.MALFORMED, "where[0]"),
        (query(where=[[]]), Kind.MALFORMED, "where[0]"),
        (where({"or": {}}), Kind.MALFORMED, "where[0].or"),
        (where({"or": [{"column": 1}]}), Kind.MALFORMED, "where[0].or[0].column"),
        (where({"or": [{"column": "c", "op": "EQ"}]}), Kind.BAD_QUERY, "where[0].or[0].op"),
        (where({"column": "c", "op": 1}), Kind.MALFORMED, "where[0].op"),
        (where({"column": "", "op": "eq", "value": 1}), Kind.BAD_QUERY, "where[0].column"),
        (where({"column": "c", "op": "", "value": 1}), Kind.BAD_QUERY, "where[0].op"),
        (where({"column": "c", "op": "eq"}), Kind.BAD_QUERY, "where[0].value"),
        (where({"column": "c", "op": "like", "value": None}), Kind.BAD_QUERY, "where[0].value"),
        (where({"column": "c", "op": "in"}), Kind.BAD_QUERY, "where[0].value"),
        (where({"column": "c", "op": "in", "value": []}), Kind.BAD_QUERY, "where[0].value"),
        (where({"column": "c", "op": "notin", "value": "x"}), Kind.BAD_QUERY, "where[0].value"),
        (where({"column": "c", "op": "in", "value": {}}), Kind.BAD_QUERY, "where[0].value"),
        (query(sort={}), Kind.MALFORMED, "sort"),
        (query(sort=["a"]), Kind.MALFORMED, "sort[0]"),
        (query(sort=[{"column": ""}]), Kind.BAD_QUERY, "sort[0].column"),
        (query(sort=[{"column": "c", "desc": 1}]), Kind.MALFORMED, "sort[0].desc"),
        (query(limit="10"), Kind.MALFORMED, "limit"),
        (query(limit=10.0), Kind.MALFORMED, "limit"),
        (query(limit=True), Kind.MALFORMED, "limit"),
        (query(limit=0), Kind.BAD_QUERY, "limit"),
        (query(limit=-1), Kind.BAD_QUERY, "limit"),
        (query(limit=2**31), Kind.BAD_QUERY, "limit"),
        (query(limit=10**4000), Kind.BAD_QUERY, "limit"),
        (query(mode="streamed"), Kind.MALFORMED, "mode"),
        (query(mode=2), Kind.BAD_QUERY, "mode"),
        (query(mode=-1), Kind.BAD_QUERY, "mode"),
        (query(mode=1.0), Kind.MALFORMED, "mode"),
        (query(mode=False), Kind.MALFORMED, "mode"),
        (query(cursor=[]), Kind.MALFORMED, "cursor"),
        (query(cursor={"values": {}}), Kind.MALFORMED, "cursor.values"),
        (query(cursor={"values": ["a", "b"]}), Kind.BAD_QUERY, "cursor.values"),
        (query(sort=[{"column": "c"}], cursor={"values": ["a"]}), Kind.BAD_QUERY, "cursor.values"),
    ],
)
def test_a_refusal_names_its_kind_and_field(text, kind, field):
    failure = refused(text)
    assert (failure.kind, failure.field) == (kind, field)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "[1e400]", '{"a":[1e309]}', "1" + "0" * 309])
@pytest.mark.parametrize(
    "place",
    [
        '"where":[{"column":"c","op":"eq","value":%s}]',
        '"where":[{"column":"c","op":"in","value":[1,%s]}]',
        '"where":[{"column":"c","op":"isnull","value":%s}]',
        '"where":[{"or":[{"column":"c","op":"isnull"}],"value":%s}]',
        '"cursor":{"values":[%s]}',
    ],
)
def test_a_number_beyond_a_double_is_refused_wherever_a_value_stands(number, place):
    assert refused('{"entity":"e","limit":1,%s}' % (place % number)).kind is Kind.BAD_QUERY


def test_a_number_beyond_a_double_under_an_unknown_key_is_ignored():
    parse_query('{"entity":"e","limit":1,"unknown":1e400}')


@pytest.mark.parametrize(
    "data",
    [
        b'{"entity":"\xff"}',
        b'{"entity":"\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        b'{"entity":"\\ud800","limit":1}',
        b'{"\\udc00":1}',
    ],
)
def test_what_is_no_text_is_refused(data):
    assert refused(data).kind is Kind.MALFORMED


def test_a_str_with_a_surrogate_in_it_is_refused_like_the_bytes():
    assert refused('{"entity":"\ud800","limit":1}').kind is Kind.MALFORMED


# ---------------------------------------------------------------- caps


def test_size_is_checked_before_syntax_at_16_kib_of_bytes():
    text = query()
    parse_query(text + " " * (MAX_BYTES - len(text)))
    for data in (
        text + " " * (MAX_BYTES - len(text) + 1),
        "{" * (MAX_BYTES + 1),
        b"\xff" * (MAX_BYTES + 1),
    ):
        assert refused(data).kind is Kind.MESSAGE_TOO_LARGE
    assert refused("\u00e9" * (MAX_BYTES // 2 + 1)).kind is Kind.MESSAGE_TOO_LARGE
    assert refused("\u00e9" * (MAX_BYTES // 2)).kind is Kind.MALFORMED


def nested_or(depth):
    condition = {"column": "c", "op": "isnull"}
    for _ in range(depth):
        condition = {"or": [condition]}
    return where(condition)


def test_or_nests_32_deep_and_no_deeper():
    parse_query(nested_or(MAX_OR_DEPTH))
    assert (
        refused(nested_or(MAX_OR_DEPTH + 1)).field == "where[0]" + ".or[0]" * MAX_OR_DEPTH + ".or"
    )
    assert refused(nested_or(90)).kind is Kind.BAD_QUERY


def test_256_conditions_are_read_and_no_more():
    one = {"column": "c", "op": "isnull"}
    parse_query(where(*[one] * MAX_CONDITIONS))
    assert refused(where(*[one] * (MAX_CONDITIONS + 1))).field == f"where[{MAX_CONDITIONS}]"
    parse_query(where({"or": [one] * (MAX_CONDITIONS - 1)}))
    assert refused(where({"or": [one] * 255}, one)).field == "where[1]"


def test_a_list_has_1000_members_and_no_more():
    parse_query(where({"column": "c", "op": "in", "value": [1] * MAX_LIST}))
    assert (
        refused(where({"column": "c", "op": "in", "value": [1] * (MAX_LIST + 1)})).field
        == "where[0].value"
    )


def test_16_sort_keys_are_read_and_no_more():
    key = {"column": "c"}
    parse_query(query(sort=[key] * MAX_SORT_KEYS, cursor={"values": [1] * (MAX_SORT_KEYS + 1)}))
    assert refused(query(sort=[key] * (MAX_SORT_KEYS + 1))).field == "sort"


def test_the_configured_limit_is_the_largest():
    assert parse_query(query(limit=10), max_limit=10).limit == 10
    assert refused(query(limit=11), max_limit=10).field == "limit"
    assert parse_query(query(limit=INT32_MAX)).limit == INT32_MAX


# ---------------------------------------------------------------- anything else


def timed(read, data):
    """Read; only Failed may be raised, with a field. Returns the CPU seconds it took."""
    began = time.thread_time()
    failure = failure_of(read, data)
    took = time.thread_time() - began
    if failure is not None:
        assert failure.field
        assert failure.text().isprintable()
    return took


def check_calm(data):
    assert timed(parse_query, data) < 0.05 or min(timed(parse_query, data) for _ in range(3)) < 0.05


SEEDS = [
    query(
        where=[
            {"column": "c", "op": "in", "value": [1, "x", 2.5]},
            {"or": [{"column": "d", "op": "isnull"}]},
        ],
        sort=[{"column": "a", "desc": True}],
        cursor={"values": [1, "x"]},
        mode=1,
    ).encode(),
    query().encode(),
]
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["eq", "in", "x", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "entity",
                    "where",
                    "sort",
                    "limit",
                    "cursor",
                    "mode",
                    "column",
                    "op",
                    "value",
                    "or",
                    "desc",
                    "values",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@thorough
@given(st.sampled_from(SEEDS).flatmap(mutations) | st.binary(max_size=200))
def test_mutated_bytes_are_read_or_refused_and_nothing_else(data):
    check_calm(data)


@thorough
@given(any_json.map(json.dumps) | json_texts())
def test_any_json_is_read_or_refused_and_nothing_else(text):
    check_calm(text)


@quick
@given(st.text(st.characters(exclude_categories=[]), max_size=60))
def test_any_text_is_read_or_refused_even_with_surrogates(text):
    check_calm(text)


@pytest.mark.parametrize(
    "value",
    [
        "9" * 15000,
        "0." + "1" * 15000,
        "1" * 300 + "." + "1" * 14000,
        "1e" + "9" * 15000,
        "1e-" + "9" * 15000,
        "-" * 15000,
        "[" * 8000 + "]" * 8000,
        "[" * 15000,
        '{"a":' * 3000,
        "[" + "1.1," * 3900 + "1]",
        "[" + "1e-330," * 2200 + "1]",
        '"' + "\\ud83d" * 2500 + '"',
    ],
    ids=lambda value: value[:8],
)
def test_the_worst_of_16_kib_is_checked_in_no_time(value):
    check_calm(f'{{"entity":"e","limit":1,"where":[{{"column":"c","op":"eq","value":{value}}}]}}')
    check_calm(f'{{"entity":"e","limit":1,"unknown":{value}}}')
    check_calm(f'{{"entity":"e","limit":{value}}}')
