# ruff: noqa: S608 (this is where statements are made: names are quoted, values bound)
"""From a plan to SELECTs, every value bound.

Laws:

- Order by and anchor agree: NULL first ascending, last descending, on every key, then the key.
- No affinity is ever applied to a bound value: a column meets a literal bare only where the two
  need no conversion (then an index helps); elsewhere as ``+column``, which has no affinity.
- Comparisons are COLLATE BINARY, whatever the column declares.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from livetier.changelog import INTERNAL, quote
from livetier.query import AnyOf, Compare, Plan
from livetier.value import Kind, Literal, SqlValue

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


@dataclass(frozen=True, slots=True)
class Select:
    """A statement and what to bind."""

    text: str
    params: tuple[SqlValue, ...]


class _Writer:
    """Collects what is to be bound while the text is written."""

    def __init__(self) -> None:
        self.params: list[SqlValue] = []

    def bind(self, value: SqlValue) -> str:
        self.params.append(value)
        return "?"

    # -- filters

    def conjunction(self, predicates: Iterable[Compare | AnyOf]) -> str:
        return "".join(f" AND {self.predicate(predicate)}" for predicate in predicates)

    def predicate(self, predicate: Compare | AnyOf) -> str:
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
        subject = _bare_or_plus(column, leaf.column.affinity, leaf.literals)
        if leaf.op in _ORDERING:
            test = self.against(subject, leaf.op, literal)
            return f"({test} AND typeof({column}) IN {_CLASSES[literal.kind]})"
        if not literal.exact:
            return _NEVER if leaf.op == "eq" else f"{column} IS NOT NULL"
        return f"{subject} {_SYMBOLS[leaf.op]} {self.bind(literal.value)}"

    def against(self, subject: str, op: str, literal: Literal) -> str:
        """Return an ordering test; what lies just above a value is above all that equals it."""
        if not literal.exact:
            op = "gt" if op in ("gt", "gte") else "lte"
        return f"{subject} {_SYMBOLS[op]} {self.bind(literal.value)}"

    def membership(self, leaf: Compare) -> str:
        column = _column(leaf.column.name)
        subject = _bare_or_plus(column, leaf.column.affinity, leaf.literals)
        members = ", ".join(self.bind(literal.value) for literal in leaf.literals if literal.exact)
        if not members:
            # Only numbers that nothing equals: like the empty list, except for NULL.
            return _NEVER if leaf.op == "in" else f"{column} IS NOT NULL"
        return f"{subject} {'NOT IN' if leaf.op == 'notin' else 'IN'} ({members})"

    def pattern(self, leaf: Compare) -> str:
        (literal,) = leaf.literals
        if literal.kind is Kind.NULL:
            return _NEVER
        column = _column(leaf.column.name)
        pattern = str(literal.value)
        if leaf.op == "like":
            # GLOB is the case-sensitive LIKE; PRAGMA case_sensitive_like is not ours to set.
            test = f"{column} GLOB {self.bind(pattern.translate(_GLOB))}"
        else:
            # Behind CASE, as the function takes text only and AND promises no order.
            lowered = f"CASE typeof({column}) WHEN 'text' THEN livetier_lower({column}) END"
            test = f"{lowered} GLOB {self.bind(pattern.lower().translate(_GLOB))}"
        return f"(typeof({column}) = 'text' AND {test})"

    # -- order and anchor

    def anchor(self, plan: Plan) -> str:
        """Return the test for 'strictly after the anchor': later in one key, equal in all before.

        The spelled-out form of a row comparison, which knows neither DESC nor NULL.
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
        return f"{_bare_or_plus(column, affinity, (literal,))} = {self.bind(literal.value)}"

    def later(self, column: str, affinity: str, desc: bool, literal: Literal) -> str:  # noqa: FBT001 (unpacked)
        if literal.kind is Kind.NULL:
            return "FALSE" if desc else f"{column} IS NOT NULL"
        subject = _bare_or_plus(column, affinity, (literal,))
        if desc:
            return f"({self.against(subject, 'lt', literal)} OR {column} IS NULL)"
        return self.against(subject, "gt", literal)


def _column(name: str) -> str:
    return f"t.{quote(name)} COLLATE BINARY"


def _bare_or_plus(column: str, affinity: str, literals: Iterable[Literal]) -> str:
    """Return ``column`` such that comparing it with ``literals`` converts nothing."""
    kinds = {literal.kind for literal in literals} - {Kind.NULL}
    harmless = (
        affinity == "BLOB"
        or (affinity == "TEXT" and kinds <= {Kind.TEXT})
        or (affinity in _NUMERIC and kinds <= {Kind.NUMBER})
    )
    return column if harmless else f"+{column}"


def _terms(plan: Plan) -> list[tuple[str, str, bool]]:
    """Return every ordering term, the key last: its SQL, its affinity, whether it descends."""
    terms = [(_column(key.column.name), key.column.affinity, key.desc) for key in plan.sort]
    return [*terms, (_key(plan) + " COLLATE BINARY", plan.entity.key_affinity, False)]


def _key(plan: Plan) -> str:
    return plan.entity.key.format(row="t")


def _select(plan: Plan, writer: _Writer, *, columns: bool) -> str:
    """Return the head of a SELECT: key, version and (unless not wanted) every column."""
    name = plan.entity.name
    listed = "".join(f", t.{quote(column.name)}" for column in plan.entity.columns)
    key = _key(plan)
    # "+" keeps the key's affinity out of the join, or the version's index would not be used.
    return (
        f"SELECT {key}, coalesce(r.seq, (SELECT seq FROM {INTERNAL}table WHERE entity ="
        f" {writer.bind(name)}), 1){listed if columns else ''} FROM {quote(name)} AS t"
        f" LEFT JOIN {INTERNAL}row AS r ON r.entity = {writer.bind(name)} AND r.id = +{key}"
        f" WHERE {key} IS NOT NULL{writer.conjunction(plan.where)}"
    )


def window(plan: Plan) -> Select:
    """Return the SELECT of the plan's window (a streamed plan's page), in order."""
    writer = _Writer()
    head = _select(plan, writer, columns=True)
    after = writer.anchor(plan)
    order = ", ".join(f"{column}{' DESC' * desc}" for column, _, desc in _terms(plan))
    text = f"{head}{after} ORDER BY {order} LIMIT {writer.bind(plan.limit)}"
    return Select(text, tuple(writer.params))


def matching(plan: Plan, keys: Iterable[SqlValue]) -> Select:
    """Return the SELECT of those rows among ``keys`` that the filter lets through."""
    writer = _Writer()
    head = _select(plan, writer, columns=True)
    listed = ", ".join(writer.bind(key) for key in keys)
    return Select(f"{head} AND {_key(plan)} IN ({listed})", tuple(writer.params))


def members(plan: Plan, *, columns: bool) -> Select:
    """Return the SELECT of every row that the filter lets through, in no order."""
    writer = _Writer()
    return Select(_select(plan, writer, columns=columns), tuple(writer.params))
