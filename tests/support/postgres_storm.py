"""A storm over PostgreSQL: tables of many types, writers of every habit, and random live queries
beside SQL that was written a second time, not by the store."""

import json
import math
import random
import sys
import time

import psycopg
from psycopg import sql

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE COLLATION german (provider = icu, locale = 'de-u-ks-level2', deterministic = false);
CREATE TABLE item (
    id bigint PRIMARY KEY, tenant integer NOT NULL, name text, title text COLLATE "und-x-icu",
    code text COLLATE "C", size integer, price numeric, at timestamptz, flag boolean NOT NULL,
    mood mood, tags text[], doc jsonb
);
CREATE INDEX ON item (size, id);
CREATE TABLE pair (
    a integer, b text, v integer, w double precision, note text, PRIMARY KEY (a, b)
);
ALTER TABLE pair REPLICA IDENTITY FULL;
CREATE TABLE part (id uuid PRIMARY KEY, k integer, label varchar(20)) PARTITION BY HASH (id);
CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
"""

NAMES = [
    None,
    "",
    "Änne",
    "anne",
    "Zoë",
    "zoe",
    "Ωmega",
    "Жук",
    "日本",
    "שלום",
    "नमस्ते",
    "%_\\",
    "a'b\"c",
]
MOODS = [None, "sad", "ok", "happy"]

OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

COLUMNS = {
    "item": {
        "id": lambda pick: pick.randint(0, 150),
        "tenant": lambda pick: pick.randint(0, 8),
        "name": lambda pick: pick.choice(NAMES),
        "title": lambda pick: pick.choice(NAMES),
        "code": lambda pick: pick.choice(NAMES),
        "size": lambda pick: pick.choice([None, *range(20)]),
        "price": lambda pick: pick.choice([None, "0.10", "1.5", "1.50", "NaN", "1234567890123456789012345678.0123456789"]),
        "at": lambda pick: pick.choice([None, "2026-01-01T10:00:00+00:00", "2026-01-01T10:00:00.5+00:00", "1999-12-31T23:59:59+00:00", "infinity"]),
        "flag": lambda pick: pick.random() < 0.5,
        "mood": lambda pick: pick.choice(MOODS),
    },
    "pair": {
        "a": lambda pick: pick.randint(0, 6),
        "b": lambda pick: pick.choice([name for name in NAMES if name is not None]),
        "v": lambda pick: pick.choice([None, *range(6)]),
        "w": lambda pick: pick.choice([None, 0.1, -1.5, 1e300, float("inf"), float("nan")]),
        "note": lambda pick: pick.choice(NAMES),
    },
    "part": {
        "id": lambda pick: f"00000000-0000-4000-8000-0000000000{pick.randint(0, 60):02x}",
        "k": lambda pick: pick.choice([None, *range(9)]),
        "label": lambda pick: pick.choice(NAMES),
    },
}  # fmt: skip
KEYS = {"item": ["id"], "pair": ["a", "b"], "part": ["id"]}
TEXT = {"name", "title", "code", "note", "label"}
WEIGHTS = ["item"] * 5 + ["pair"] * 3 + ["part"] * 2


def plain(value):
    """Return a value as JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]
    return value


