# ruff: noqa: S608 (this is where statements are made: names are quoted, values bound)
"""The SELECTs of a plan, every value bound.

Laws:

- ORDER BY and the anchor agree: on every sort key NULL is first ascending and last descending;
  the row's key comes last.
- SQLite never converts a bound value to a column's affinity. A column is compared bare only where
  no conversion happens anyway (an index can then serve it); elsewhere as ``+column``, which has
  no affinity.
- Comparisons are COLLATE BINARY, whatever the column declares.
"""

from collections.abc import Iterable

from livetier.engine.value import Scalar
from livetier.sqlite.changelog import INTERNAL, quote
from livetier.sqlite.compile import SqlitePlan
from livetier.sqlite.literal import Kind, Literal, SqlValue
from livetier.sqlite.predicate import AnyOf, Compare, Predicate
from livetier.sqlite.select import Select, cached

_SYMBOLS = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ORDERING = ("gt", "gte", "lt", "lte")
_CLASSES = {
    Kind.NUMBER: "('integer', 'real')",
    Kind.TEXT: "('text')",
    Kind.BLOB: "('blob')",
}
_NUMERIC = ("INTEGER", "REAL", "NUMERIC")
_NEVER = "NULL"
_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


class _Writer:
    """Writes SQL and collects the values to bind."""

    def __init__(self) -> None:
        self.params: list[SqlValue] = []

    def bind(self, value: SqlValue) -> str:
        self.params.append(value)
        return "?"

    # -- filters

    def conjunction(self, predicates: Iterable[Predicate]) -> str:
        return "".join(f" AND {self.predicate(predicate)}" for predicate in predicates)

    def predicate(self, predicate: Predicate) -> str:
        if isinstance(predicate, AnyOf):
            return "(" + " OR ".join(self.predicate(member) for member in predicate.members) + ")"
        match predicate.op:
            case "isnull":
                return f"t.{quote(predicate.column.name)} IS NULL"
            case "isnotnull":
                return f"t.{quote(predicate.column.name)} IS NOT NULL"
            case "in" | "notin":
                return self.membership(predicate)
            case "like" | "ilike":
                return self.pattern(predicate)
        return self.comparison(predicate)

    def comparison(self, leaf: Compare) -> str:
        (literal,) = leaf.literals
        if literal.kind is Kind.NULL:
            return _NEVER
        column = _column(leaf.column.name)
        subject = _unconverted(column, leaf.column.affinity, leaf.literals)
        if leaf.op in _ORDERING:
            test = self.against(subject, leaf.op, literal)
            return f"({test} AND typeof({column}) IN {_CLASSES[literal.kind]})"
        if not literal.exact:
            return _NEVER if leaf.op == "eq" else f"{column} IS NOT NULL"
        return f"{subject} {_SYMBOLS[leaf.op]} {self.bind(literal.value)}"

    def against(self, subject: str, op: str, literal: Literal) -> str:
        """Return an ordering test; an inexact literal is above whatever equals its value."""
        if not literal.exact:
            op = "gt" if op in ("gt", "gte") else "lte"
        return f"{subject} {_SYMBOLS[op]} {self.bind(literal.value)}"

    def membership(self, leaf: Compare) -> str:
        column = _column(leaf.column.name)
        subject = _unconverted(column, leaf.column.affinity, leaf.literals)
        members = ", ".join(self.bind(literal.value) for literal in leaf.literals if literal.exact)
        if not members:
            # Only inexact numbers, which nothing equals: as an empty list, except for NULL.
            return _NEVER if leaf.op == "in" else f"{column} IS NOT NULL"
        return f"{subject} {'NOT IN' if leaf.op == 'notin' else 'IN'} ({members})"

    def pattern(self, leaf: Compare) -> str:
        (literal,) = leaf.literals
        if literal.kind is Kind.NULL:
            return _NEVER
        column = _column(leaf.column.name)
        pattern = str(literal.value)
        if leaf.op == "like":
            # GLOB is case-sensitive; PRAGMA case_sensitive_like would change the whole connection.
            test = f"{column} GLOB {self.bind(pattern.translate(_GLOB))}"
        else:
            # In a CASE: the function takes text only, and AND evaluates in any order.
            lowered = f"CASE typeof({column}) WHEN 'text' THEN livetier_lower({column}) END"
            test = f"{lowered} GLOB {self.bind(pattern.lower().translate(_GLOB))}"
        return f"(typeof({column}) = 'text' AND {test})"

    # -- order and anchor

    def anchor(self, plan: SqlitePlan) -> str:
        """Return the test for 'after the anchor': later in one key, equal in all before it.

        SQL's row comparison is no use here: it knows neither DESC nor NULL.
        """
        if plan.after is None:
            return ""
        alternatives = []
        terms = _terms(plan)
        for place in range(len(terms)):
            equal = [
                self.same(column, affinity, literal)
                for (column, affinity, _), literal in zip(
                    terms[:place], plan.after[:place], strict=True
                )
            ]
            later = self.later(*terms[place], plan.after[place])
            alternatives.append("(" + " AND ".join([*equal, later]) + ")")
        return " AND (" + " OR ".join(alternatives) + ")"

    def same(self, column: str, affinity: str, literal: Literal) -> str:
        if literal.kind is Kind.NULL:
            return f"{column} IS NULL"
        if not literal.exact:
            return "FALSE"
        return f"{_unconverted(column, affinity, (literal,))} = {self.bind(literal.value)}"

    def later(self, column: str, affinity: str, desc: bool, literal: Literal) -> str:  # noqa: FBT001 (unpacked)
        if literal.kind is Kind.NULL:
            return "FALSE" if desc else f"{column} IS NOT NULL"
        subject = _unconverted(column, affinity, (literal,))
        if desc:
            return f"({self.against(subject, 'lt', literal)} OR {column} IS NULL)"
        return self.against(subject, "gt", literal)


