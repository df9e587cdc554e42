# ruff: noqa: S608 (this is where statements are made: names are quoted, values bound)
"""The SELECTs of a plan. Every value is bound, as text with an explicit cast.

Laws:

- ORDER BY and the anchor agree with PostgreSQL's own order: NULLs are last ascending and first
  descending; the primary key comes last, ascending.
- The text of a statement depends on the query's shape only, so that PostgreSQL plans it once.
"""

from collections.abc import Sequence

from livetier.postgres.catalogue import text_array
from livetier.postgres.connection import Statement
from livetier.postgres.literal import CastText
from livetier.postgres.relation import Relation, TableColumn
from livetier.postgres.transaction import Key

_SYMBOLS = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_PATTERNS = {"like": "LIKE", "ilike": "ILIKE"}


class Writer:
    """Writes SQL and collects the values to bind."""

    def __init__(self) -> None:
        self.params: list[bytes | None] = []

    def bind(self, text: bytes | None, cast: str) -> str:
        """Return the place of a value in the statement."""
        self.params.append(text)
        return f"${len(self.params)}::{cast}"

    def compare(self, column: TableColumn, op: str, literals: Sequence[CastText]) -> str:
        """Return the SQL of one comparison."""
        match op:
            case "isnull":
                return _null(column)
            case "isnotnull":
                return _not_null(column)
            case "in" | "notin":
                return self._membership(column, op, literals)
            case "like" | "ilike":
                pattern = self.bind(literals[0].text, "text")
                return f"{column.sql} {_PATTERNS[op]} {pattern} ESCAPE ''"
        return self._against(column, _SYMBOLS[op], literals[0])

    def _membership(self, column: TableColumn, op: str, literals: Sequence[CastText]) -> str:
        if column.type.is_array or any(each.by_value for each in literals):
            tests = " OR ".join(self._against(column, "=", each) for each in literals)
        else:
            members = [each.text for each in literals]
            tests = f"{column.sql} = ANY ({self.bind(array_of(members), column.type.cast + '[]')})"
        return f"NOT ({tests})" if op == "notin" else f"({tests})"

    def _against(self, column: TableColumn, symbol: str, literal: CastText) -> str:
        subject = f"{column.sql}::numeric" if literal.by_value else column.sql
        return f"{subject} {symbol} {self.bind(literal.text, literal.cast)}"

    # -- order and anchor

    def anchor(self, terms: Sequence[tuple[TableColumn, bool]], after: Sequence[CastText]) -> str:
        """Return the test for 'after the anchor': later in one key, equal in all before it."""
        if all(
            column.not_null and not desc and not literal.by_value and literal.text is not None
            for (column, desc), literal in zip(terms, after, strict=True)
        ):
            columns = ", ".join(column.sql for column, _ in terms)
            values = ", ".join(self.bind(each.text, each.cast) for each in after)
            return f"({columns}) > ({values})"
        alternatives = []
        for place, (column, desc) in enumerate(terms):
            later = self._later(column, after[place], desc=desc)
            if later is None:
                continue
            equal = [
                self._same(other, literal)
                for (other, _), literal in zip(terms[:place], after[:place], strict=True)
            ]
            alternatives.append("(" + " AND ".join([*equal, later]) + ")")
        bound = self._bound(*terms[0], after[0])
        return f"{bound}({' OR '.join(alternatives) or 'FALSE'})"

    def _bound(self, column: TableColumn, desc: bool, literal: CastText) -> str:  # noqa: FBT001 (unpacked)
        """Return a condition on the first key alone, by which an index finds the place."""
        if literal.text is None:
            return "" if desc else f"{_null(column)} AND "
        if desc:
            return self._against(column, "<=", literal) + " AND "
        return self._against(column, ">=", literal) + " AND " if column.not_null else ""

    def _same(self, column: TableColumn, literal: CastText) -> str:
        if literal.text is None:
            return _null(column)
        return self._against(column, "=", literal)

    def _later(self, column: TableColumn, literal: CastText, *, desc: bool) -> str | None:
        if literal.text is None:
            return _not_null(column) if desc else None
        if desc:
            return self._against(column, "<", literal)
        later = self._against(column, ">", literal)
        return later if column.not_null else f"({later} OR {_null(column)})"


def _null(column: TableColumn) -> str:
    # A composite value of NULLs "is null" too, but sorts as a value.
    return f"{column.sql} IS {'NOT DISTINCT FROM ' * column.type.is_composite}NULL"


def _not_null(column: TableColumn) -> str:
    return f"{column.sql} IS {'DISTINCT FROM' if column.type.is_composite else 'NOT'} NULL"


def array_of(members: Sequence[bytes | None]) -> bytes:
    """Return an array of texts, NULLs among them, as PostgreSQL reads it."""
    listed = (
        "NULL" if each is None else text_array([each.decode()])[1:-1].decode() for each in members
    )
    return ("{" + ",".join(listed) + "}").encode()


def select(relation: Relation, sort: Sequence[TableColumn], where: str, *, rows: bool) -> str:
    """Return the head of a SELECT: the row's JSON if asked for, its writer, key, sort columns."""
    row = "NULL"
    if rows:
        members = ", ".join(
            f'{column.type.json_of(column.sql)} AS "{column.name.replace(chr(34), chr(34) * 2)}"'
            for column in relation.columns
        )
        row = f"(SELECT pg_catalog.row_to_json(r) FROM (SELECT {members}) AS r)"
    listed = "".join(f", {column.sql}" for column in (*relation.key, *sort))
    writer = "t.xmin" if relation.whole else "NULL"
    return f"SELECT {row}, {writer}{listed} FROM {relation.sql} AS t WHERE {where}"


def order_by(terms: Sequence[tuple[TableColumn, bool]]) -> str:
    """Return the ORDER BY of the sort keys, the row's key last."""
    return ", ".join(f"{column.sql}{' DESC' * desc}" for column, desc in terms)


def matching(
    relation: Relation,
    sort: Sequence[TableColumn],
    where: tuple[str, tuple[bytes | None, ...]],
    keys: Sequence[Key],
) -> Statement:
    """Return the SELECT of those rows among ``keys`` that the filter lets through."""
    condition, params = where
    bound = [*params]
    text = select(relation, sort, f"{condition} AND {_among(relation, keys, bound)}", rows=True)
    return Statement(text, tuple(bound), kept=True)


def present(relation: Relation, columns: Sequence[TableColumn], keys: Sequence[Key]) -> Statement:
    """Return the SELECT of the keys and some columns of those rows among ``keys`` that exist."""
    bound: list[bytes | None] = []
    listed = ", ".join(column.sql for column in (*relation.key, *columns))
    text = f"SELECT {listed} FROM {relation.sql} AS t WHERE {_among(relation, keys, bound)}"
    return Statement(text, tuple(bound), kept=True)


def _among(relation: Relation, keys: Sequence[Key], bound: list[bytes | None]) -> str:
    """Return the condition that a row's key is one of ``keys``; binds these."""
    columns, arrays = [], []
    for place, column in enumerate(relation.key):
        plain = column.type.is_array or column.type.is_composite  # unnest would take it apart
        bound.append(array_of([key[place] for key in keys]))
        columns.append(f"{column.sql}::text" if plain else column.sql)
        members = f"${len(bound)}::{'text' if plain else column.type.cast}[]"
        arrays.append(f"pg_catalog.unnest({members})")
    return f"({', '.join(columns)}) IN (SELECT * FROM ROWS FROM ({', '.join(arrays)}))"
