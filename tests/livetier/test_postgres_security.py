# ruff: noqa: S608 (the test's own SQL)
"""Row policies decide what a caller sees; names and values of every hostile kind do nothing else."""

import asyncio
import json
import random
import re

import grpc
import psycopg
import pytest

from livetier.engine.errors import TierError
from livetier.engine.watcher import Watcher
from livetier.postgres.scope import parse_rules
from postgres_support import database, make_store, require_cluster  # noqa: F401 - a fixture
from tier_client import leaf, query

pytestmark = pytest.mark.timeout(180)  # it asks thousands of queries

POLICIES = """
CREATE ROLE {role} LOGIN REPLICATION;
CREATE TABLE member (tenant text, weight integer, PRIMARY KEY (tenant));
CREATE TABLE task (id integer PRIMARY KEY, tenant text NOT NULL, name text);
INSERT INTO member VALUES ('a', 1), ('b', 1);
ALTER TABLE task ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON task USING (tenant = current_setting('app.tenant', true)
    AND EXISTS (SELECT FROM member m WHERE m.tenant = task.tenant AND m.weight > 0));
GRANT SELECT, TRIGGER ON task, member TO {role};
GRANT CREATE ON DATABASE {database} TO {role};
"""


@pytest.fixture(params=["wal", "trigger"])
async def guarded(database, request):
    """A store of a role that is bound by policies, and a connection of the owner."""
    name = database.split("/")[3].split("?")[0]
    role = f"reader_{name}"
    connection = await asyncio.to_thread(psycopg.connect, database, autocommit=True)
    connection.execute(POLICIES.format(role=role, database=name))
    connection.execute("CREATE PUBLICATION livequery WITH (publish_via_partition_root = true)")
    connection.execute("ALTER PUBLICATION livequery ADD TABLE task, member")
    url = require_cluster().url(name, user=role)
    store = make_store(url, capture=request.param, rules=parse_rules(["app.tenant=x-tenant"], None))
    watcher = Watcher(store)
    await watcher.open()
    running = asyncio.create_task(watcher.run())
    yield watcher, connection
    running.cancel()
    await asyncio.wait([running])
    await watcher.close(TierError(grpc.StatusCode.UNAVAILABLE, "STOPPING", "stopping"))
    connection.close()


def shown(subscription):
    return [json.loads(row.json) for row in subscription.view.rows]


async def test_rows_that_move_between_tenants_reach_no_other_and_none_is_missed(guarded):
    await move_rows(*guarded, changes=2_000)


@pytest.mark.soak
async def test_a_hundred_thousand_moves_between_tenants_reach_no_other_and_none_is_missed(guarded):
    await move_rows(*guarded, changes=100_000)


async def move_rows(watcher, connection, *, changes):
    subscriptions = {
        (tenant, asked.limit): await watcher.subscribe(
            f"{tenant}{asked.limit}", asked, [("x-tenant", tenant)]
        )
        for tenant in "ab"
        for asked in (query("task", sort=["name"], limit=7), query("task", limit=500))
    }
    seen = []
    for (tenant, _), subscription in subscriptions.items():
        subscription.take_reset()
        offer = subscription.offer

        def spy(group, tenant=tenant, offer=offer):
            seen.extend((tenant, json.loads(delta.row)["tenant"]) for delta in group if delta.row)
            offer(group)

        subscription.offer = spy
    pick = random.Random(3)

    def write():
        for number in range(changes):
            key, tenant = pick.randint(0, 60), pick.choice("abc")
            if number % 100 == 50:
                connection.execute(
                    "UPDATE member SET weight = 1 - weight WHERE tenant = %s", (tenant,)
                )
            connection.execute(
                "INSERT INTO task VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, name = excluded.name",
                (key, tenant, str(pick.randint(0, 99))),
            )

    await asyncio.to_thread(write)
    await watcher.settle()
    assert len(seen) > 100
    assert {pair for pair in seen if pair[0] != pair[1]} == set()
    weights = dict(connection.execute("SELECT tenant, weight FROM member").fetchall())
    for (tenant, limit), subscription in subscriptions.items():
        order = "name, id" if limit == 7 else "id"
        expected = connection.execute(
            f"SELECT row_to_json(task) FROM task WHERE tenant = %s ORDER BY {order} LIMIT %s",
            (tenant, limit),
        ).fetchall()
        assert shown(subscription) == ([row for (row,) in expected] if weights[tenant] else [])


async def test_callers_share_a_window_within_their_scope_only(guarded):
    watcher, _ = guarded
    one, same, other = [
        await watcher.subscribe(str(place), query("task"), [("x-tenant", tenant)])
        for place, tenant in enumerate("aab")
    ]
    assert one.view is same.view is not other.view


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [((), "MISSING_METADATA"), ([("x-tenant", "")], "MISSING_METADATA"), ([("x-tenant", "a"), ("x-tenant", "b")], "BAD_METADATA")],
)  # fmt: skip
async def test_a_call_without_the_one_metadata_that_decides_is_refused(guarded, metadata, reason):
    watcher, _ = guarded
    with pytest.raises(TierError) as caught:
        await watcher.subscribe("s", query("task"), metadata)
    assert caught.value.reason == reason


async def test_with_settings_a_role_that_no_policy_binds_serves_no_guarded_table(guarded, database):
    store = make_store(database, capture="wal", rules=parse_rules(["app.tenant=x-tenant"], None))
    await store.open()
    with pytest.raises(TierError) as caught:
        await store.compile(query("task"), [("x-tenant", "a")])
    assert caught.value.reason == "UNGUARDED"
    await store.close()