def _column(name: str) -> str:
    return f"t.{quote(name)} COLLATE BINARY"


def _unconverted(column: str, affinity: str, literals: Iterable[Literal]) -> str:
    """Return ``column``, or ``+column`` if comparing it with ``literals`` would convert a value."""
    kinds = {literal.kind for literal in literals} - {Kind.NULL}
    harmless = (
        affinity == "BLOB"
        or (affinity == "TEXT" and kinds <= {Kind.TEXT})
        or (affinity in _NUMERIC and kinds <= {Kind.NUMBER})
    )
    return column if harmless else f"+{column}"


def _terms(plan: SqlitePlan) -> list[tuple[str, str, bool]]:
    """Return all sort keys, the row's key last: SQL, affinity, whether descending."""
    terms = [(_column(key.column.name), key.column.affinity, key.desc) for key in plan.sort]
    return [*terms, (_key(plan) + " COLLATE BINARY", plan.entity.key_affinity, False)]


def _key(plan: SqlitePlan) -> str:
    return plan.entity.key.format(row="t")


def _select(plan: SqlitePlan, writer: _Writer, *, columns: bool, place: str = "") -> str:
    """Return the head of a SELECT: key, version and, if ``columns``, every column.

    ``place`` comes before them.
    """
    name = plan.entity.name
    listed = "".join(f", t.{quote(column.name)}" for column in plan.entity.columns)
    key = _key(plan)
    # "+" removes the key's affinity, which would keep the join from using the index.
    return (
        f"SELECT {place}{key}, coalesce(r.seq, (SELECT seq FROM {INTERNAL}table WHERE entity ="
        f" {writer.bind(name)}), 1){listed if columns else ''} FROM {quote(name)} AS t"
        f" LEFT JOIN {INTERNAL}row AS r ON r.entity = {writer.bind(name)} AND r.id = +{key}"
        f" WHERE {key} IS NOT NULL{writer.conjunction(plan.where)}"
    )


def _among(plan: SqlitePlan, select: Select, keys: Iterable[Scalar]) -> Select:
    """Return ``select``, which ends in a condition, for rows of these keys.

    Keys are repeated up to a power of two: few statements are prepared.
    """
    listed = list(keys)
    listed += listed[-1:] * ((1 << max(len(listed) - 1, 0).bit_length()) - len(listed))
    marks = ", ".join("?" * len(listed))
    return Select(f"{select.text} AND {_key(plan)} IN ({marks})", (*select.params, *listed))


@cached
def _window(plan: SqlitePlan) -> Select:
    writer = _Writer()
    head = _select(plan, writer, columns=True)
    after = writer.anchor(plan)
    order = ", ".join(f"{column}{' DESC' * desc}" for column, _, desc in _terms(plan))
    return Select(f"{head}{after} ORDER BY {order} LIMIT ?", tuple(writer.params))


def window(plan: SqlitePlan, most: int) -> Select:
    """Return the SELECT of the first ``most`` rows of the plan's result, in order."""
    select = _window(plan)
    return Select(select.text, (*select.params, most))


@cached
def _matching(plan: SqlitePlan) -> Select:
    writer = _Writer()
    return Select(_select(plan, writer, columns=True), tuple(writer.params))


def matching(plan: SqlitePlan, keys: Iterable[Scalar]) -> Select:
    """Return the SELECT of those rows among ``keys`` that the filter lets through."""
    return _among(plan, _matching(plan), keys)


@cached
def _located(plan: SqlitePlan) -> Select:
    writer = _Writer()
    anchor = writer.anchor(plan).removeprefix(" AND ") or "1"
    head = _select(plan, writer, columns=True, place=f"{anchor}, ")
    return Select(head, tuple(writer.params))


def located(plan: SqlitePlan, keys: Iterable[Scalar]) -> Select:
    """Return the SELECT of ``matching``, its first column: whether the row is after the anchor."""
    return _among(plan, _located(plan), keys)


@cached
def _existing(plan: SqlitePlan) -> Select:
    listed = "".join(f", t.{quote(column.name)}" for column in plan.entity.columns)
    key = _key(plan)
    return Select(
        f"SELECT {key}{listed} FROM {quote(plan.entity.name)} AS t WHERE {key} IS NOT NULL", ()
    )


def existing(plan: SqlitePlan, keys: Iterable[Scalar]) -> Select:
    """Return the SELECT of those rows among ``keys`` that exist: the key, then every column."""
    return _among(plan, _existing(plan), keys)


def members(plan: SqlitePlan, *, columns: bool) -> Select:
    """Return the SELECT of every row that the filter lets through, in no order."""
    writer = _Writer()
    return Select(_select(plan, writer, columns=columns), tuple(writer.params))
