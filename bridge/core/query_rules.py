"""QueryRules: which entities may be asked for, by whom, and how large a query may be.

A rule is one entry of `--entities`. Entries without a claim are for everybody; those with one are
for callers whose verified credential has it. Of the entries that concern a caller, the most
generous counts.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from .errors import Failed, Kind
from .query import Condition, LiveQuery, OrGroup, bad_query
from .schema import Schema

OTHERS: Final = "*"
"""Stands for every entity that no entry of the same claim names."""


@dataclass(frozen=True, slots=True)
class EntityRule:
    """One entity that may be asked for, `rows` at most; 0 is no limit of its own."""

    entity: str
    rows: int = 0
    claim: tuple[str, str] | None = None
    """Name and value of the claim that a caller needs."""


@dataclass(frozen=True, slots=True)
class QueryRules:
    """Rules for queries. Without an entity rule, every entity may be asked for."""

    entities: tuple[EntityRule, ...] = ()
    max_conditions: int = 0
    """The most conditions of a query, those in `or` included; 0 is no limit."""

    def check(self, query: LiveQuery, claims: Collection[tuple[str, str]]) -> None:
        """Check a query of a caller with these claims.

        Raises:
            Failed: DENIED for an entity that is not listed; BAD_QUERY over a limit.

        """
        rows = self._rows(query.entity, claims)
        if rows is None:
            raise Failed(
                Kind.DENIED, "this entity is not served here", field="entity", limit="entities"
            )
        if rows and query.limit > rows:
            message = f"the largest limit for this entity is {rows}"
            raise bad_query("limit", message, limit="entities")
        most = self.max_conditions
        if most and query.where and _conditions(query.where) > most:
            message = f"at most {most} conditions"
            raise bad_query("where", message, limit="conditions")

    def visible(self, schema: Schema, claims: Collection[tuple[str, str]]) -> Schema:
        """Return what of a schema a caller with these claims may ask for."""
        if not self.entities:
            return schema
        entities = []
        for entity in schema.entities:
            rows = self._rows(entity.name, claims)
            if rows is not None:
                limits = [limit for limit in (rows, entity.max_limit) if limit]
                entities.append(replace(entity, max_limit=min(limits, default=0)))
        return Schema(tuple(entities))

    def _rows(self, entity: str, claims: Collection[tuple[str, str]]) -> int | None:
        """Return the most rows of an entity; 0 is no limit, None: it may not be asked for."""
        if not self.entities:
            return 0
        allowed: dict[tuple[str, str] | None, int] = {}
        for rule in self.entities:
            concerns = rule.claim is None or rule.claim in claims
            if concerns and rule.entity == entity:
                allowed[rule.claim] = rule.rows
            elif concerns and rule.entity == OTHERS:
                allowed.setdefault(rule.claim, rule.rows)
        if not allowed:
            return None
        return 0 if 0 in allowed.values() else max(allowed.values())


def _conditions(where: tuple[Condition, ...]) -> int:
    return sum(
        1 + (_conditions(condition.conditions) if isinstance(condition, OrGroup) else 0)
        for condition in where
    )
