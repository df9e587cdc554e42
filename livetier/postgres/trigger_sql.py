# ruff: noqa: S608 (names are quoted, and our own are constant)
"""The log table and triggers of ``--capture trigger``, as SQL.

Statement triggers with transition tables append one record for each statement and table: the
transaction's id and the keys that changed, or no keys where they are too many. A NOTIFY only wakes
up the tiers. The function runs as its owner, with a fixed search path.
"""

from collections.abc import Sequence

from livetier.postgres.catalogue import OWN_SCHEMA
from livetier.postgres.relation import quote, quote_text

CHANNEL = "livequery_changes"
LOG = f"{OWN_SCHEMA}.change"
FUNCTION = f"{OWN_SCHEMA}.record"
PREFIX = "livequery_"
MOST_KEYS = 1_000

SETUP = f"""
CREATE SCHEMA IF NOT EXISTS {OWN_SCHEMA};
CREATE TABLE IF NOT EXISTS {LOG} (
    xid xid8 NOT NULL, relation oid NOT NULL, old_keys text[], new_keys text[]
);
CREATE INDEX IF NOT EXISTS change_xid ON {LOG} (xid);
GRANT USAGE ON SCHEMA {OWN_SCHEMA} TO PUBLIC
"""

ALONE = "SELECT pg_catalog.pg_advisory_xact_lock(7526676539205)"
"""Of tiers that start together one makes things at a time: IF NOT EXISTS fails for the others."""

# Whether the log table is there, whether the role may read it, and the role.
STATE = f"""
SELECT pg_catalog.to_regclass('{LOG}') IS NOT NULL,
    CASE WHEN pg_catalog.has_schema_privilege(n.oid, 'USAGE')
        THEN pg_catalog.has_table_privilege(pg_catalog.to_regclass('{LOG}'), 'SELECT') END,
    current_user
FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = '{OWN_SCHEMA}'
"""


def grant(role: str) -> str:
    """Return what lets a role that does not own the log table read and trim it."""
    return f"GRANT SELECT, DELETE ON {LOG} TO {quote(role)}"


REMOVE = f"DROP SCHEMA IF EXISTS {OWN_SCHEMA} CASCADE"

ASK = f"""
SELECT xid, relation, pg_catalog.array_to_json(old_keys), pg_catalog.array_to_json(new_keys)
FROM {LOG}
WHERE xid >= pg_catalog.pg_snapshot_xmin($1::text::pg_catalog.pg_snapshot)
    AND NOT pg_catalog.pg_visible_in_snapshot(xid, $1::text::pg_catalog.pg_snapshot)
"""

TRIM = f"DELETE FROM {LOG} WHERE xid < $1::text::xid8"

# Of each table: its name, its key, how many of its four triggers are on, whether the key has only
# types that print alike under all settings (boolean, integers, text, uuid), and the text of its
# function.
TABLES = (
    """
SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname),
    coalesce((SELECT pg_catalog.json_agg(a.attname ORDER BY k.place)
        FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::int2[])
            WITH ORDINALITY AS k(number, place)
        JOIN pg_catalog.pg_attribute a ON a.attnum = k.number
        WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid
            AND k.place <= i.indnkeyatts)::text, '[]'),
    (SELECT count(*) FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled <> 'D'
        AND pg_catalog.left(t.tgname, 10) = 'livequery_'),
    NOT EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a
            ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])
        WHERE i.indrelid = c.oid AND i.indisprimary
            AND a.atttypid NOT IN (16, 20, 21, 23, 25, 1043, 2950)),
    (SELECT p.prosrc FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = pg_catalog.to_regnamespace('"""
    + OWN_SCHEMA
    + """')
            AND p.proname = 'record_' || c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::oid[])
"""
)
TRIGGERS = 4


_MANNER = "RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
_PRINTING = (
    " SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET intervalstyle = 'iso_8601'"
    " SET bytea_output = 'hex' SET extra_float_digits = 1"
)
"""Keys are printed as the tier's own connections print them. Writers pay for each setting."""


def function_name(oid: int) -> str:
    """Return the name of the function that records changes of a table."""
    return f"{OWN_SCHEMA}.record_{oid}"


def body_of(oid: int, key: Sequence[str], *, plain: bool) -> str:
    """Return the text of that function. Without a key it records that there are changes.

    Keys are recorded flat: so many texts to each row. ``plain``: no setting of a writer changes how
    the key is printed.
    """
    parts = _parts(key)

    def listed(name: str) -> str:
        if not key:
            return "NULL"
        return (
            f"(SELECT CASE WHEN count(*) <= {MOST_KEYS * len(key)} THEN coalesce("
            "array_agg(part ORDER BY number, place), '{}') END FROM (SELECT part, number, place"
            f" FROM (SELECT {parts} AS parts, row_number() OVER () AS number"
            f" FROM {name} AS r) AS k, unnest(parts) WITH ORDINALITY AS u(part, place)) AS f)"
        )

    return f"""
-- {_manner(plain=plain)}
DECLARE
    old_keys text[]; new_keys text[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        NULL;
    ELSE
        IF TG_OP <> 'INSERT' THEN
            old_keys := {listed("livequery_old")};
        ELSE
            old_keys := '{{}}';
        END IF;
        IF TG_OP <> 'DELETE' THEN
            new_keys := {listed("livequery_new")};
        ELSE
            new_keys := '{{}}';
        END IF;
        IF old_keys = '{{}}' AND new_keys = '{{}}' THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO {LOG} VALUES (pg_current_xact_id(), {oid}, old_keys, new_keys);
    NOTIFY {CHANNEL};
    RETURN NULL;
END
"""


def _parts(key: Sequence[str]) -> str:
    # As a row prints it: a cast to text says 'true' for 't', and cuts the spaces of char(n).
    columns = ", ".join(f"format('%s', r.{quote(name)})" for name in key)
    return f"ARRAY[{columns}]"


def records(body: str, key: Sequence[str]) -> bool:
    """Return whether the text of a function, maybe of another version, records these columns."""
    return _parts(key) in body


def _manner(*, plain: bool) -> str:
    return _MANNER if plain else _MANNER + _PRINTING


def record(oid: int, key: Sequence[str], *, plain: bool) -> str:
    """Return the statement that makes the function, in place of one that is there."""
    return (
        f"CREATE OR REPLACE FUNCTION {function_name(oid)}() {_manner(plain=plain)}"
        f" AS {quote_text(body_of(oid, key, plain=plain))}"
    )


def install(table: str, oid: int, key: Sequence[str], *, plain: bool) -> list[str]:
    """Return the statements that record the changes of a table, whose name as SQL is ``table``."""
    heads = {
        "insert": "INSERT ON {} REFERENCING NEW TABLE AS livequery_new",
        "update": "UPDATE ON {} REFERENCING OLD TABLE AS livequery_old NEW TABLE AS livequery_new",
        "delete": "DELETE ON {} REFERENCING OLD TABLE AS livequery_old",
        "truncate": "TRUNCATE ON {}",
    }
    return [
        *(f"DROP TRIGGER IF EXISTS {PREFIX}{kind} ON {table}" for kind in heads),
        record(oid, key, plain=plain),
        *(
            f"CREATE TRIGGER {PREFIX}{kind} AFTER {head.format(table)}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function_name(oid)}()"
            for kind, head in heads.items()
        ),
    ]
