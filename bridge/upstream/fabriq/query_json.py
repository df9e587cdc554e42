"""Query JSON: a LiveQuery as fabriq reads it, under the names of its Go fields.

What its engine would panic on is refused here: arrays and objects as values.
"""

from bridge.core.errors import Failed, Kind
from bridge.core.gojson import unescaped_cursor
from bridge.core.query import Condition, LiveQuery, OrGroup, bad_query
from bridge.core.value import Cursor, JsonText, Value

INT32_MAX = 2**31 - 1


def encode_query(query: LiveQuery) -> bytes:
    """Return a query as JSON. Raises Failed (BAD_QUERY) if fabriq can't run it."""
    if not 0 < query.limit <= INT32_MAX:
        raise bad_query("limit", "the limit must be at least 1")
    where = _conditions(query.where, "where")
    sort = ",".join(
        f'{{"Column":{_text(key.column)},"Desc":{_text(key.desc)}}}' for key in query.sort
    )
    cursor = encode_cursor(query.cursor).decode() or "null"
    text = (
        f'{{"Entity":{_text(query.entity)},"Where":{where},"Sort":[{sort}]'
        f',"Limit":{query.limit},"Cursor":{cursor},"Mode":{query.mode}}}'
    )
    return text.encode()


def encode_cursor(cursor: Cursor) -> bytes:
    """Return a cursor as JSON, empty for the head. Raises Failed (BAD_QUERY)."""
    if cursor is None:
        return b""
    for at, value in enumerate(cursor):
        _check_scalar(value, f"cursor.values[{at}]")
    return unescaped_cursor(cursor)


def _conditions(conditions: tuple[Condition, ...], path: str) -> str:
    found = (_condition(each, f"{path}[{at}]") for at, each in enumerate(conditions))
    return f"[{','.join(found)}]"


def _condition(condition: Condition, path: str) -> str:
    if isinstance(condition, OrGroup):
        return f'{{"Or":{_conditions(condition.conditions, f"{path}.or")}}}'
    operand = condition.operand
    if isinstance(operand, tuple):
        for at, value in enumerate(operand):
            _check_scalar(value, f"{path}.value[{at}]")
        encoded = f"[{','.join(map(_text, operand))}]"
    else:
        _check_scalar(operand, f"{path}.value")
        encoded = _text(operand)
    return (
        f'{{"Column":{_text(condition.column)},"Op":{_text(condition.operator)},"Value":{encoded}}}'
    )


def _check_scalar(value: Value, field: str) -> None:
    if isinstance(value, JsonText) and value.text[:1] in ("[", "{"):
        raise Failed(Kind.BAD_QUERY, "the tier compares no arrays or objects", field=field)


def _text(value: Value) -> str:
    """Return a scalar as JSON: a cursor of this one value, without what is around it."""
    return unescaped_cursor((value,))[len(b'{"values":[') : -len(b"]}")].decode()
