"""Tables as entities, as PostgreSQL's catalogue describes them to a role.

An entity is a table with a primary key in one of the served schemas. It is called by its name; by
``schema.name`` if a table of that name is in an earlier schema too. Statements here run in a
transaction that has the caller's role already.
"""

from collections.abc import Sequence

import grpc

from livetier.engine.errors import TierError, did_you_mean, not_found, quoted
from livetier.postgres.column_type import ColumnType
from livetier.postgres.connection import Connection, Rows, Statement
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.relation import Relation, TableColumn

OWN_SCHEMA = "livequery"
_NAME = 19

_TABLES = """
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relispartition, c.relreplident,
    c.relrowsecurity AND NOT pg_catalog.row_security_active(c.oid),
    pg_catalog.has_any_column_privilege(c.oid, 'SELECT'),
    EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid
        WHERE i.inhparent = c.oid AND NOT k.relispartition),
    coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), ''),
    pg_catalog.has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ($1::text[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
"""

_COLUMNS = """
WITH RECURSIVE base (attnum, oid, form, parent) AS (
    SELECT a.attnum, t.oid, t.typtype, t.typbasetype
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attnum, t.oid, t.typtype, t.typbasetype
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.parent WHERE b.form = 'd'
)
SELECT a.attname, t.oid, pg_catalog.format_type(t.oid, -1), t.typcategory, t.typtype, t.typelem,
    coalesce(l.collisdeterministic, true),
    coalesce(l.collprovider IN ('c', 'd') AND CASE WHEN l.collprovider = 'd'
        THEN d.datcollate ELSE l.collcollate END IN ('C', 'POSIX'), true),
    a.attnotnull, a.attgenerated = '',
    coalesce(pg_catalog.col_description(a.attrelid, a.attnum), ''),
    coalesce(pg_catalog.array_position(i.indkey::int2[], a.attnum), -1)
FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.oid
    JOIN pg_catalog.pg_attribute a ON a.attrelid = $1::oid AND a.attnum = b.attnum
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
    JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
WHERE b.form <> 'd' AND pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT')
ORDER BY a.attnum
"""

_KEY_SIZE = """
SELECT indnkeyatts FROM pg_catalog.pg_index WHERE indrelid = $1::oid AND indisprimary
"""

_SOURCES = """
WITH RECURSIVE source (oid) AS (
    SELECT $1::oid
    UNION
    SELECT found.oid FROM source, LATERAL (
        SELECT d.refobjid FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_depend d
            ON d.classid = 'pg_catalog.pg_policy'::regclass AND d.objid = p.oid
        WHERE p.polrelid = source.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
        UNION ALL
        SELECT d.refobjid FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d
            ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
        WHERE r.ev_class = source.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
        UNION ALL
        SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = source.oid
        UNION ALL
        SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c
            ON c.oid = i.inhrelid WHERE i.inhrelid = source.oid AND c.relispartition
    ) AS found (oid)
)
SELECT s.oid FROM source s JOIN pg_catalog.pg_class c ON c.oid = s.oid
WHERE s.oid <> $1::oid AND c.relkind IN ('r', 'p')
"""

VERSIONS = """
SELECT oid, xmin FROM pg_catalog.pg_class WHERE oid = ANY ($1::oid[])
"""

# A table that was rewritten after a snapshot looks empty to it. Once it was read it is locked.
REWRITTEN = """
SELECT oid FROM pg_catalog.pg_class WHERE oid = ANY ($1::oid[]) AND relkind = 'r'
    AND pg_catalog.pg_relation_filenode(oid) IS DISTINCT FROM relfilenode
"""

SIGNATURES = """
SELECT c.oid, c.xmin, pg_catalog.concat_ws('|', c.xmin, n.xmin,
    (SELECT pg_catalog.string_agg(a.attnum || ':' || a.xmin::text, ',' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0),
    (SELECT pg_catalog.string_agg(i.indexrelid || ':' || i.xmin::text, ',' ORDER BY i.indexrelid)
        FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),
    (SELECT pg_catalog.string_agg(p.oid || ':' || p.xmin::text, ',' ORDER BY p.oid)
        FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid),
    (SELECT pg_catalog.string_agg(h.inhrelid::text, ',' ORDER BY h.inhrelid)
        FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::oid[])
"""


def refused(reason: str, message: str) -> TierError:
    """Return the error for a table that cannot be live."""
    return TierError(grpc.StatusCode.FAILED_PRECONDITION, reason, message, "entity")


def text_array(values: list[str]) -> bytes:
    """Return an array of text or numbers as PostgreSQL reads it."""
    quoted_values = (
        '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values
    )
    return ("{" + ",".join(quoted_values) + "}").encode()


def oid_array(oids: list[int]) -> bytes:
    """Return an array of oids as PostgreSQL reads it."""
    return ("{" + ",".join(str(oid) for oid in oids) + "}").encode()


def signature_of(oids: Sequence[int], rows: Rows) -> str:
    """Return the signature of a table and its sources, from what ``SIGNATURES`` answered."""
    found = {int(oid or b"0"): _text(signature) for oid, _, signature in rows}
    return "/".join(found.get(oid, "") for oid in oids)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


