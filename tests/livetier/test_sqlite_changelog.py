import sqlite3

import pytest

from livetier.sqlite import changelog
from livetier.sqlite.database import Database
from sqlite_support import window
from tier_client import query


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "log.sqlite")
    database.connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER UNIQUE)")
    database.entity("t")
    yield database
    database.close()


def run(database, statement, *params):
    """Execute in another connection, as another process would."""
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute(statement, params)
    other.close()


def versions(database, entity="t"):
    return {row.id: row.version for row in window(database, query(entity, limit=100))}


def test_every_change_is_logged_whoever_makes_it(database):
    start = changelog.position(database.connection)
    run(database, "INSERT INTO t VALUES ('a', 1), ('b', 2)")
    run(database, "UPDATE t SET n = 9 WHERE id = 'a'")
    run(database, "DELETE FROM t WHERE id = 'b'")
    changes = changelog.since(database.connection, start.seq)
    assert changes.complete
    assert list(changes.ids["t"]) == ["a", "b"]
    assert changelog.position(database.connection).seq == start.seq + 4


@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "INSERT OR IGNORE", "REPLACE"])
def test_a_version_only_ever_grows_over_deletion_and_any_way_to_insert(database, verb):
    seen = [0]
    for statement in (
        f"{verb} INTO t VALUES ('a', 1)",
        "UPDATE t SET n = 2",
        f"{verb} INTO t VALUES ('a', 3)"
        if "IGNORE" not in verb
        else "UPDATE OR IGNORE t SET n = 3",
        "DELETE FROM t",
        f"{verb} INTO t VALUES ('a', 1) ON CONFLICT DO UPDATE SET n = 5",
        f"{verb} INTO t VALUES ('a', 1) ON CONFLICT (id) DO UPDATE SET n = 5"
        if verb == "INSERT OR IGNORE"
        else "UPDATE t SET n = 8",
    ):
        run(database, statement)
        if rows := versions(database):
            seen.append(rows["a"])
    assert seen == sorted(set(seen))


def test_a_changed_key_is_one_row_gone_and_another_come(database):
    run(database, "INSERT INTO t VALUES ('a', 1)")
    start = changelog.position(database.connection)
    run(database, "UPDATE t SET id = 'z'")
    assert set(changelog.since(database.connection, start.seq).ids["t"]) == {"a", "z"}
    assert versions(database)["z"] == start.seq + 2


def test_rows_from_before_have_the_version_of_the_moment_that_watching_began(tmp_path):
    path = tmp_path / "old.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE old (k PRIMARY KEY)")
    other.execute("INSERT INTO old VALUES ('x')")
    other.commit()
    other.close()
    database = Database(path)
    begun = versions(database, "old")["x"]
    run(database, "UPDATE old SET k = k")
    assert versions(database, "old")["x"] > begun > 0
    database.close()


def test_the_log_trims_itself_and_says_so(database):
    start = changelog.position(database.connection)
    run(
        database,
        "WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ?)"
        " INSERT INTO t SELECT i, i FROM c",
        changelog.KEPT + 50,
    )
    count = database.connection.execute("SELECT count(*) FROM _livetier_log").fetchone()[0]
    assert count == changelog.KEPT
    assert not changelog.since(database.connection, start.seq).complete
    end = changelog.position(database.connection).seq
    assert changelog.since(database.connection, end).complete
    assert changelog.since(database.connection, end - 5).complete


def test_stream_ids_grow_even_when_the_clock_goes_back(database):
    run(database, "INSERT INTO t VALUES ('a', 1)")
    far = 9_999_999_999_999
    run(database, "UPDATE _livetier_log SET at_ms = ?", far)
    run(database, "UPDATE t SET n = 2")
    assert changelog.position(database.connection).at_ms == far


def test_watching_is_installed_once_and_again_for_a_table_made_anew(database):
    position = changelog.position(database.connection)
    database.entity("t")
    assert changelog.position(database.connection) == position
    run(database, "DROP TABLE t")
    run(database, "CREATE TABLE t (id TEXT PRIMARY KEY)")
    database.entity("t")
    assert changelog.position(database.connection).seq == position.seq + 1
    run(database, "ALTER TABLE t RENAME TO u")
    database.entity("u")
    run(database, "INSERT INTO u VALUES ('a')")
    assert "u" in changelog.since(database.connection, position.seq + 1).ids


def test_tiers_that_watch_a_table_at_once_make_its_triggers_once(tmp_path, monkeypatch):
    slow, quick = Database(tmp_path / "log.sqlite"), Database(tmp_path / "log.sqlite")
    slow.connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER)")
    look = changelog._installed

    def overtaken(connection, entity):
        found = look(connection, entity)
        if connection is slow.connection and not found:
            quick.entity("t")
        return found

    monkeypatch.setattr(changelog, "_installed", overtaken)
    slow.entity("t")
    run(slow, "INSERT INTO t VALUES ('a', 1)")
    # One number for the table that is watched, one for the row.
    assert changelog.position(slow.connection).seq == 2
    for database in (slow, quick):
        database.close()