class StormQuery:
    """A LiveQuery of the wire, and its SQL."""

    def __init__(self, pick):
        self.pick = pick
        self.table = pick.choice(WEIGHTS)
        self.columns = COLUMNS[self.table]
        conditions = [self.condition() for _ in range(pick.choice([0, 0, 1, 1, 2, 3]))]
        if self.table == "item" and pick.random() < 0.5:
            conditions.append(self.leaf("tenant", pick.choice(["eq", "in"])))
        names = pick.sample(list(self.columns), pick.choice([0, 1, 1, 2, 3]))
        self.sort = [(name, pick.random() < 0.5) for name in names]
        self.limit = pick.choice([1, 3, 5, 10, 50, 500])
        self.query = {
            "entity": self.table,
            "where": [each for each, _ in conditions],
            "sort": [{"column": name, "desc": desc} for name, desc in self.sort],
            "limit": self.limit,
        }
        self.where = [each for _, each in conditions]
        self.after = None
        if pick.random() < 0.3:
            self.after = [self.columns[name](pick) for name in (*names, *KEYS[self.table])]
            key = self.after[len(names) :]
            identifier = key[0] if len(key) == 1 else json.dumps(key, ensure_ascii=False)
            self.query["cursor"] = {
                "values": [plain(each) for each in self.after[: len(names)]] + [identifier]
            }

    def condition(self):
        if self.pick.random() < 0.2:
            members = [self.leaf() for _ in range(self.pick.randint(1, 3))]
            return {"or": [each for each, _ in members]}, sql.SQL("({})").format(
                sql.SQL(" OR ").join(each for _, each in members)
            )
        return self.leaf()

    def leaf(self, name=None, op=None):
        pick = self.pick
        name = name or pick.choice(list(self.columns))
        column = sql.Identifier(name)
        op = op or pick.choice(
            [
                *OPERATORS,
                "in",
                "notin",
                "isnull",
                "isnotnull",
                *(["like", "ilike"] if name in TEXT else []),
            ]
        )
        if op in ("isnull", "isnotnull"):
            word = "IS NULL" if op == "isnull" else "IS NOT NULL"
            return {"column": name, "op": op}, sql.SQL("{} " + word).format(column)
        if op in ("like", "ilike"):
            pattern = pick.choice(["%", "a%", "%n%", "_", "Z_e", "%\\%"])
            test = sql.SQL("{} " + op.upper() + " {} ESCAPE ''").format(
                column, sql.Literal(pattern)
            )
            return {"column": name, "op": op, "value": pattern}, test
        if op in ("in", "notin"):
            values = [self.value(name) for _ in range(pick.randint(1, 4))]
            word = "IN" if op == "in" else "NOT IN"
            members = sql.SQL(", ").join(literal(each) for each in values)
            return {"column": name, "op": op, "value": [plain(each) for each in values]}, sql.SQL(
                "{} " + word + " ({})"
            ).format(column, members)
        value = self.value(name)
        return {"column": name, "op": op, "value": plain(value)}, sql.SQL(
            "{} " + OPERATORS[op] + " {}"
        ).format(column, literal(value))

    def value(self, name):
        while (value := self.columns[name](self.pick)) is None:
            pass
        return value

    def statement(self):
        terms = [*self.sort, *((name, False) for name in KEYS[self.table])]
        where = [sql.SQL("TRUE"), *self.where]
        if self.after is not None:
            # A row's place among NULLs too: compared as PostgreSQL sorts, one key after the other.
            tests = []
            for place, (name, desc) in enumerate(terms):
                same = [
                    sql.SQL("{} IS NOT DISTINCT FROM {}").format(
                        sql.Identifier(other), literal(value)
                    )
                    for (other, _), value in zip(terms[:place], self.after, strict=False)
                ]
                column, value = sql.Identifier(name), literal(self.after[place])
                if desc:
                    later = sql.SQL("({c} < {v} OR ({v} IS NULL AND {c} IS NOT NULL))")
                else:
                    later = sql.SQL("({c} > {v} OR ({c} IS NULL AND {v} IS NOT NULL))")
                tests.append(
                    sql.SQL("({})").format(
                        sql.SQL(" AND ").join([*same, later.format(c=column, v=value)])
                    )
                )
            where.append(sql.SQL("({})").format(sql.SQL(" OR ").join(tests)))
        order = sql.SQL(", ").join(
            sql.SQL("{} " + ("DESC" if desc else "ASC")).format(sql.Identifier(name))
            for name, desc in terms
        )
        key = sql.SQL(", ").join(
            sql.SQL("{}::text").format(sql.Identifier(name)) for name in KEYS[self.table]
        )
        return sql.SQL(
            "SELECT ARRAY[{}], row_to_json(t)::text FROM {} AS t WHERE {} ORDER BY {} LIMIT {}"
        ).format(
            key,
            sql.Identifier(self.table),
            sql.SQL(" AND ").join(where),
            order,
            sql.Literal(self.limit),
        )

    def expected(self, connection):
        """Return the window by its own SELECT: (id, row) in order."""
        found = []
        for key, row in connection.execute(self.statement()).fetchall():
            if len(key) == 1:
                identifier = key[0]
            else:
                identifier = json.dumps(
                    [int(key[0]), key[1]], ensure_ascii=False, separators=(",", ":")
                )
            found.append((identifier, json.loads(row)))
        return found


