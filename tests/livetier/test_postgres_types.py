# ruff: noqa: S608 (the test's own SQL)
"""Every type sorts and pages as ORDER BY says, and comes back from a cursor as it was."""

import asyncio
import json

import psycopg
import pytest

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.value import encode_scalar
from postgres_support import database, make_store  # noqa: F401 - a fixture
from tier_client import leaf, query

SCRIPTS = [
    "zebra",
    "Ähre",
    "ähre",
    "ahre",
    "Ωμέγα",
    "Жук",
    "日本",
    "שלום",
    "नमस्ते",
    "a'b\"c\\",
    "",
    " x",
]
BIG = "1234567890123456789012345678901234567890.5"
VALUES = {
    "boolean": ["true", "false"],
    "smallint": ["-32768", "0", "32767"],
    "integer": ["-2147483648", "7", "2147483647"],
    "bigint": ["-9223372036854775808", "9007199254740993", "9223372036854775807"],
    "numeric": ["NaN", "Infinity", "-Infinity", "0.10", "0.1", BIG, "-" + BIG],
    "real": ["NaN", "Infinity", "-Infinity", "0.1", "-0", "3.4e38"],
    "double precision": ["NaN", "Infinity", "-Infinity", "0.1", "1e300", "5e-324", "9007199254740993"],
    "money": ["1.50", "-3"],
    "text": SCRIPTS,
    'text COLLATE "C"': SCRIPTS,
    'text COLLATE "und-x-icu"': SCRIPTS,
    "text COLLATE folded": SCRIPTS,
    "varchar(10)": SCRIPTS,
    "char(10)": ["a", "b ", "Ω"],
    "name": ["alpha", "Beta"],
    '"char"': ["a", "b"],
    "bytea": ["\\x", "\\x00ff", "\\xdeadbeef"],
    "date": ["-infinity", "0044-03-15 BC", "1999-12-31", "2026-01-01", "infinity"],
    "time": ["00:00:00", "23:59:59.999999"],
    "timetz": ["10:00:00+02", "10:00:00-11"],
    "timestamp": ["-infinity", "2026-01-01 10:00:00.000001", "2026-01-01 10:00:00", "infinity"],
    "timestamptz": ["-infinity", "0044-03-15 12:00:00+00 BC", "2026-01-01 10:00:00+02", "12026-01-01 00:00:00+00", "infinity"],
    "interval": ["1 day", "24:00:00", "-1 mon 3 days", "P1Y2M3DT4H5M6.7S"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
    "inet": ["10.0.0.1", "10.0.0.0/8", "::1"],
    "cidr": ["10.0.0.0/8", "::/0"],
    "macaddr": ["08:00:2b:01:02:03", "08:00:2b:01:02:04"],
    "macaddr8": ["08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06"],
    "bit(3)": ["101", "010"],
    "bit varying": ["1", "10", "0"],
    "oid": ["0", "4294967295"],
    "pg_lsn": ["0/0", "16/B374D848"],
    "xid8": ["0", "18446744073709551615"],
    "tsvector": ["'a':1", "'b'"],
    "jsonb": ['{"a": [1, 2.50, null]}', '"text"', "17", "[]", "true"],
    "integer[]": ["{}", "{1,2}", "{NULL,3}", "{{1,2},{3,4}}"],
    "text[]": ['{"a b",NULL,"c\\"d\\\\"}', "{}"],
    "mood": ["sad", "ok", "happy"],
    "positive": ["1", "17"],
    "pair": ["(1,a)", '(2,"b c")', "(,)"],
    "int4range": ["empty", "[1,5)", "[2,)", "(,7)"],
    "tstzrange": ['["2026-01-01 00:00:00+00","2026-02-01 00:00:00+00")', "empty"],
    "int4multirange": ["{}", "{[1,3),[5,7)}"],
}  # fmt: skip
UNORDERED = {
    "json": '{"b": 1, "a": 2}',
    "xml": "<a/>",
    "point": "(1,2)",
    "xid": "5",
    "box": "(1,1),(0,0)",
}


def make(url):
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("SET timezone = 'UTC'; SET intervalstyle = 'iso_8601'")
    connection.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE DOMAIN positive AS integer CHECK (VALUE > 0);"
        "CREATE TYPE pair AS (n integer, t text);"
        "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    )
    columns = ", ".join(f"c{place} {kind}" for place, kind in enumerate(VALUES))
    plain = ", ".join(f"u{place} {kind}" for place, kind in enumerate(UNORDERED))
    connection.execute(
        f"CREATE TABLE every (id integer PRIMARY KEY, {columns}, {plain}, twice integer GENERATED ALWAYS AS (id * 2) STORED)"
    )
    number = 0
    for place, (kind, values) in enumerate(VALUES.items()):
        base = kind.split(" COLLATE")[0]
        for value in [*values, None, values[0]]:
            number += 1
            connection.execute(
                f"INSERT INTO every (id, c{place}) VALUES ({number}, %s::text::{base})", (value,)
            )
    for place, (kind, value) in enumerate(UNORDERED.items()):
        connection.execute(
            f"INSERT INTO every (id, u{place}) VALUES ({number + 1 + place}, %s::text::{kind})",
            (value,),
        )
    return connection


pytestmark = pytest.mark.timeout(180)  # it asks thousands of queries


@pytest.fixture
async def every(database):
    connection = await asyncio.to_thread(make, database)
    store = make_store(database, capture="wal")
    await store.open()
    yield store, connection
    await store.close()
    connection.close()


async def rows_of(store, asked):
    return (await store.first(await store.compile(asked, ()))).rows


async def test_every_type_sorts_and_pages_as_order_by_says(every):
    store, connection = every
    for place, kind in enumerate(VALUES):
        for desc in (False, True):
            order = f"c{place} {'DESC' if desc else 'ASC'}, id"
            expected = [
                str(key) for (key,) in connection.execute(f"SELECT id FROM every ORDER BY {order}")
            ]
            found, cursor = [], None
            while True:
                asked = query("every", sort=[f"{'-' * desc}c{place}"], limit=61)
                if cursor is not None:
                    asked.cursor.CopyFrom(cursor)
                rows = await rows_of(store, asked)
                if not rows:
                    break
                found += [row.id for row in rows]
                cursor = pb.Cursor(values=[encode_scalar(each) for each in rows[-1].order])
            assert found == expected, (kind, desc)


async def test_a_value_from_a_cursor_finds_the_rows_that_have_it(every):
    store, connection = every
    for place, kind in enumerate(VALUES):
        rows = await rows_of(
            store, query("every", leaf(f"c{place}", "isnotnull"), sort=[f"c{place}"], limit=100)
        )
        for row in rows:
            value = encode_scalar(row.order[0])
            condition = leaf(f"c{place}", "eq", "x")
            condition.comparison.value.CopyFrom(value)
            found = {
                each.id for each in await rows_of(store, query("every", condition, limit=1000))
            }
            (same,) = connection.execute(
                f"SELECT array_agg(b.id::text) FROM every a JOIN every b ON a.c{place} = b.c{place} WHERE a.id = %s",
                (row.id,),
            ).fetchone()
            assert found == set(same), (kind, row.order)


async def test_rows_are_postgresqls_own_json_with_bytes_in_base64_and_times_in_utc(every):
    store, connection = every
    found = {
        row.id: json.loads(row.json) for row in await rows_of(store, query("every", limit=1000))
    }
    kinds = list(VALUES)
    binary = f"c{kinds.index('bytea')}"
    for key, row in connection.execute("SELECT id::text, row_to_json(every)::text FROM every"):
        expected = json.loads(row)
        if expected[binary] is not None:
            expected[binary] = {"\\x": "", "\\x00ff": "AP8=", "\\xdeadbeef": "3q2+7w=="}[
                expected[binary]
            ]
        assert found[key] == expected
    numbers = f"c{kinds.index('numeric')}"
    assert any(
        BIG.encode() in row.json
        for row in await rows_of(store, query("every", leaf(numbers, "isnotnull")))
    )


async def test_a_type_without_an_order_is_refused_for_comparisons_and_sorts_and_shown_otherwise(
    every,
):
    store, _ = every
    for place, kind in enumerate(UNORDERED):
        for asked, field in (
            (query("every", leaf(f"u{place}", "eq", "1")), "where[0].op"),
            (query("every", sort=[f"u{place}"]), "sort[0].column"),
        ):
            with pytest.raises(Exception, match=r"compared|order") as caught:
                await store.compile(asked, ())
            assert caught.value.field == field, kind
        assert len(await rows_of(store, query("every", leaf(f"u{place}", "isnotnull")))) == 1


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", "x"), ("uuid", "nope"), ("timestamptz", "yesterday at noonish"), ("mood", "angry"), ("boolean", "maybe"),
        ("bytea", "not base64!"), ("jsonb", "{"), ("text", "nul\0"), ("inet", "300.1.1.1"), ("integer[]", "{1"),
    ],
)  # fmt: skip
async def test_a_value_that_cannot_be_cast_is_refused_with_its_field(every, kind, value):
    store, _ = every
    column = f"c{list(VALUES).index(kind)}"
    for op, operand in (("eq", value), ("in", [value])):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - its field is the claim
            await store.compile(query("every", leaf("id", "gt", 1), leaf(column, op, operand)), ())
        assert caught.value.field == "where[1].value"
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await store.compile(query("every", sort=[column], cursor=[value, "1"]), ())
    assert caught.value.field == "cursor.values"