class Catalogue:
    """Reads the catalogue; knows which types have an order. ``guarded``: row policies must bind."""

    def __init__(self, schemas: tuple[str, ...], *, guarded: bool) -> None:
        self.schemas = schemas
        self._guarded = guarded
        self._comparable: dict[int, bool] = {}

    async def relation(self, connection: Connection, entity: str) -> Relation:
        """Return the table of that name.

        Raises TierError (field ``entity``): NOT_FOUND if there is none that the role may read,
        FAILED_PRECONDITION with the reason if it cannot be live.
        """
        rows = await self._tables(connection)
        for row, name in self._named(rows):
            qualified = f"{_text(row[1])}.{_text(row[2])}"
            if entity in (name, qualified):
                self._require_live(row, name)
                return await self._describe(connection, row, name)
        names = [name for _, name in self._named(rows)]
        message = f"there is no entity {quoted(entity)}{did_you_mean(entity, names)}"
        raise not_found("UNKNOWN_ENTITY", "entity", message)

    async def relations(self, connection: Connection) -> list[Relation]:
        """Return every table that can be live and that the role may read."""
        found = []
        for row, name in self._named(await self._tables(connection)):
            try:
                self._require_live(row, name)
                found.append(await self._describe(connection, row, name))
            except TierError:
                continue
        return found

    async def _tables(self, connection: Connection) -> list[tuple[bytes | None, ...]]:
        rows = await connection.query(_TABLES, text_array(list(self.schemas)), kept=True)
        order = {schema: place for place, schema in enumerate(self.schemas)}
        readable = [row for row in rows if row[8] == b"t"]
        return sorted(readable, key=lambda row: (order[_text(row[1])], _text(row[2])))

    @staticmethod
    def _named(
        rows: list[tuple[bytes | None, ...]],
    ) -> list[tuple[tuple[bytes | None, ...], str]]:
        """Return each table with its name as an entity."""
        taken: set[str] = set()
        named = []
        for row in rows:
            name = _text(row[2])
            named.append((row, f"{_text(row[1])}.{name}" if name in taken else name))
            taken.add(name)
        return named

    def _require_live(self, row: tuple[bytes | None, ...], name: str) -> None:
        kind = _text(row[3])
        if kind in "vm":
            raise refused("NOT_LIVE", f"{quoted(name)} is a view; ask for the tables it reads")
        if kind == "f":
            raise refused(
                "NOT_LIVE", f"{quoted(name)} is a foreign table; its changes are not told"
            )
        if _text(row[4]) == "t":
            raise refused("NOT_LIVE", f"{quoted(name)} is a temporary table")
        if row[9] == b"t":
            raise refused("NOT_LIVE", f"{quoted(name)} has inherited tables, so no common key")
        if self._guarded and row[7] == b"t":
            raise refused(
                "UNGUARDED", f"the row policies of {quoted(name)} do not bind the tier's role"
            )

    async def _describe(
        self, connection: Connection, row: tuple[bytes | None, ...], name: str
    ) -> Relation:
        oid = row[0] or b"0"
        columns, size, sources = await connection.run(
            [
                Statement(_COLUMNS, (oid,), kept=True),
                Statement(_KEY_SIZE, (oid,), kept=True),
                Statement(_SOURCES, (oid,), kept=True),
            ]
        )
        listed = [int(oid), *(int(source or b"0") for (source,) in sources)]
        signatures = await connection.query(SIGNATURES, oid_array(listed), kept=True)
        if not size:
            raise refused("NO_PRIMARY_KEY", f"{quoted(name)} has no primary key")
        known = {int(each[0] or b"0"): each for each in signatures}
        if listed[0] not in known:
            raise not_found("UNKNOWN_ENTITY", "entity", f"{quoted(name)} is gone")
        found, places = [], {}
        for each in columns:
            column = await self._column(connection, each)
            found.append(column)
            places[int(each[11] or b"-1")] = column
        key = [places.get(place) for place in range(int(size[0][0] or b"0"))]
        if not all(key):
            raise refused("NO_PRIMARY_KEY", f"the key of {quoted(name)} may not be read")
        return Relation(
            oid=int(oid),
            schema=_text(row[1]),
            name=_text(row[2]),
            entity=name,
            columns=tuple(found),
            key=tuple(column for column in key if column is not None),
            sources=tuple(listed[1:]),
            version=_text(known[listed[0]][1]),
            signature=signature_of(listed, signatures),
            partitioned=row[3] == b"p",
            partition=row[5] == b"t",
            unlogged=row[4] == b"u",
            identity=_text(row[6]),
            comment=_text(row[10]),
            whole=row[11] == b"t",
        )

    async def _column(self, connection: Connection, row: tuple[bytes | None, ...]) -> TableColumn:
        oid, cast = int(row[1] or b"0"), _text(row[2])
        if oid == _NAME:
            cast = "text"  # a cast to name would cut what is too long
        kind = ColumnType(
            oid=oid,
            cast=cast,
            category=_text(row[3]),
            form=_text(row[4]),
            element=int(row[5] or b"0"),
            comparable=await self._has_order(connection, oid, cast),
            deterministic=row[6] == b"t",
            by_bytes=row[7] == b"t",
        )
        return TableColumn(_text(row[0]), kind, row[8] == b"t", row[9] == b"t", _text(row[10]))

    async def _has_order(self, connection: Connection, oid: int, cast: str) -> bool:
        """Ask PostgreSQL whether values of a type compare and sort; it knows every type's."""
        known = self._comparable.get(oid)
        if known is None:
            try:
                await connection.attempt(
                    [
                        Statement(
                            f"SELECT x = x, x < x FROM (SELECT NULL::{cast} AS x) AS s ORDER BY x"  # noqa: S608 (a type's own name)
                        )
                    ]
                )
                known = True
            except DatabaseError as error:
                if error.lost:
                    raise
                known = False
            self._comparable[oid] = known
        return known
