"""Schema as JSON: the body of `GET {base}/schema` (docs/wire.md §7).

The members have the names of the contract. False, 0 and what is empty are left out, but for
`entities`, `columns` and names.
"""

import json
from typing import Any

from bridge.core.schema import Schema, SchemaColumn, SchemaEntity


def format_schema(schema: Schema) -> bytes:
    """Return the JSON text of a schema."""
    tree = {"entities": [_entity(entity) for entity in schema.entities]}
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()


def _entity(entity: SchemaEntity) -> dict[str, Any]:
    more = {
        "key": entity.key,
        "description": entity.description,
        "max_limit": entity.max_limit,
    }
    return {"name": entity.name, "columns": [_column(c) for c in entity.columns]} | _told(more)


def _column(column: SchemaColumn) -> dict[str, Any]:
    more = {
        "type": column.type,
        "nullable": column.nullable,
        "sortable": column.sortable,
        "operators": column.operators,
        "description": column.description,
    }
    return {"name": column.name} | _told(more)


def _told(members: dict[str, Any]) -> dict[str, Any]:
    return {name: member for name, member in members.items() if member}
