"""What a server and the tier's role on it can do."""

import logging
from dataclasses import dataclass

from livetier.postgres.connection import Connection
from livetier.postgres.database_error import DatabaseError

OLDEST = 140_000
MENDED = {14: 18, 15: 13, 16: 9, 17: 5}
"""By major version, the first minor one that decodes all changes of a table that was published
while a transaction that had written to it was open (releases of 2025-05-08)."""

_log = logging.getLogger("livetier")

_FACTS = """
SELECT pg_catalog.current_setting('server_version_num'),
    pg_catalog.current_setting('server_encoding'),
    pg_catalog.current_setting('wal_level'),
    pg_catalog.current_setting('max_replication_slots'),
    (SELECT count(*) FROM pg_catalog.pg_replication_slots),
    pg_catalog.current_setting('max_wal_senders'),
    r.rolsuper, r.rolreplication OR EXISTS (SELECT FROM pg_catalog.pg_roles m
        WHERE m.rolname IN ('rds_replication', 'pg_create_subscription', 'azure_pg_admin')
            AND m.rolname <> 'pg_create_subscription'
            AND pg_catalog.pg_has_role(r.oid, m.oid, 'MEMBER')),
    r.rolbypassrls, r.rolname,
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
    pg_catalog.current_database()
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server's version and settings, and the role's rights."""

    version: int
    encoding: str
    wal_level: str
    slots: int
    slots_used: int
    senders: int
    superuser: bool
    replication: bool
    bypasses_policies: bool
    role: str
    may_create: bool
    database: str

    @property
    def wal_loss(self) -> str:
        """Return what the server's logical decoding may lose, and the remedy; empty if nothing."""
        major, minor = divmod(self.version, 10_000)
        mended = MENDED.get(major, 0)
        if minor >= mended:
            return ""
        return (
            f"PostgreSQL {major}.{minor} may leave out changes of a table that is first asked for"
            f" while it is written to: update to {major}.{mended}, or use --capture trigger"
        )

    @property
    def wal_obstacles(self) -> list[str]:
        """Return what keeps changes from being read from the log."""
        found = []
        if self.wal_level != "logical":
            found.append(f"wal_level is {self.wal_level}")
        if not (self.superuser or self.replication):
            found.append(f"the role {self.role} may not replicate")
        if self.slots_used >= self.slots:
            found.append(f"all {self.slots} replication slots are taken")
        if self.senders == 0:
            found.append("max_wal_senders is 0")
        return found


async def look(connection: Connection) -> ServerFacts:
    """Return what a connection's server and role can do."""
    (row,) = await connection.query(_FACTS)
    texts = [(value or b"").decode() for value in row]
    return ServerFacts(
        version=int(texts[0]),
        encoding=texts[1],
        wal_level=texts[2],
        slots=int(texts[3]),
        slots_used=int(texts[4]),
        senders=int(texts[5]),
        superuser=texts[6] == "t",
        replication=texts[7] == "t",
        bypasses_policies=texts[8] == "t" or texts[6] == "t",
        role=texts[9],
        may_create=texts[10] == "t",
        database=texts[11],
    )


async def choose(connection: Connection, wanted: str) -> tuple[str, str]:
    """Return how changes are learnt, ``wal`` or ``trigger``, and why.

    Raises DatabaseError for a server that cannot be used, or not in the way that is ``wanted``.
    """
    facts = await look(connection)
    if facts.version < OLDEST:
        raise DatabaseError(
            f"PostgreSQL 14 or newer is needed, not {facts.version // 10_000}", "0A000"
        )
    if facts.encoding != "UTF8":
        raise DatabaseError(f"the database is encoded in {facts.encoding}, not UTF8", "0A000")
    obstacles = facts.wal_obstacles
    if wanted != "trigger" and not obstacles and facts.wal_loss:
        _log.warning("%s", facts.wal_loss)
    if wanted == "wal" and obstacles:
        raise DatabaseError(f"--capture wal is not possible: {'; '.join(obstacles)}", "55000")
    if wanted == "auto":
        return (
            ("trigger", "; ".join(obstacles))
            if obstacles
            else ("wal", "logical decoding is possible")
        )
    return wanted, "as told"
