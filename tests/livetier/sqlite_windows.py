"""What a query selects now, read by a connection of the test's own."""

import json

from livetier.sqlite.compile import compile_query
from livetier.sqlite.database import Database
from livetier.sqlite.reader import first


def window(database, live_query):
    _, view = first(database.connection, compile_query(database, live_query))
    return view.rows


def entries(path, live_query):
    """Return the window as (id, version, row), the form of ``Live.rows``; blocks."""
    database = Database(path)
    found = [(row.id, row.version, json.loads(row.json)) for row in window(database, live_query)]
    database.close()
    return found
