"""Errors of fabriq: its codes → Failed. Its texts are for its own log, and are never shown.

A query that it refuses comes as `internal`, with a text that says why. Texts of its validation are
known here by how they begin; the column that they quote is looked up in the query.
"""

import logging
import re
from typing import Any, Final

from bridge.core.errors import Failed, Kind
from bridge.core.metadata import secret_values, without_values
from bridge.core.query import Condition, LiveQuery, OrGroup
from bridge.upstream.http2.request import Metadata
from bridge.upstream.status_translation import clean

logger = logging.getLogger(__name__)

_KINDS: Final = {
    "not_found": Kind.NOT_FOUND,
    "version_conflict": Kind.CONFLICT,
    "no_tenant": Kind.UNAUTHENTICATED,
    "not_configured": Kind.UNIMPLEMENTED,
    "not_implemented": Kind.UNIMPLEMENTED,
}
_MESSAGES: Final = {
    Kind.NOT_FOUND: "the tier does not know this",
    Kind.CONFLICT: "the tier can't serve this now",
    Kind.UNAUTHENTICATED: "the tier wants a valid credential",
    Kind.UNIMPLEMENTED: "the tier does not implement this",
    Kind.BROKEN: "the tier failed",
}
_QUOTED: Final = r'"((?:[^"\\]|\\.)*)"'
# Text of a validation → member of the query, and what the client is told.
_VALIDATION: Final = (
    (rf"unknown entity {_QUOTED}", "entity", "the tier does not know this entity"),
    (rf"entity {_QUOTED} does not declare", "entity", "this entity has no live queries"),
    (r"live query has empty entity", "entity", "an entity is needed"),
    (r"live query requires Limit", "limit", "the limit must be at least 1"),
    (rf"filter references unknown column {_QUOTED}", "where", "the entity has no such column"),
    (rf"unknown filter operator {_QUOTED} on {_QUOTED}", "where", "no such operator"),
    (rf"operator {_QUOTED} on {_QUOTED} needs", "where", "the operator needs another value"),
    (r"filter condition with empty column|empty OR group", "where", "an incomplete condition"),
    (rf"column {_QUOTED} is not sortable", "sort", "this column can't be sorted by"),
    (r"live query sort key with empty column", "sort", "a sort key without a column"),
    (r"decode live query", "", "the tier can't read the query"),
    (r"decode cursor", "cursor", "the tier can't read the cursor"),
)
_PATTERNS: Final = tuple(
    (re.compile(rf"(?:fabriq|remote): (?:{text})"), member, message)
    for text, member, message in _VALIDATION
)


def failure_of_error(error: Any, query: LiveQuery, metadata: Metadata) -> Failed:
    """Translate an error frame that answers a query. Never raises. `metadata`: the call's."""
    said = without_values(f"{clean(error.code)}: {clean(error.message)}", secret_values(metadata))
    logger.debug("the tier says %s", said)
    kind = _KINDS.get(error.code, Kind.BROKEN)
    if kind is Kind.BROKEN:
        for pattern, member, message in _PATTERNS:
            if found := pattern.search(error.message):
                column = found.groups()[-1] if found.groups() else ""
                field = _path(query, member, column)
                return Failed(Kind.BAD_QUERY, message, field=field)
    return Failed(kind, _MESSAGES[kind])


def _path(query: LiveQuery, member: str, column: str) -> str | None:
    """Return where the query names a column, else the member."""
    if member == "sort":
        for at, key in enumerate(query.sort):
            if key.column == column:
                return f"sort[{at}].column"
    if member == "where":
        return _condition_path(query.where, column, "where") or member
    return member or None


def _condition_path(conditions: tuple[Condition, ...], column: str, path: str) -> str | None:
    for at, condition in enumerate(conditions):
        here = f"{path}[{at}]"
        if isinstance(condition, OrGroup):
            if found := _condition_path(condition.conditions, column, f"{here}.or"):
                return found
        elif condition.column == column:
            return here
    return None
