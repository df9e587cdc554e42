"""Takes away what tiers have put into a database: publication, slots, triggers, log table."""

from dataclasses import dataclass

from livetier.postgres import publication, trigger_sql
from livetier.postgres.connection import SETTINGS, Connection, Statement
from livetier.postgres.publication import PUBLICATION
from livetier.postgres.replication_stream import SLOT_PREFIX

_SLOTS = """
SELECT slot_name, active FROM pg_catalog.pg_replication_slots
WHERE database = pg_catalog.current_database() AND pg_catalog.starts_with(slot_name, $1)
"""

_TRIGGERS = """
SELECT t.tgname, pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
    JOIN pg_catalog.pg_namespace f ON f.oid = p.pronamespace
WHERE f.nspname = 'livequery' AND NOT t.tgisinternal
"""

_PUBLICATION = "SELECT FROM pg_catalog.pg_publication WHERE pubname = $1"
_SCHEMA = "SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'livequery'"


@dataclass(frozen=True, slots=True)
class ForgottenDatabase:
    """What was taken away, and how many slots are in use by tiers that run."""

    publication: bool
    slots: int
    triggers: int
    log: bool
    running: int


async def forget(conninfo: str) -> ForgottenDatabase:
    """Take away everything that tiers have put into a database. Raises DatabaseError.

    A slot that is in use stays: it goes with the tier that reads it.
    """
    connection = await Connection.open(conninfo, settings=SETTINGS + publication.WAITING)
    try:
        slots = await connection.query(_SLOTS, SLOT_PREFIX.encode())
        idle = [name for name, active in slots if active != b"t"]
        for name in idle:
            await connection.query("SELECT pg_catalog.pg_drop_replication_slot($1)", name)
        triggers = await connection.query(_TRIGGERS)
        for name, table in triggers:
            statement = f"DROP TRIGGER {(name or b'').decode()} ON {(table or b'').decode()}"
            await connection.run([Statement(statement)])
        published = bool(await connection.query(_PUBLICATION, PUBLICATION.encode()))
        logged = bool(await connection.query(_SCHEMA))
        await connection.run([Statement(publication.DROP)])
        await connection.run([Statement(trigger_sql.REMOVE)])
    finally:
        await connection.close()
    return ForgottenDatabase(
        publication=published,
        slots=len(idle),
        triggers=len(triggers),
        log=logged,
        running=len(slots) - len(idle),
    )
