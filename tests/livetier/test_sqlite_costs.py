"""What the tier costs a database and its writers, in CPU time, which other programs do not change."""

import random
import sqlite3
import time

import pytest

from livetier.engine.shortcuts import Shortcuts
from livetier.sqlite.compile import compile_query
from livetier.sqlite.database import Database
from livetier.sqlite.reader import first, read
from tier_client import leaf, query

ROWS = 30_000


def cheapest(connection, statement, times=4):
    """Return the least CPU seconds that a statement took, undone each time."""
    taken = []
    for _ in range(times):
        connection.execute("BEGIN")
        began = time.thread_time()
        connection.execute(statement)
        taken.append(time.thread_time() - began)
        connection.execute("ROLLBACK")
    return min(taken)


@pytest.mark.parametrize(
    ("key", "statement"),
    [
        ("TEXT", "UPDATE t SET n = n + 1"),
        ("TEXT", "DELETE FROM t"),
        ("TEXT", "INSERT INTO t SELECT id || 'x', n, text FROM t"),
        ("TEXT", "INSERT OR REPLACE INTO t SELECT * FROM copy"),
        ("INTEGER", "UPDATE t SET n = n + 1"),
        ("", "UPDATE t SET n = n + 1"),
    ],
)
@pytest.mark.parametrize(
    "most",
    [pytest.param(15e-6, id="loose"), pytest.param(5e-6, id="strict", marks=pytest.mark.soak)],
)
def test_a_statement_over_30000_rows_costs_few_microseconds_a_row_more(
    tmp_path, key, statement, most
):
    # Beside other programs a processor's caches are cold: CPU time grows, too.
    path = tmp_path / "t.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute(f"CREATE TABLE t (id {key} PRIMARY KEY NOT NULL, n INTEGER, text TEXT)")
    ids = (n if key == "INTEGER" else f"row-{n:06}" for n in range(ROWS))
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t VALUES (?, 1, 'some text')", ((i,) for i in ids))
    connection.execute("COMMIT")
    connection.execute("CREATE TABLE copy AS SELECT * FROM t")
    plain = cheapest(connection, statement)
    database = Database(path)
    database.entity("t")
    database.close()
    connection.execute("UPDATE t SET n = n")  # now each row has a version of its own
    triggered = cheapest(connection, statement)
    connection.close()
    assert triggered <= 1.5 * plain + ROWS * most, (plain, triggered)


def shapes(number):
    """Queries that 200 windows differ by."""
    return [
        query("item", leaf("grp", "eq", f"g{number}"), sort=["n"], limit=50),
        query("item", leaf("n", "gte", number * 5000), sort=["n"], limit=50),
        query("item", sort=["-n"], limit=20 + number),
        query("item", leaf("note", "like", "%x%"), sort=["-at"], limit=20 + number),
    ]


@pytest.mark.parametrize("shape", range(4))
def test_200_windows_are_not_read_again_for_a_change_of_one_row(tmp_path, shape):
    database = Database(tmp_path / "t.sqlite")
    connection, pick = database.connection, random.Random(shape)
    connection.execute("CREATE TABLE item (id TEXT PRIMARY KEY, grp, n INTEGER, at REAL, note)")
    connection.execute("CREATE INDEX by_group ON item (grp, n)")
    connection.execute("CREATE INDEX by_n ON item (n)")
    connection.executemany(
        "INSERT INTO item VALUES (?, ?, ?, ?, 'xy')",
        [(f"i{n:05}", f"g{n % 200}", pick.randrange(10**6), 0.0) for n in range(5000)],
    )
    database.entity("item")
    shortcuts = Shortcuts()
    views = [
        first(connection, compile_query(database, shapes(number)[shape]), shortcuts)
        for number in range(200)
    ]
    for at in range(50):
        connection.execute(
            "UPDATE item SET n = ?, at = ? WHERE id = ?",
            (pick.randrange(10**6), float(at + 1), f"i{pick.randrange(5000):05}"),
        )
        after = {id(step.before): step.after for step in read(database, views, shortcuts).steps}
        views = [after.get(id(view), view) for view in views]
    assert sum(shortcuts.taken.values()) + shortcuts.read == 50 * 200
    assert shortcuts.read < 50
    for number in (0, 99, 199):
        plan = compile_query(database, shapes(number)[shape])
        assert views[number].rows == first(connection, plan, Shortcuts()).rows
    database.close()
