# ruff: noqa: S608 (the test's own SQL)
"""Every type of key and of condition: what a commit touches is found, by either capture."""

import asyncio
import gc

import psycopg
import pytest

from livetier.engine.store import Views
from livetier.engine.value import encode_scalar
from livetier.postgres.connection import MOST_PREPARED, Connection, Statement
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.reader import BEGIN, COMMIT
from postgres_support import database, make_store, require_cluster  # noqa: F401 - a fixture
from test_postgres_types import VALUES
from tier_client import leaf, query

pytestmark = pytest.mark.timeout(180)  # it reads hundreds of windows

TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE pair AS (n integer, t text);
CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
"""


def distinct(connection, kind, values):
    """Return those of some values that differ, as PostgreSQL prints them."""
    base = kind.split(" COLLATE")[0]
    found = {}
    for value in values:
        (text,) = connection.execute(f"SELECT (%s::text::{base})::text", (value,)).fetchone()
        same = connection.execute(
            f"SELECT v FROM unnest(%s::text[]) AS v WHERE v::{kind} = %s::text::{base} LIMIT 1",
            (list(found), text),
        ).fetchone()
        if same is None:
            found[text] = value
    return list(found.values())


async def advance(store, views):
    await store.settle()
    reading = await store.read(Views(views))
    after = {id(step.before): step.after for step in reading.steps}
    return [after.get(id(view), view) for view in views]


@pytest.mark.parametrize("capture", ["wal", "trigger"])
async def test_a_row_with_a_key_and_a_value_of_every_type_enters_and_leaves_its_windows(
    database, capture
):
    connection = await asyncio.to_thread(psycopg.connect, database, autocommit=True)
    connection.execute(TYPES + "SET timezone = 'Asia/Tokyo'; SET intervalstyle = 'sql_standard'")
    store = make_store(database, capture=capture)
    await store.open()
    for place, (kind, values) in enumerate(VALUES.items()):
        table, base = f"t{place}", kind.split(" COLLATE")[0]
        connection.execute(f"CREATE TABLE {table} (key {kind} PRIMARY KEY, value {kind})")
        rows = distinct(connection, kind, values)
        for value in rows:
            insert = f"INSERT INTO {table} VALUES (%s::text::{base}, %s::text::{base})"
            connection.execute(insert, (value, value))
        whole = await store.first(await store.compile(query(table, sort=["value"], limit=100), ()))
        asked = [query(table, limit=100)]
        for row in whole.rows:
            condition = leaf("value", "eq", "x")
            condition.comparison.value.CopyFrom(encode_scalar(row.order[0]))
            asked.append(query(table, condition, limit=100))
        views = [await store.first(await store.compile(each, ())) for each in asked]
        assert [len(view.rows) for view in views] == [len(rows), *[1] * len(rows)], kind
        connection.execute(f"DELETE FROM {table}")
        views = await advance(store, views)
        assert [len(view.rows) for view in views] == [0] * len(views), kind
        for value in rows:
            connection.execute(insert, (value, value))
        views = await advance(store, views)
        assert [len(view.rows) for view in views] == [len(rows), *[1] * len(rows)], kind
        for view in views:
            store.release(view)
    await store.close()
    connection.close()


@pytest.mark.parametrize("capture", ["wal", "trigger"])
async def test_a_row_with_a_key_of_several_columns_enters_moves_and_leaves(database, capture):
    connection = await asyncio.to_thread(psycopg.connect, database, autocommit=True)
    connection.execute("CREATE TABLE part (a integer, b text, n integer, PRIMARY KEY (b, a))")
    store = make_store(database, capture=capture)
    await store.open()
    asked = query("part", leaf("n", "gt", 0), sort=["n"], limit=2)
    views = [await store.first(await store.compile(asked, ()))]
    for statement, ids in (
        ("INSERT INTO part VALUES (1, 'x', 5), (2, 'x', 6)", ['["x",1]', '["x",2]']),
        ("UPDATE part SET n = 7 WHERE a = 1", ['["x",2]', '["x",1]']),
        ("UPDATE part SET n = 0 WHERE a = 2", ['["x",1]']),
        ("UPDATE part SET b = 'y' WHERE a = 1", ['["y",1]']),
        ("DELETE FROM part", []),
    ):
        connection.execute(statement)
        views = await advance(store, views)
        assert [row.id for row in views[0].rows] == ids
    await store.close()
    connection.close()


async def test_a_connection_that_has_prepared_very_much_begins_anew_between_transactions(database):
    connection = await Connection.open(database)
    for number in range(2 * MOST_PREPARED + 3):
        answers = await connection.run([BEGIN, Statement(f"SELECT {number}", kept=True), COMMIT])
        assert answers[1] == [(b"%d" % number,)]
    ((kept,),) = await connection.query("SELECT count(*) FROM pg_prepared_statements")
    assert int(kept) <= MOST_PREPARED + 1
    await connection.close()


async def test_a_statement_that_fails_after_its_caller_was_cancelled_is_no_error_of_the_loop(
    database, caplog
):
    connection = await Connection.open(database)
    asking = asyncio.create_task(connection.query("SELECT pg_sleep(0.05), 1/0"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    await connection.reset()
    await connection.close()
    del connection, asking
    gc.collect()
    assert caplog.text == ""


@pytest.fixture
async def tenants(database):
    connection = await asyncio.to_thread(psycopg.connect, database, autocommit=True)
    connection.execute(
        "CREATE TABLE task (id integer PRIMARY KEY, tenant integer, size integer);"
        "INSERT INTO task SELECT n, n % 5, n FROM generate_series(1, 50) AS n"
    )
    store = make_store(database, capture="trigger")
    await store.open()
    asked = [query("task", leaf("tenant", "eq", n), sort=["size"], limit=3) for n in range(5)]
    views = [await store.first(await store.compile(each, ())) for each in asked]
    yield store, connection, await advance(store, views)
    await store.close()
    connection.close()


def ids(connection, tenant):
    return [
        str(key)
        for (key,) in connection.execute(
            f"SELECT id FROM task WHERE tenant = {tenant} ORDER BY size, id LIMIT 3"
        )
    ]


async def test_by_trigger_a_commit_reads_only_the_windows_that_its_rows_as_they_are_now_may_concern(
    tenants,
):
    store, connection, views = tenants
    before = store.figures()
    connection.execute("UPDATE task SET size = size + 1 WHERE id = 1")
    connection.execute("UPDATE task SET tenant = 2, size = 0 WHERE id = 48")  # shown by none before
    connection.execute("UPDATE task SET size = 1000 WHERE id = 49")  # beyond all
    connection.execute("INSERT INTO task VALUES (60, 3, 1); DELETE FROM task WHERE id = 60")
    views = await advance(store, views)
    assert [[row.id for row in view.rows] for view in views] == [
        ids(connection, n) for n in range(5)
    ]
    after = store.figures()
    assert after.readings["touched"] - before.readings["touched"] == 2
    assert after.shortcuts["beyond"] > before.shortcuts["beyond"]


async def test_by_trigger_rows_that_the_tier_may_not_look_at_may_touch_every_window(tenants):
    store, connection, views = tenants
    connection.execute("ALTER TABLE task ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    connection.execute("CREATE POLICY own ON task USING (tenant < 4)")
    name = f"bound_{store._options.conninfo.split('/')[3].split('?')[0]}"
    connection.execute(f"CREATE ROLE {name} LOGIN; GRANT SELECT ON task TO {name}")
    database = store._options.conninfo.split("/")[3].split("?")[0]
    bound = make_store(require_cluster().url(database, user=name), capture="trigger")
    with pytest.raises(DatabaseError, match="GRANT SELECT, DELETE ON ") as caught:
        await bound.open()
    connection.execute(str(caught.value).partition("must run: ")[2])
    await bound.open()
    views = [await bound.first(await bound.compile(view.plan.query, ())) for view in views]
    views = await advance(bound, views)
    before = bound.figures().readings["touched"]
    connection.execute("UPDATE task SET size = 0 WHERE id = 48")
    views = await advance(bound, views)
    assert views[3].rows[0].id == "48"
    assert views[4].rows == ()
    assert bound.figures().readings["touched"] - before == 5
    await bound.close()


async def test_tiers_that_start_together_make_their_things_once(database):
    connection = await asyncio.to_thread(psycopg.connect, database, autocommit=True)
    connection.execute("CREATE TABLE task (id integer PRIMARY KEY)")
    stores = [make_store(database, capture="trigger") for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.compile(query("task"), ()) for store in stores))
    for store in stores:
        await store.close()
    assert connection.execute("SELECT count(*) FROM pg_trigger").fetchone() == (4,)
    connection.close()


async def test_a_function_that_another_version_has_made_is_replaced_when_its_table_is_watched(
    tenants, database
):
    _, connection, _ = tenants
    name = connection.execute("SELECT 'livequery.record_' || 'task'::regclass::oid").fetchone()[0]
    connection.execute(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'"
    )
    store = make_store(database, capture="trigger")
    await store.open()
    view = await store.first(await store.compile(query("task", sort=["size"], limit=1), ()))
    views = await advance(store, [view])  # the first reading reads everything
    connection.execute("UPDATE task SET size = 0 WHERE id = 48")
    [view] = await advance(store, views)
    assert [row.id for row in view.rows] == ["48"]
    await store.close()


async def test_a_store_that_is_closed_leaves_no_timer_behind(tenants):
    store, _, _ = tenants
    store.ledger.force()
    await store.read(Views())  # windows are due and stay so: it will look again soon
    store._wake.clear()
    await store.close()
    await asyncio.sleep(0.1)
    assert not store._wake.is_set()


async def test_where_a_function_of_another_key_stays_no_change_is_missed(database):
    """Of a role that may not replace it."""
    name = database.split("/")[3].split("?")[0]
    reader = f"reader_{name}"
    connection = await asyncio.to_thread(psycopg.connect, database, autocommit=True)
    connection.execute(
        "CREATE TABLE thing (id text PRIMARY KEY, part integer, size integer);"
        "INSERT INTO thing SELECT n::text, n, n FROM generate_series(1, 50) AS n"
    )
    owner = make_store(database, capture="trigger")
    await owner.open()
    await owner.first(await owner.compile(query("thing"), ()))
    await owner.close()
    connection.execute(
        "ALTER TABLE thing DROP CONSTRAINT thing_pkey, ADD PRIMARY KEY (part, id);"
        f"CREATE ROLE {reader} LOGIN; GRANT SELECT ON thing TO {reader};"
        f"GRANT SELECT, DELETE ON livequery.change TO {reader}"
    )
    store = make_store(require_cluster().url(name, user=reader), capture="trigger")
    await store.open()
    view = await store.first(await store.compile(query("thing", sort=["size"], limit=1), ()))
    views = await advance(store, [view])  # the first reading reads everything
    connection.execute("UPDATE thing SET size = 0 WHERE id = '48'")
    [view] = await advance(store, views)
    assert [row.id for row in view.rows] == ['[48,"48"]']
    await store.close()
    connection.close()
