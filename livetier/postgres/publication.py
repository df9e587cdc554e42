"""The publication that the change streams of all tiers read.

It holds the tables that were asked for, and no others: an UPDATE of a published table that has no
key fails for its writers, so ``FOR ALL TABLES`` is out of the question.
"""

import logging

from livetier.engine.errors import TierError
from livetier.postgres.catalogue import oid_array, refused
from livetier.postgres.connection import SETTINGS, Connection, Statement
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.relation import quote

PUBLICATION = "livequery"
CREATE = f"CREATE PUBLICATION {PUBLICATION} WITH (publish_via_partition_root = true)"
DROP = f"DROP PUBLICATION IF EXISTS {PUBLICATION}"
WAITING = "SET lock_timeout = '5s'; SET statement_timeout = '15s';"

_log = logging.getLogger("livetier")

_STATE = """
SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot
FROM pg_catalog.pg_publication WHERE pubname = $1
"""

# The members of partitioned tables are published through their root.
_MISSING = """
WITH RECURSIVE asked (oid, top) AS (
    SELECT oid, oid FROM pg_catalog.unnest($1::oid[]) AS oid
    UNION ALL
    SELECT a.oid, i.inhparent FROM asked a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.top
        JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relispartition
)
SELECT c.oid, n.nspname, c.relname, c.relpersistence,
    CASE WHEN c.relkind = 'p' THEN NOT EXISTS (
        SELECT FROM pg_catalog.pg_partition_tree(c.oid) AS leaf
            JOIN pg_catalog.pg_class l ON l.oid = leaf.relid
        WHERE leaf.isleaf AND l.relreplident = 'n')
    ELSE c.relreplident IN ('f', 'i') OR (c.relreplident = 'd' AND EXISTS (
        SELECT FROM pg_catalog.pg_index x WHERE x.indrelid = c.oid AND x.indisprimary)) END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid IN (SELECT oid FROM asked) AND c.oid = ANY ($1::oid[]) AND NOT EXISTS (
    SELECT FROM asked a WHERE a.oid = c.oid AND a.top IN (
        SELECT relid FROM pg_catalog.pg_publication p,
            LATERAL pg_catalog.pg_get_publication_tables(p.pubname) AS t WHERE p.pubname = $2))
ORDER BY c.relispartition, c.oid
"""

_NARROWED = """
SELECT pg_catalog.to_jsonb(r) ->> 'prqual' IS NOT NULL OR
    pg_catalog.to_jsonb(r) ->> 'prattrs' IS NOT NULL
FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
WHERE p.pubname = $1 AND r.prrelid = ANY ($2::oid[])
"""


async def create(conninfo: str) -> None:
    """Make the publication unless it exists. Raises DatabaseError, with the SQL if need be."""
    connection = await Connection.open(conninfo, settings=SETTINGS + WAITING)
    try:
        state = await connection.query(_STATE, PUBLICATION.encode())
        if not state:
            await _execute(connection, CREATE)
        elif state[0][0] != b"t":
            raise DatabaseError(
                f"the publication {PUBLICATION} leaves changes out; an owner must run:"
                f" {DROP}; {CREATE};",
                "55000",
            )
    finally:
        await connection.close()


async def missing(connection: Connection, oids: list[int]) -> list[tuple[bytes | None, ...]]:
    """Return those of some tables whose changes are not published."""
    return await connection.query(_MISSING, oid_array(oids), PUBLICATION.encode(), kept=True)


async def publish(conninfo: str, oids: list[int]) -> None:
    """Add the tables that are not published.

    Raises TierError with the reason and the SQL for a table that cannot be, DatabaseError when the
    database cannot answer.
    """
    connection = await Connection.open(conninfo, settings=SETTINGS + WAITING)
    try:
        narrowed = await connection.query(_NARROWED, PUBLICATION.encode(), oid_array(oids))
        if any(row[0] == b"t" for row in narrowed):
            raise refused("NOT_LIVE", "its publication has a row filter or a column list")
        # A partitioned table comes first, and then none of its parts is missing.
        while rows := await missing(connection, oids):
            _, schema, name, persistence, identified = rows[0]
            table = f"{quote((schema or b'').decode())}.{quote((name or b'').decode())}"
            if persistence == b"u":
                raise refused("NOT_LIVE", f"{table} is unlogged; its changes are not in the log")
            if identified != b"t":
                raise refused(
                    "NOT_LIVE",
                    f"{table} has no replica identity, so publishing it would break its writers;"
                    f" its owner may run: ALTER TABLE {table} REPLICA IDENTITY DEFAULT;"
                    " with a primary key",
                )
            statement = f"ALTER PUBLICATION {PUBLICATION} ADD TABLE {table}"
            try:
                await _execute(connection, statement)
            except DatabaseError as error:
                if error.sqlstate != "42501":
                    raise
                raise refused(
                    "NOT_PUBLISHED",
                    f"{table} is not published; its owner must run: {statement};",
                ) from None
            _log.info("the publication %s has the table %s now", PUBLICATION, table)
    except TierError as error:
        _log.warning("a table cannot be live: %s", error)
        raise
    finally:
        await connection.close()


async def _execute(connection: Connection, statement: str) -> None:
    """Run a statement that another tier may run at the same time; explain a lack of rights."""
    try:
        await connection.run([Statement(statement)])
    except DatabaseError as error:
        if error.sqlstate == "42710":  # it exists: another tier was faster
            return
        if error.sqlstate == "42501" and statement == CREATE:
            raise DatabaseError(f"{error}; an administrator must run: {CREATE};", "42501") from None
        raise
