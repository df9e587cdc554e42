# ruff: noqa: S608 (names of columns from a list)
"""Shortcuts: with them and without them every reading finds the same."""

import random
from collections import Counter

import pytest

from livetier.engine.shortcuts import Shortcuts
from livetier.sqlite.compile import compile_query
from livetier.sqlite.database import Database
from livetier.sqlite.reader import first, read
from tier_client import any_of, leaf, query

TEXTS = ["", "a", "B", "b", "é", "z", "a\x00b", "\ufffd"]
NUMBERS = [0, 1, 2, 2.0, 2.5, -1, 10**18, 10**18 + 1, 1e18, float("inf")]
VALUES = [None, *TEXTS, *NUMBERS, b"a", b"\x00"]
OF = {"txt": [None, *TEXTS], "num": [None, *NUMBERS], "rea": [None, *NUMBERS], "any": VALUES}
ASKED = [value for value in VALUES if not isinstance(value, bytes)]
TABLES = {
    "text key": "id TEXT PRIMARY KEY",
    "integer key": "id INTEGER PRIMARY KEY",
    "any key": "id PRIMARY KEY",
    "two keys": "id, part TEXT DEFAULT 'p', PRIMARY KEY (id, part)",
    "no key": "id",
}


@pytest.fixture(params=TABLES)
def database(request, tmp_path):
    database = Database(tmp_path / "t.sqlite")
    columns, _, rest = TABLES[request.param].partition(", ")
    database.connection.execute(
        f"CREATE TABLE t ({columns}, txt TEXT, num NUMERIC, rea REAL, any"
        f"{', ' + rest if rest else ''})"
    )
    yield database
    database.close()


def random_leaf(pick):
    column = pick.choice(list(OF))
    op = pick.choice(["eq", "eq", "in", "in", "ne", "gt", "gte", "lt", "lte", "notin", "isnull"])
    if op in ("in", "notin"):
        return leaf(column, op, pick.choices(ASKED, k=pick.randint(1, 5)))
    return leaf(column, op, pick.choice(ASKED))


def random_query(pick, integer):
    where = [random_leaf(pick) for _ in range(pick.choice([0, 0, 1, 1, 2]))]
    if pick.random() < 0.2:
        where.append(any_of(random_leaf(pick), random_leaf(pick)))
    sort = [pick.choice(["", "-"]) + c for c in pick.sample(list(OF), pick.choice([0, 1, 1, 2]))]
    cursor = None
    if pick.random() < 0.3:
        cursor = [
            *(pick.choice(ASKED) for _ in sort),
            pick.choice(["5", 5] if integer else ["5", "k5", 5]),
        ]
    streamed = pick.random() < 0.1
    return query(
        "t", *where, sort=sort, limit=pick.choice([1, 2, 3, 5, 8]), cursor=cursor, streamed=streamed
    )


def random_queries(pick, integer):
    """Return queries; some differ from another one in nothing but the limit."""
    queries = [random_query(pick, integer) for _ in range(20)]
    for each in pick.choices(queries, k=10):
        other = query("t")
        other.CopyFrom(each)
        other.limit = pick.choice([1, 2, 4, 7, 12])
        queries.append(other)
    return queries


def random_key(pick, integer):
    number = pick.randint(0, 60)
    return (
        number
        if integer
        else pick.choice([f"k{number}", "\ufffd" if number == 7 else f"k{number}"])
    )


def commit(connection, pick, integer):
    """Commit one to five statements; some name a column for several rows."""
    connection.execute("BEGIN")
    for _ in range(pick.choice([1, 1, 1, 2, 5])):
        column = pick.choice(list(OF))
        key, value = random_key(pick, integer), pick.choice(OF[column])
        statement = pick.choice(
            [
                f"INSERT OR REPLACE INTO t (id, {column}) VALUES (:key, :value)",
                f"INSERT OR REPLACE INTO t (id, {column}) VALUES (:key, :value)",
                f"UPDATE t SET {column} = :value WHERE id = :key",
                f"UPDATE t SET {column} = :value WHERE id = :key",
                f"UPDATE t SET {column} = :value WHERE num = 2",
                "UPDATE OR REPLACE t SET id = :other WHERE id = :key",
                "DELETE FROM t WHERE id = :key",
                "DELETE FROM t WHERE id = :key",
            ]
        )
        other = random_key(pick, integer)
        connection.execute(statement, {"key": key, "value": value, "other": other})
    connection.execute(pick.choice(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]))