async def test_a_role_from_metadata_is_one_of_the_listed_and_decides_what_is_there(database):
    connection = await asyncio.to_thread(psycopg.connect, database, autocommit=True)
    name = database.split("/")[3].split("?")[0]
    few, many = f"few_{name}", f"many_{name}"
    connection.execute(
        f"CREATE ROLE {few}; CREATE ROLE {many}; CREATE TABLE note (id integer PRIMARY KEY, open text, secret text);"
        f"GRANT SELECT (id, open) ON note TO {few}; GRANT SELECT ON note TO {many}; INSERT INTO note VALUES (1, 'o', 's')"
    )
    store = make_store(database, capture="wal", rules=parse_rules([], f"x-role={few},{many}"))
    await store.open()

    async def row(role):
        view = await store.first(await store.compile(query("note"), [("x-role", role)]))
        return json.loads(view.rows[0].json)

    assert await row(few) == {"id": 1, "open": "o"}
    assert await row(many) == {"id": 1, "open": "o", "secret": "s"}
    with pytest.raises(TierError) as caught:
        await store.compile(query("note", leaf("secret", "eq", "s")), [("x-role", few)])
    assert caught.value.field == "where[0].column"
    with pytest.raises(TierError) as caught:
        await row("postgres")
    assert caught.value.code == grpc.StatusCode.PERMISSION_DENIED
    (entity,) = (await store.describe([("x-role", few)])).entities
    assert [column.name for column in entity.columns] == ["id", "open"]
    await store.close()
    connection.close()


HOSTILE = [
    "'; SELECT pwned(); --", '"; SELECT pwned(); --', "$1); SELECT pwned(); --", "$$; SELECT pwned(); $$",
    "\\'; SELECT pwned(); --", "a\"b'c\\d%s{0}:x?", "/* pwned() */", "x --pwned()", "E'\\x27 pwned()", "Ω\u202epwned()", " pwned() ",
]  # fmt: skip


async def test_hostile_names_and_values_through_every_operator_run_no_statement_but_ours(database):
    connection = await asyncio.to_thread(psycopg.connect, database, autocommit=True)
    connection.execute(
        "CREATE TABLE victim (id integer); CREATE FUNCTION pwned() RETURNS integer LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE WARNING 'PWNED'; DROP TABLE victim; RETURN 1; END $$; CREATE DOMAIN pwn AS text CHECK (true)"
    )
    identifier = psycopg.sql.Identifier
    for number, name in enumerate(HOSTILE):
        connection.execute(
            psycopg.sql.SQL("CREATE TABLE {} ({} text PRIMARY KEY, {} text, {} integer)").format(
                *map(identifier, (name, name, f"{name}2", f"{name}3"))
            )
        )
        literal = psycopg.sql.Literal
        connection.execute(
            psycopg.sql.SQL("INSERT INTO {} VALUES ({}, {}, {})").format(
                identifier(name), literal(name), literal(name), literal(number)
            )
        )
    connection.execute(
        "ALTER DATABASE " + database.split("/")[3].split("?")[0] + " SET log_statement = 'all'"
    )
    for capture in ("wal", "trigger"):
        store = make_store(
            database, capture=capture, rules=parse_rules(["app.tenant=x-tenant"], None)
        )
        await store.open()
        for place, name in enumerate(HOSTILE):
            metadata = [("x-tenant", name)]
            for value in (name, HOSTILE[place - 1]):
                for op in ("eq", "ne", "gt", "gte", "lt", "lte", "in", "notin", "like", "ilike"):
                    for column in (name, f"{name}3"):
                        operand = [value] if op in ("in", "notin") else value
                        try:
                            asked = query(
                                name,
                                leaf(column, op, operand),
                                sort=[f"{name}2"],
                                cursor=[value, value],
                            )
                            view = await store.first(await store.compile(asked, metadata))
                            assert len(view.rows) <= 1
                        except TierError:
                            assert column == f"{name}3"  # no number, no text
            with pytest.raises(TierError):
                await store.compile(query(f"{name}x", leaf(name, "eq", name)), metadata)
            with pytest.raises(TierError):
                await store.compile(query(name, leaf(f"{name}x", "eq", name)), metadata)
            with pytest.raises(TierError):
                await store.compile(query(name, sort=[f"{name}x"]), metadata)
            view = await store.first(
                await store.compile(query(name, leaf(name, "eq", name)), metadata)
            )
            assert [row.id for row in view.rows] == [name]
            await asyncio.to_thread(
                connection.execute,
                psycopg.sql.SQL("UPDATE {} SET {} = 'new'").format(
                    identifier(name), identifier(f"{name}2")
                ),
            )
            await store.describe(metadata)
        await store.settle()
        await store.close()
    assert connection.execute("SELECT count(*) FROM victim").fetchone() == (0,)
    connection.close()
    log = require_cluster().log()
    assert "WARNING:  PWNED" not in log
    ours = re.compile(
        r"(statement|execute [^:]*):\s*(BEGIN|SELECT|SET|SHOW|WITH|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|LISTEN|DEALLOCATE|IDENTIFY|CREATE|ALTER|DROP|INSERT|UPDATE|DELETE|TRIM|GRANT|NOTIFY|TRUNCATE|START|$)",
        re.IGNORECASE,
    )
    said = [
        line for line in log.splitlines() if "LOG:  statement:" in line or "LOG:  execute" in line
    ]
    assert said
    assert [line for line in said if not ours.search(line)] == []