def literal(value):
    return (
        sql.Literal(plain(value))
        if not isinstance(value, float)
        else sql.SQL("{}::float8").format(sql.Literal(str(plain(value))))
    )


def pick_row(pick, table):
    row = {name: make(pick) for name, make in COLUMNS[table].items()}
    if table == "item":
        row["tags"] = pick.choice([None, [], ["a", None, 'b"c']])
        row["doc"] = json.dumps(pick.choice([None, {"a": [1, 2.50]}, "x"]))
    if table == "part" and row["label"]:
        row["label"] = row["label"][:20]
    return {name: plain(value) for name, value in row.items()}


class Writer:
    """Random transactions, as many as asked for."""

    def __init__(self, url, seed, *, synchronous="on", wild=True):
        self.url, self.seed, self.synchronous, self.wild = url, seed, synchronous, wild
        self.pick = random.Random(seed)
        self.done = 0

    def connect(self):
        while True:
            try:
                connection = psycopg.connect(self.url, autocommit=True, connect_timeout=5)
                connection.execute(
                    f"SET synchronous_commit = {self.synchronous}; SET lock_timeout = '2s'"
                )
            except psycopg.OperationalError:
                time.sleep(0.1)
            else:
                return connection

    def run(self, transactions):
        connection = self.connect()
        while self.done < transactions:
            try:
                self.transaction(connection)
            except (psycopg.Error, psycopg.Rollback):  # a rollback may meet a cut connection
                if connection.closed:
                    connection = self.connect()
            self.done += 1
        connection.close()

    def transaction(self, connection):
        pick = self.pick
        with connection.transaction() as transaction:
            for _ in range(pick.choice([1, 1, 1, 2, 5])):
                if pick.random() < 0.15:
                    try:
                        with connection.transaction() as inner:
                            self.statement(connection)
                            if pick.random() < 0.4:
                                raise psycopg.Rollback(inner)
                    except psycopg.errors.IntegrityError:
                        pass
                else:
                    self.statement(connection)
            if pick.random() < 0.1:
                raise psycopg.Rollback(transaction)

    def statement(self, connection):
        pick = self.pick
        table = pick.choice(WEIGHTS)
        row = pick_row(pick, table)
        names = list(row)
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        places = sql.SQL(", ").join(sql.Placeholder() * len(names))
        key = sql.SQL(", ").join(map(sql.Identifier, KEYS[table]))
        kind = pick.random()
        name = pick.choice(list(COLUMNS[table]))
        where = self.where(table, row)
        if kind < 0.45:
            changes = sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(each))
                for each in names
                if each not in KEYS[table]
            )
            connection.execute(
                sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}").format(
                    sql.Identifier(table), columns, places, key, changes
                ),
                list(row.values()),
            )
        elif kind < 0.75:  # sometimes the key itself changes
            connection.execute(
                sql.SQL("UPDATE {} SET {} = {} WHERE {}").format(
                    sql.Identifier(table), sql.Identifier(name), sql.Placeholder(), where
                ),
                [row[name]],
            )
        elif kind < 0.97 or not self.wild:
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE {}").format(sql.Identifier(table), where)
            )
        elif kind < 0.975:
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))
        elif kind < 0.985:
            connection.execute(
                sql.SQL("UPDATE {} SET {} = {}").format(
                    sql.Identifier(table), sql.Identifier(name), sql.Placeholder()
                ),
                [row[name]],
            )
        elif kind < 0.99 and table != "part":
            extra = sql.Identifier(f"extra{pick.randint(0, 1)}")
            if pick.random() < 0.5:
                connection.execute(
                    sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} integer DEFAULT 7").format(
                        sql.Identifier(table), extra
                    )
                )
            else:
                connection.execute(
                    sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}").format(
                        sql.Identifier(table), extra
                    )
                )
        else:
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE random() < 0.3").format(sql.Identifier(table))
            )

    def where(self, table, row):
        tests = [
            sql.SQL("{} = {}").format(sql.Identifier(name), literal(row[name]))
            for name in KEYS[table]
        ]
        if self.pick.random() < 0.2:
            tests = tests[:1]
        return sql.SQL(" AND ").join(tests)


if __name__ == "__main__":
    url, seed, transactions, synchronous = sys.argv[1:5]
    Writer(url, int(seed), synchronous=synchronous).run(int(transactions))
