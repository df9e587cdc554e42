"""What a database needs to be live, for a person: findings, each with the SQL that mends it."""

from dataclasses import dataclass, field

from livequery.v1 import livequery_pb2 as pb
from livetier.postgres import publication, trigger_sql
from livetier.postgres.catalogue import OWN_SCHEMA, Catalogue, text_array
from livetier.postgres.compile import compile_query
from livetier.postgres.connection import SETTINGS, Connection, Statement
from livetier.postgres.options import PostgresOptions
from livetier.postgres.publication import PUBLICATION
from livetier.postgres.relation import quote
from livetier.postgres.scope import Scope
from livetier.postgres.server_facts import OLDEST, ServerFacts, choose, look

_ALL_TABLES = """
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.relkind, c.relpersistence,
    c.relreplident, c.relrowsecurity, pg_catalog.row_security_active(c.oid),
    EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),
    pg_catalog.has_any_column_privilege(c.oid, 'SELECT'),
    pg_catalog.pg_has_role(c.relowner, 'USAGE'),
    pg_catalog.has_table_privilege(c.oid, 'TRIGGER')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ($1::text[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT c.relispartition
ORDER BY 1
"""


@dataclass(slots=True)
class Advice:
    """Lines to print; ``usable``: whether a table can be live."""

    lines: list[str] = field(default_factory=list)
    usable: bool = False

    def say(self, text: str, *sql: str) -> None:
        """Add a finding, and the SQL that mends it."""
        self.lines.append(text)
        self.lines += [f"    {each}" for each in sql]


async def examine(options: PostgresOptions) -> Advice:
    """Look at a server, a role and its tables; change nothing. Raises DatabaseError."""
    connection = await Connection.open(options.conninfo, settings=SETTINGS)
    advice = Advice()
    try:
        facts = await look(connection)
        _server(advice, facts)
        rows = await connection.query(_ALL_TABLES, text_array(list(options.schemas)))
        for row in rows:
            _table(advice, [(each or b"").decode() for each in row], facts)
        if not rows:
            advice.say(f"the schemas {', '.join(options.schemas)} have no tables")
        if not facts.wal_obstacles:
            await _published(advice, connection)
    finally:
        await connection.close()
    return advice


def _server(advice: Advice, facts: ServerFacts) -> None:
    if facts.version < OLDEST:
        advice.say(f"PostgreSQL {facts.version // 10_000} is too old: 14 or newer is needed")
    if facts.encoding != "UTF8":
        advice.say(f"the database is encoded in {facts.encoding}; UTF8 is needed")
    if facts.wal_obstacles:
        advice.say("--capture wal is not possible: " + "; ".join(facts.wal_obstacles))
        if facts.wal_level != "logical":
            advice.say("  then restart the server:", "ALTER SYSTEM SET wal_level = logical;")
        if not (facts.superuser or facts.replication):
            advice.say("  by a superuser:", f"ALTER ROLE {quote(facts.role)} REPLICATION;")
    else:
        advice.say("--capture wal is possible")
        if facts.wal_loss:
            advice.say(facts.wal_loss)
    if facts.may_create:
        advice.say("--capture trigger is possible on tables that the role owns")
    else:
        advice.say(
            "the role may not make a publication or a log table; an administrator may run:",
            f"GRANT CREATE ON DATABASE {quote(facts.database)} TO {quote(facts.role)};",
            f"{publication.CREATE};",
            *(f"{each.strip()};" for each in trigger_sql.SETUP.split(";")),
            f"{trigger_sql.grant(facts.role)};",
        )
    if facts.bypasses_policies:
        advice.say(
            f"the role {facts.role} is not bound by row policies; use another one with --setting"
        )


def _table(advice: Advice, row: list[str], facts: ServerFacts) -> None:
    name, kind, persistence, identity, policies, active, key, readable, owned, triggers = row
    if kind in ("v", "m", "f"):
        word = {"v": "a view", "m": "a materialised view", "f": "a foreign table"}[kind]
        advice.say(f"{name}: is {word}, which cannot be live; ask for its tables")
        return
    if readable != "t":
        advice.say(f"{name}: may not be read", f"GRANT SELECT ON {name} TO {quote(facts.role)};")
        return
    if key != "t":
        advice.say(f"{name}: has no primary key", f"ALTER TABLE {name} ADD PRIMARY KEY (…);")
        return
    advice.usable = True
    notes = []
    sql = []
    if persistence == "u":
        notes.append("is unlogged: by triggers only")
    if identity == "n":
        notes.append("has no replica identity")
        sql.append(f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT;")
    if owned != "t" and facts.wal_obstacles:
        if triggers != "t":
            notes.append("belongs to another role, which must let this one make triggers")
            sql.append(f"GRANT TRIGGER ON {name} TO {quote(facts.role)};")
    elif owned != "t":
        notes.append("belongs to another role, which must publish it")
        sql.append(f"ALTER PUBLICATION {PUBLICATION} ADD TABLE {name};")
    if policies == "t" and active != "t":
        notes.append("its row policies do not bind this role")
        sql.append(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY;")
    advice.say(f"{name}: {'; '.join(notes) if notes else 'can be live'}", *sql)


async def _published(advice: Advice, connection: Connection) -> None:
    rows = await connection.query(
        "SELECT count(*) FROM pg_catalog.pg_publication_tables WHERE pubname = $1",
        PUBLICATION.encode(),
    )
    advice.say(
        f"{int(rows[0][0] or b'0')} tables are published; others are added to {PUBLICATION} when"
        " they are first asked for"
    )


async def what_is_made(conninfo: str) -> str:
    """Return what a tier will put into a database to learn of its changes. Raises DatabaseError."""
    connection = await Connection.open(conninfo)
    try:
        name, why = await choose(connection, "auto")
    finally:
        await connection.close()
    if name == "wal":
        return (
            f"the publication {PUBLICATION}, with the tables that are asked for, and a temporary"
            " replication slot while it runs"
        )
    return (
        f"the schema {OWN_SCHEMA} with a log table, and four triggers on each table that is asked"
        f" for (by triggers, since {why})"
    )


async def explain(options: PostgresOptions, query: pb.LiveQuery) -> list[str]:
    """Return the SQL of a query, PostgreSQL's plan for it, and an index that would serve its order.

    Raises TierError for a query that is refused, DatabaseError if it cannot be run.
    """
    connection = await Connection.open(options.conninfo)
    try:
        await connection.run([Statement("BEGIN READ ONLY")])
        catalogue = Catalogue(options.schemas, guarded=False)
        relation = await catalogue.relation(connection, query.entity)
        plan = await compile_query(connection, relation, query, Scope())
        text, params, _ = plan.window
        rows = await connection.query(f"EXPLAIN {text}", *params)
        await connection.run([Statement("COMMIT")])
    finally:
        await connection.close()
    shown = [(row[0] or b"").decode() for row in rows]
    lines = [text, "", *shown]
    if any("Sort" in line.split("(")[0] for line in shown):
        columns = [f"{quote(key.column.name)}{' DESC' * key.desc}" for key in plan.sort]
        columns += [quote(column.name) for column in relation.key]
        lines += [
            "",
            "every reading sorts; this index has the rows in order:",
            f"    CREATE INDEX CONCURRENTLY ON {relation.sql} ({', '.join(columns)});",
        ]
    return lines