@pytest.mark.parametrize("seed", range(4))
def test_with_shortcuts_every_reading_finds_what_it_finds_without(database, seed, monkeypatch):
    monkeypatch.setattr("livetier.sqlite.steps.RESERVE", 2)
    pick = random.Random(seed)
    integer = database.table("t").key_affinity == "INTEGER"
    connection = database.connection
    for _ in range(15):
        commit(connection, pick, integer)
    ways = [Shortcuts(), Shortcuts(on=False)]
    queries = random_queries(pick, integer)
    shown = [
        [first(connection, compile_query(database, each), way) for each in queries] for way in ways
    ]

    def read_both():
        found = []
        for place, way in enumerate(ways):
            reading = read(database, shown[place], way)
            steps = {id(step.before): step for step in reading.steps}
            taken = [steps.get(id(view)) for view in shown[place]]
            shown[place] = [
                step.after if step else view for step, view in zip(taken, shown[place], strict=True)
            ]
            found.append([list(step.changes) if step else [] for step in taken])
        assert [view.rows for view in shown[0]] == [view.rows for view in shown[1]]
        assert [view.members for view in shown[0]] == [view.members for view in shown[1]]
        assert found[0] == found[1]

    for _ in range(60):
        for _ in range(pick.choice([1, 1, 2])):
            commit(connection, pick, integer)
        read_both()
        joins = pick.randrange(len(queries))  # again, maybe where others stay
        for place, way in enumerate(ways):
            plan = compile_query(database, queries[joins])
            shown[place][joins] = first(connection, plan, way)
    # Of several rows any may be the one that is counted: this one comes and goes alone.
    for statement in ("INSERT INTO t (id) VALUES (?)", "DELETE FROM t WHERE id = ?"):
        connection.execute(statement, [99 if integer else "k99"])
        read_both()
    assert ways[1].taken == Counter()
    assert {"gone", "unequal", "outside", "beyond", "merged", "shared"} <= set(ways[0].taken)
    assert ways[0].read < ways[1].read / 2


def test_a_table_with_another_unique_column_is_read_again(tmp_path):
    """No trigger sees the row that OR REPLACE deletes for it."""
    database = Database(tmp_path / "t.sqlite")
    connection = database.connection
    connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY, name TEXT UNIQUE)")
    connection.execute("INSERT INTO t VALUES ('a', 'x'), ('b', 'y')")
    shortcuts = Shortcuts()
    compile_query(database, query("t"))  # makes the triggers, which changes the schema
    view = first(connection, compile_query(database, query("t")), shortcuts)
    connection.execute("INSERT OR REPLACE INTO t VALUES ('c', 'x')")
    [step] = read(database, [view], shortcuts).steps
    assert [row.id for row in step.after.rows] == ["b", "c"]
    assert (shortcuts.taken, shortcuts.read) == (Counter(), 1)
    database.close()


def test_text_that_compares_by_other_bytes_than_utf8_is_not_judged(tmp_path):
    path = tmp_path / "t.sqlite"
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16le'")
        connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY, name TEXT)")
    connection.close()
    database = Database(path)
    shortcuts = Shortcuts()
    compile_query(database, query("t"))  # makes the triggers, which changes the schema
    view = first(database.connection, compile_query(database, query("t", sort=["name"])), shortcuts)
    database.connection.execute("INSERT INTO t VALUES ('1', 'Ā'), ('2', 'b')")
    [step] = read(database, [view], shortcuts).steps
    assert [row.id for row in step.after.rows] == ["1", "2"]  # U+0100 is 00 01 there, b is 62 00
    assert shortcuts.taken == Counter()
    database.close()
