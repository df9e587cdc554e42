"""`tier forget`, and files that can't be used."""

import contextlib
import sqlite3

import pytest
from click.testing import CliRunner

from bridge.cli import cli
from livetier.engine.errors import TierError
from livetier.server import TierOptions, start_tier
from livetier.sqlite.database import Database
from livetier.sqlite.unusable import UnusableDatabaseError, explained
from tier_client import Live, query


def run(*arguments):
    found = CliRunner().invoke(cli, ["tier", *arguments])
    assert "Traceback" not in found.output
    return found.exit_code, found.output


def contents(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        return mode, sorted(connection.execute("SELECT name FROM sqlite_master").fetchall())


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_forget_leaves_the_file_as_it_was_before_the_tier(tmp_path, mode):
    path = tmp_path / "shop.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE a (id TEXT PRIMARY KEY)")
        connection.execute('CREATE TABLE "b ""c""" (id)')
        connection.execute("CREATE TRIGGER own AFTER INSERT ON a BEGIN SELECT 1; END")
        connection.commit()
    before = contents(path)
    for _ in range(2):
        database = Database(path)
        database.entity("a")
        database.entity('b "c"')
        database.connection.execute("INSERT INTO a VALUES ('x')")
        database.close()
        assert contents(path)[0] == "wal"
        code, said = run("forget", "--database", str(path))
        assert (code, f"8 triggers and 3 tables taken away; journal mode is {mode}" in said) == (
            0,
            True,
        )
        assert contents(path) == before
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("DELETE FROM a").rowcount == 1
            connection.commit()
    code, said = run("forget", "--database", f"sqlite:///{path}")
    assert (code, "0 triggers and 0 tables" in said) == (0, True)
    assert contents(path) == before


def test_forget_says_that_the_file_is_in_use(tmp_path, monkeypatch):
    monkeypatch.setattr("livetier.sqlite.forget.BUSY_SECONDS", 0.05)
    path = tmp_path / "shop.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE a (id TEXT PRIMARY KEY)")
    database = Database(path)
    code, said = run("forget", "--database", str(path))
    assert (code, "is in use" in said) == (1, True)
    database.close()


@pytest.mark.parametrize("command", [("forget",), ()])
def test_what_is_no_database_is_told_in_a_sentence(tmp_path, command):
    path = tmp_path / "text"
    path.write_text("this is no database " * 100)
    code, said = run(*command, "--database", f"sqlite:///{path}")
    assert (code, said) == (1, f"Error: {path} is no SQLite database\n")
    code, said = run(*command, "--database", f"sqlite:///{tmp_path}/missing")
    assert (code, said) == (1, f"Error: there is no database {tmp_path}/missing\n")
    assert run(*command, "--database", "mysql://x")[0] == 2


async def test_a_locked_file_is_told_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("livetier.sqlite.database.BUSY_SECONDS", 0.05)
    path = tmp_path / "shop.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA locking_mode = exclusive")
        connection.execute("CREATE TABLE a (id TEXT PRIMARY KEY)")
        with pytest.raises(OSError, match="is locked by another program"):
            await start_tier(TierOptions(database=f"sqlite:///{path}"))


def test_a_read_only_file_is_told_in_a_sentence(tmp_path):
    path = tmp_path / "shop.sqlite"
    sqlite3.connect(path).close()
    with (
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection,
        pytest.raises(UnusableDatabaseError, match="can't be written to"),
        explained(path),
    ):
        connection.execute("CREATE TABLE a (id)")


@pytest.mark.parametrize(("name", "kind"), [("seen", "view"), ("words", "virtual table")])
def test_a_view_is_refused_by_what_it_is(tmp_path, name, kind):
    database = Database(tmp_path / "t.sqlite")
    database.connection.execute("CREATE TABLE plain (a)")
    database.connection.execute("CREATE VIEW seen AS SELECT * FROM plain")
    database.connection.execute("CREATE VIRTUAL TABLE words USING fts5 (body)")
    with pytest.raises(TierError, match=f'"{name}" is a {kind}; only tables') as refused:
        database.entity(name)
    assert refused.value.field == "entity"
    database.close()


@pytest.mark.parametrize("shortcuts", [True, False])
async def test_the_tier_serves_with_shortcuts_and_without(tiers, things, shortcuts):
    url, connection = things
    tier = await tiers(database=url, shortcuts=shortcuts)
    async with Live(tier, query("thing", sort=["name"])) as live:
        for size in range(3):
            connection.execute("INSERT OR REPLACE INTO thing VALUES ('a', 'x', ?, NULL)", (size,))
            await live.caught_up()
        assert [row[2]["size"] for row in live.rows] == [2]
    taken = tier.watcher._store.shortcuts.taken
    assert bool(taken["merged"]) is shortcuts
