"""SQLite: commit → browser with 200 windows of four shapes; an UPDATE of 30,000 rows."""

import random
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.tier.lag import Figures, Query, commit_to_browser, paced
from livetier.sqlite.database import Database

WINDOWS, ROWS, UPDATED = 200, 10_000, 30_000


def _item(column: str, op: str, value: Any) -> list[dict[str, Any]]:
    return [{"column": column, "op": op, "value": value}]


def shapes(number: int) -> dict[str, Query]:
    """Return a query of each shape that the windows differ by."""
    head = {"entity": "item", "limit": 20 + number}
    rising = [{"column": "n"}]
    step = 1_000_000 // WINDOWS
    return {
        "equality": {
            "entity": "item",
            "where": _item("grp", "eq", f"g{number}"),
            "sort": rising,
            "limit": 50,
        },
        "range": {
            "entity": "item",
            "where": _item("n", "gte", number * step),
            "sort": rising,
            "limit": 50,
        },
        "head of one order": {**head, "sort": [{"column": "n", "desc": True}]},
        "every window changes": {
            **head,
            "where": _item("note", "like", "%x%"),
            "sort": [{"column": "stamp", "desc": True}],
        },
    }


def _make(path: Path) -> None:
    pick = random.Random(1)  # noqa: S311 - figures, not secrets
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute(
            "CREATE TABLE item (id TEXT PRIMARY KEY, grp TEXT, n INTEGER, stamp REAL, note TEXT)"
        )
        connection.executemany(
            "INSERT INTO item VALUES (?, ?, ?, 0, 'xy')",
            [(f"i{n:05}", f"g{n % WINDOWS}", pick.randrange(10**6)) for n in range(ROWS)],
        )
        for place, columns in enumerate(("grp, n", "n", "stamp")):
            connection.execute(f"CREATE INDEX by_{place} ON item ({columns})")
    connection.close()


def _write(path: Path) -> int:
    pick = random.Random(2)  # noqa: S311 - figures, not secrets
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)

    def commit(_: int, now: float) -> None:
        key, number = f"i{pick.randrange(ROWS):05}", pick.randrange(10**6)
        connection.execute("UPDATE item SET n = ?, stamp = ? WHERE id = ?", (number, now, key))

    try:
        return paced(commit)
    finally:
        connection.close()


async def lags(shape: str) -> Figures:
    """Measure the tier over a file of its own, with windows of one shape."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "item.sqlite"
        _make(path)
        return await commit_to_browser(
            f"sqlite:///{path}",
            queries=[shapes(number)[shape] for number in range(WINDOWS)],
            write=lambda: _write(path),
        )


def update() -> Figures:
    """Measure an UPDATE of many rows without and with the tier's triggers, the best of four."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.sqlite"
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, n INTEGER, text TEXT)")
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO t VALUES (?, 1, 'some text')", ((f"row-{n:06}",) for n in range(UPDATED))
        )
        connection.execute("COMMIT")
        plain = _least(connection)
        database = Database(path)
        database.entity("t")
        database.close()
        triggered = _least(connection)
        connection.close()
    bar = 1.5 * plain + UPDATED * 5e-6
    return {
        "plain_ms": round(plain * 1000, 1),
        "ms": round(triggered * 1000, 1),
        "bar_ms": round(bar * 1000, 1),
    }


def _least(connection: sqlite3.Connection) -> float:
    found = []
    for _ in range(4):
        began = time.perf_counter()
        connection.execute("UPDATE t SET n = n + 1")
        found.append(time.perf_counter() - began)
    return min(found)