async def test_whole_numbers_compare_with_any_number_by_value(every):
    store, _ = every
    column = f"c{list(VALUES).index('integer')}"

    async def found(op, value):
        return len(await rows_of(store, query("every", leaf(column, op, value), limit=100)))

    assert await found("eq", 7.0) == 1
    assert await found("eq", 7.5) == 0
    assert await found("gt", 6.5) == await found("gte", 7) == 2
    assert await found("lt", 3_000_000_000) == 4
    assert await found("gt", 2**63) == 0
    assert await found("in", [7, 7.5, 2**40]) == 1


async def test_describe_tells_types_keys_nullability_and_comments(every):
    store, connection = every
    connection.execute(
        "COMMENT ON TABLE every IS 'all of them'; COMMENT ON COLUMN every.c0 IS 'yes or no'"
    )
    (entity,) = (await store.describe(())).entities
    columns = {column.name: column for column in entity.columns}
    assert (entity.name, list(entity.key), entity.description) == ("every", ["id"], "all of them")
    assert not columns["id"].nullable
    assert columns["c0"].nullable
    assert columns["c0"].description == "yes or no"
    kinds = {kind: columns[f"c{place}"].type for place, kind in enumerate(VALUES)}
    assert kinds["boolean"] == pb.COLUMN_TYPE_BOOL
    assert kinds["bigint"] == kinds["positive"] == pb.COLUMN_TYPE_INT
    assert kinds["numeric"] == pb.COLUMN_TYPE_DECIMAL
    assert kinds["real"] == pb.COLUMN_TYPE_DOUBLE
    assert kinds["timestamptz"] == pb.COLUMN_TYPE_TIMESTAMP
    assert kinds["date"] == pb.COLUMN_TYPE_DATE
    assert kinds["bytea"] == pb.COLUMN_TYPE_BYTES
    assert kinds["jsonb"] == kinds["integer[]"] == kinds["pair"] == pb.COLUMN_TYPE_JSON
    assert kinds["text"] == kinds["mood"] == kinds["uuid"] == pb.COLUMN_TYPE_STRING
    assert not columns["u0"].sortable
