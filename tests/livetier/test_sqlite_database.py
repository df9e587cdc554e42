import json
import math

import pytest

from livetier.engine.errors import TierError
from livetier.sqlite.database import Database, affinity_of, path_of
from sqlite_support import window
from tier_client import query


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "schema.sqlite")
    yield database
    database.close()


def rows(database, entity, **options):
    found = window(database, query(entity, **options))
    return [(row.id, json.loads(row.json)) for row in found]


def test_any_table_is_an_entity_but_views_and_the_logs_own_are_not(database):
    execute = database.connection.execute
    execute('CREATE TABLE "an odd "" name" (a)')
    execute("CREATE TABLE plain (a INTEGER PRIMARY KEY AUTOINCREMENT)")
    execute("CREATE VIEW seen AS SELECT * FROM plain")
    execute("CREATE VIRTUAL TABLE words USING fts5 (body)")
    assert database.entities() == ['an odd " name', "plain"]
    execute('INSERT INTO "an odd "" name" VALUES (1)')
    assert rows(database, 'an odd " name') == [("1", {"a": 1})]


@pytest.mark.parametrize("name", ["_livetier_log", "sqlite_master", "nothing", "Flights", ""])
def test_what_is_no_entity_is_not_found(database, name):
    database.connection.execute("CREATE TABLE flights (a)")
    with pytest.raises(TierError) as caught:
        database.entity(name)
    assert caught.value.field == "entity"
    assert ("did you mean" in caught.value.message) == (name == "Flights")


def test_ids_are_the_key_the_rowid_or_the_array_of_the_keys_parts(database):
    execute = database.connection.execute
    execute("CREATE TABLE one (k TEXT PRIMARY KEY, v) WITHOUT ROWID")
    execute("CREATE TABLE none (rowid TEXT, v)")
    execute("CREATE TABLE two (a TEXT, b INTEGER, v, PRIMARY KEY (b, a))")
    execute('CREATE TABLE odd ("{row}" TEXT PRIMARY KEY)')
    execute("INSERT INTO one VALUES ('x', 1)")
    execute("INSERT INTO none VALUES ('mine', 1)")
    execute("INSERT INTO two VALUES ('x', 1, 2)")
    execute("INSERT INTO two VALUES (x'00ff', 2, 2)")
    execute("INSERT INTO odd VALUES ('y')")
    assert [row[0] for row in rows(database, "one")] == ["x"]
    assert rows(database, "none") == [("1", {"rowid": "mine", "v": 1})]
    assert [row[0] for row in rows(database, "two")] == ['[1,"x"]', '[2,"00FF"]']
    assert [row[0] for row in rows(database, "odd")] == ["y"]
    database.entity("two")
    execute("INSERT INTO two VALUES (x'01', 3, 2)")  # no trigger stands in a writer's way
    assert len(rows(database, "two")) == 3


def test_a_row_without_an_id_is_not_shown_and_does_no_harm(database):
    database.connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY)")
    database.entity("t")
    database.connection.execute("INSERT INTO t VALUES (NULL), ('a')")
    assert [row[0] for row in rows(database, "t")] == ["a"]


def test_a_row_is_one_json_object_of_all_columns(database):
    database.connection.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, r REAL, s TEXT, b BLOB, n, double"
        " GENERATED ALWAYS AS (i * 2))"
    )
    database.connection.execute(
        "INSERT INTO t (i, r, s, b) VALUES (?, ?, ?, ?)", (2**60 + 1, 0.5, "é\n", b"\x00\xff")
    )
    ((_, row),) = rows(database, "t")
    assert row == {
        "id": 1, "i": 2**60 + 1, "r": 0.5, "s": "é\n", "b": "AP8=", "n": None,
        "double": 2**61 + 2,
    }  # fmt: skip


def test_infinity_and_text_that_is_not_utf8_still_make_json(database):
    database.connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, s TEXT)")
    database.connection.execute(
        "INSERT INTO t VALUES (1, ?, CAST(x'ff' AS TEXT)), (2, ?, 'Infinity')",
        (math.inf, -math.inf),
    )
    (_, one), (_, two) = rows(database, "t")
    assert one == {"id": 1, "r": math.inf, "s": "\ufffd"}
    assert two == {"id": 2, "r": -math.inf, "s": "Infinity"}


@pytest.mark.parametrize(
    ("declared", "affinity"),
    [("BIGINT", "INTEGER"), ("VARCHAR(9)", "TEXT"), ("", "BLOB"), ("DOUBLE", "REAL"),
     ("DATETIME", "NUMERIC"), ("FLOATING POINT", "INTEGER")],
)  # fmt: skip
def test_affinities_are_those_of_the_manual(declared, affinity):
    assert affinity_of(declared) == affinity


def test_a_url_names_a_relative_or_an_absolute_file():
    assert str(path_of("sqlite:///a/b.db")) == "a/b.db"
    assert str(path_of("sqlite:////a/b.db")) == "/a/b.db"
    for url in ("postgres://x/y", "sqlite://x", "sqlite:///", "sqlite:///:memory:", "x"):
        with pytest.raises(ValueError, match="not a database URL"):
            path_of(url)
