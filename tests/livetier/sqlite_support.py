"""What a query selects now, read by a connection of the test's own; rows to select from."""

import json

from livetier.engine.shortcuts import Shortcuts
from livetier.sqlite.compile import compile_query
from livetier.sqlite.reader import first


def window(database, live_query):
    plan = compile_query(database, live_query)
    return first(database.connection, plan, Shortcuts()).rows


def entries(database, live_query):
    """Return the window as (id, version, row), the form of ``Live.rows``."""
    return [(row.id, row.version, json.loads(row.json)) for row in window(database, live_query)]


def fill(connection, names):
    """Insert a row into the table of the fixture ``things`` for each name."""
    for name in names:
        connection.execute("INSERT INTO thing (id, name) VALUES (?, ?)", (f"id-{name}", name))
