"""Queries compiled against the catalogue.

``engine.query`` says what operators mean; PostgreSQL does the rest, with the column's own types
and collations. Patterns have no escape. Each value is cast once here, so that one that cannot be
is refused with its field.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from livequery.v1 import livequery_pb2 as pb
from livetier.engine import query as checks
from livetier.engine.errors import TierError, invalid_argument, quoted
from livetier.postgres import sql
from livetier.postgres.connection import Connection, Statement
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.literal import CastText, key_literals, literal_of
from livetier.postgres.plan import PostgresPlan, SortTerm
from livetier.postgres.relation import Relation, TableColumn
from livetier.postgres.scope import Scope

LONGEST_MESSAGE = 200


@dataclass(slots=True)
class _Checks:
    """Casts to try, with the field of each; and the conditions whose canonical text is wanted.

    That is the text that a row prints: a cast to text says 'true' where a row has 't'.
    """

    statements: list[Statement] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    judged: list[str | None] = field(default_factory=list)

    def add(self, literals: Sequence[CastText], path: str, column: str | None) -> None:
        for cast in {literal.cast for literal in literals}:
            texts = [each.text for each in literals if each.cast == cast and each.text is not None]
            if not texts:
                continue
            if len(texts) == 1:
                statement = Statement(f"SELECT $1::{cast}", texts, kept=True)
            else:
                statement = Statement(
                    f"SELECT x::{cast} FROM pg_catalog.unnest($1::text[]) AS x",  # noqa: S608 (a type's own name)
                    (sql.array_of(texts),),
                    kept=True,
                )
            self.statements.append(statement)
            self.fields.append(path)
            self.judged.append(column)


async def compile_query(
    connection: Connection, relation: Relation, query: pb.LiveQuery, scope: Scope
) -> PostgresPlan:
    """Check ``query`` and return its plan; raise TierError with the field at fault."""
    writer, casts = sql.Writer(), _Checks()
    top_level: set[str] = set()

    def column_of(name: str, where: str) -> TableColumn:
        return checks.find_column(relation.by_name, name, entity=relation.entity, field=where)

    def compare(leaf: pb.Comparison, path: str) -> str:
        column = column_of(leaf.column, f"{path}.column")
        op = checks.operator_of(leaf, path)
        _check_operator(column, op, path)
        literals = _literals(checks.operands_of(leaf, op, path), column, op, path)
        judged = op in ("eq", "in") and path.count(".") == 0 and column.type.exact and column.sent
        if judged and not any(literal.by_value for literal in literals):
            top_level.add(path)
            casts.add(literals, f"{path}.value", f"{path}\0{column.name}")
        elif op not in checks.PATTERN_OPERATORS:
            casts.add(literals, f"{path}.value", None)
        return writer.compare(column, op, literals)

    where = checks.conditions(query, compare, lambda members: f"({' OR '.join(members)})")
    sort = tuple(
        SortTerm(_sortable(column_of(key.column, path), path), key.desc)
        for path, key in (
            (f"sort[{index}].column", key) for index, key in enumerate(checks.sort_keys(query))
        )
    )
    effective = checks.effective_query(query)
    condition = " AND ".join(where) or "TRUE"
    params = tuple(writer.params)
    terms = [(key.column, key.desc) for key in sort] + [(column, False) for column in relation.key]
    after = _anchor(checks.cursor_values(query), sort, relation)
    bounded = condition
    if after is not None:
        casts.add(after, "cursor.values", None)
        bounded = f"{condition} AND {writer.anchor(terms, after)}"
    equal = await _try(connection, casts, top_level)
    columns = [key.column for key in sort]
    head = sql.select(relation, columns, bounded, rows=True)
    query_key = effective.SerializeToString(deterministic=True)
    return PostgresPlan(
        query=effective,
        key=(scope, query_key) if scope.guarded else query_key,
        scope=scope,
        relation=relation,
        sort=sort,
        window=Statement(
            f"{head} ORDER BY {sql.order_by(terms)} LIMIT {effective.limit}",
            tuple(writer.params),
            kept=True,
        ),
        members=Statement(sql.select(relation, (), condition, rows=False), params, kept=True),
        filter=condition,
        params=params,
        equal=equal,
    )


def _check_operator(column: TableColumn, op: str, path: str) -> None:
    if op in checks.UNARY_OPERATORS:
        return
    if op in checks.PATTERN_OPERATORS:
        if not column.type.is_text:
            message = f'"{op}" needs text; {quoted(column.name)} is {column.type.cast}'
            raise invalid_argument("WRONG_TYPE", f"{path}.op", message)
    elif not column.type.comparable:
        message = f"{quoted(column.name)} is {column.type.cast}, which cannot be compared"
        raise invalid_argument("WRONG_TYPE", f"{path}.op", message)


def _sortable(column: TableColumn, path: str) -> TableColumn:
    if not column.type.comparable:
        message = f"{quoted(column.name)} is {column.type.cast}, which has no order"
        raise invalid_argument("WRONG_TYPE", path, message)
    return column


def _literals(
    values: Sequence[pb.Value], column: TableColumn, op: str, path: str
) -> tuple[CastText, ...]:
    if op in checks.PATTERN_OPERATORS:
        (value,) = values
        kind = value.WhichOneof("kind")
        if kind not in ("string_value", "null_value") or "\0" in value.string_value:
            message = f'"{op}" needs a pattern, which is text'
            raise invalid_argument("WRONG_TYPE", f"{path}.value", message)
        text = None if kind == "null_value" else value.string_value.encode()
        return (CastText(text, "text"),)
    try:
        return tuple(literal_of(value, column.type) for value in values)
    except ValueError as error:
        message = f'bad value for "{op}": {error}'
        raise invalid_argument("BAD_VALUE", f"{path}.value", message) from None


def _anchor(
    values: Sequence[pb.Value] | None, sort: Sequence[SortTerm], relation: Relation
) -> list[CastText] | None:
    if values is None:
        return None
    *places, last = values
    try:
        after = [
            literal_of(value, key.column.type) for value, key in zip(places, sort, strict=True)
        ]
        return after + key_literals(_identifier(last), [column.type for column in relation.key])
    except ValueError as error:
        raise invalid_argument("BAD_CURSOR", "cursor.values", f"bad cursor: {error}") from None


def _identifier(value: pb.Value) -> str:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "int_value":
            return str(value.int_value)
        case "uint_value":
            return str(value.uint_value)
        case "bool_value":
            return str(value.bool_value).lower()
        case "double_value":
            return repr(value.double_value)
        case "json_value":
            return value.json_value.decode("utf-8", "replace")
    raise ValueError("the id is missing")


async def _try(
    connection: Connection, casts: _Checks, top_level: set[str]
) -> dict[str, frozenset[bytes]]:
    """Have PostgreSQL cast every value; return the canonical texts of equality conditions."""
    if not casts.statements:
        return {}
    try:
        answers = await connection.attempt(casts.statements)
    except DatabaseError as error:
        if error.lost:
            raise
        raise await _at_fault(connection, casts) from None
    equal: dict[str, frozenset[bytes]] = {}
    listed = {path: frozenset[bytes]() for path in top_level}
    names: dict[str, str] = {}
    for judged, rows in zip(casts.judged, answers, strict=True):
        if judged is not None:
            path, _, column = judged.partition("\0")
            names[path] = column
            listed[path] |= frozenset(text for (text,) in rows if text is not None)
    for path, texts in listed.items():
        column = names.get(path, "")
        if column:
            # Two conditions on one column: both must hold.
            equal[column] = equal[column] & texts if column in equal else texts
    return equal


async def _at_fault(connection: Connection, casts: _Checks) -> TierError:
    """Return the error for the first value that cannot be cast."""
    for statement, path in zip(casts.statements, casts.fields, strict=True):
        try:
            await connection.attempt([statement])
        except DatabaseError as error:
            if error.lost:
                raise
            reason = "BAD_CURSOR" if path == "cursor.values" else "BAD_VALUE"
            return invalid_argument(reason, path, str(error)[:LONGEST_MESSAGE])
    return invalid_argument("BAD_VALUE", "where", "a value cannot be cast")
