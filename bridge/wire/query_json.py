"""LiveQuery as JSON, as a client could have written it (docs/wire.md §1)."""

import json
from typing import Any

from bridge.core.query import Comparison, Condition, LiveQuery, OrGroup
from bridge.core.value import JsonText, Value


def query_tree(query: LiveQuery) -> dict[str, Any]:
    """Return a query as a JSON tree; what has its default is left out."""
    tree: dict[str, Any] = {"entity": query.entity, "limit": query.limit}
    if query.where:
        tree["where"] = [_condition(condition) for condition in query.where]
    if query.sort:
        tree["sort"] = [
            {"column": key.column} | ({"desc": True} if key.desc else {}) for key in query.sort
        ]
    if query.cursor is not None:
        tree["cursor"] = {"values": [_value(value) for value in query.cursor]}
    if query.mode:
        tree["mode"] = query.mode
    return tree


def _condition(condition: Condition) -> dict[str, Any]:
    if isinstance(condition, OrGroup):
        return {"or": [_condition(member) for member in condition.conditions]}
    return _comparison(condition)


def _comparison(comparison: Comparison) -> dict[str, Any]:
    tree: dict[str, Any] = {"column": comparison.column, "op": comparison.operator}
    operand = comparison.operand
    if isinstance(operand, tuple):
        tree["value"] = [_value(value) for value in operand]
    elif operand is not None:
        tree["value"] = _value(operand)
    return tree


def _value(value: Value) -> Any:
    return json.loads(value.text) if isinstance(value, JsonText) else value
