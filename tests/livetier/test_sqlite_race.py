"""Several tiers that come to one database at once."""

import asyncio
import sqlite3
import sys

import pytest

from patience import patiently

PROCESSES = 4

# Opens the database and watches every table as soon as all the others are there.
COME = """
import sys
from pathlib import Path
from livetier.sqlite.database import Database

print("here", flush=True)
sys.stdin.readline()
database = Database(Path(sys.argv[1]))
for name in database.entities():
    database.entity(name)
database.close()
print("watches", flush=True)
"""


@pytest.mark.parametrize("attempt", range(3))
async def test_tiers_that_start_at_once_on_a_new_database_all_watch_it(tmp_path, attempt):
    path = tmp_path / "new.sqlite"
    with sqlite3.connect(path) as db:
        for n in range(20):
            db.execute(f"CREATE TABLE t{n} (id TEXT PRIMARY KEY)")
    db.close()
    children = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", COME, str(path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    async with patiently(30):
        for child in children:
            assert await child.stdout.readline() == b"here\n"
        answers = await asyncio.gather(*(child.communicate(b"go\n") for child in children))
    for out, err in answers:
        assert out == b"watches\n", err.decode()
    with sqlite3.connect(path) as db:
        [(triggers,)] = db.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'")
        assert triggers == 20 * 4, "once each"
        [(starts,)] = db.execute("SELECT count(*) FROM _livetier_log WHERE id IS NULL")
        assert starts == 20, "versions began once"
    db.close()
