"""A ``Store`` over a Python list: one entity, whose rows have an ``id``. The least a store can be."""

import asyncio
import re
import time
from dataclasses import dataclass, field
from functools import cmp_to_key

from livetier.engine import query as checks
from livetier.engine.errors import invalid_argument, not_found
from livetier.engine.store import Plan, Position, Reading, Step, View
from livetier.engine.value import encode_row
from livetier.engine.window import Row, edit_script, membership


class ListStoreError(Exception):
    """The list cannot answer now."""


@dataclass(frozen=True, slots=True)
class ListPlan(Plan):
    where: tuple
    sort: tuple
    after: tuple | None


@dataclass(frozen=True, slots=True)
class ListView(View):
    as_of: int = 0
    members: dict = field(default_factory=dict)


class ListStore:
    error = ListStoreError

    def __init__(self, entity, columns):
        self.entity, self.columns = entity, dict.fromkeys(columns)
        self.rows = []  # (version, row)
        self.log = []  # the id that each commit changed
        self.committed = asyncio.Event()

    def put(self, **row):
        self.delete(row["id"])
        self.rows.append((len(self.log), self.columns | row))

    def delete(self, key):
        self.rows = [entry for entry in self.rows if entry[1]["id"] != key]
        self.log.append(key)
        self.committed.set()

    async def open(self):
        pass

    async def close(self):
        pass

    async def compile(self, query, metadata, /):
        if query.entity != self.entity:
            raise not_found("UNKNOWN_ENTITY", "entity", "there is no such entity")
        where = checks.conditions(query, self._compare, any_of)
        for index, key in enumerate(checks.sort_keys(query)):
            self._column(key.column, f"sort[{index}].column")
        effective = checks.effective_query(query)
        cursor = checks.cursor_values(query)
        return ListPlan(
            query=effective,
            key=effective.SerializeToString(deterministic=True),
            where=where,
            sort=tuple((key.column, key.desc) for key in query.sort),
            after=None if cursor is None else tuple(plain(value) for value in cursor),
        )

    async def first(self, plan, /):
        members = {row.key: row.version for row in self._matching(plan)} if plan.streamed else {}
        rows = () if plan.streamed else self._window(plan)
        return ListView(plan, rows=rows, as_of=len(self.log), members=members)

    async def page(self, view, /):
        return self._window(view.plan)

    async def read(self, views, /):
        self.committed.clear()
        position = Position(len(self.log), int(time.time() * 1000))
        return Reading(position, [self._step(view) for view in views])

    def release(self, view, /):
        pass

    async def changed(self):
        await self.committed.wait()

    async def settle(self):
        pass

    def _column(self, name, field):
        checks.find_column(
            {each: each for each in self.columns}, name, entity=self.entity, field=field
        )

    def _compare(self, leaf, path):
        self._column(leaf.column, f"{path}.column")
        op = checks.operator_of(leaf, path)
        values = [plain(value) for value in checks.operands_of(leaf, op, path)]
        if op in checks.PATTERN_OPERATORS and not isinstance(values[0], str | None):
            raise invalid_argument("WRONG_TYPE", f"{path}.value", "a pattern is text")
        return lambda row: holds(op, row[leaf.column], values)

    def _matching(self, plan):
        for version, row in self.rows:
            if all(predicate(row) for predicate in plan.where):
                order = (*(row[column] for column, _ in plan.sort), row["id"])
                yield Row(version, encode_row(tuple(row), tuple(row.values())), order)

    def _window(self, plan):
        directions = [*(desc for _, desc in plan.sort), False]
        rows = sorted(
            self._matching(plan),
            key=cmp_to_key(lambda one, two: compare(one.order, two.order, directions)),
        )
        after = plan.after
        found = [row for row in rows if not after or compare(row.order, after, directions) > 0]
        return tuple(found[: plan.query.limit])

    def _step(self, view):
        plan = view.plan
        matching = {row.key: row for row in self._matching(plan)}
        if plan.streamed:
            changed = {key: seq + 1 for seq, key in enumerate(self.log) if seq >= view.as_of}
            members = {key: row.version for key, row in matching.items()}
            after = ListView(plan, as_of=len(self.log), members=members)
            return Step(view, after, membership(view.members, matching, changed))
        rows = self._window(plan)
        hidden = {key: row for key, row in matching.items() if row not in rows}
        after = ListView(plan, rows=rows, as_of=len(self.log))
        return Step(view, after, edit_script(view.rows, rows, plan.query.limit, hidden))


def plain(value):
    kind = value.WhichOneof("kind")
    return None if kind == "null_value" else getattr(value, kind)


def any_of(members):
    return lambda row: any(member(row) for member in members)


def holds(op, stored, values):
    """Return whether a comparison holds; unknown, as SQL's NULL makes it, is False."""
    if op in checks.UNARY_OPERATORS:
        return (stored is None) == (op == "isnull")
    if stored is None or (None in values and op != "in"):
        return False
    if op in checks.PATTERN_OPERATORS:
        wild = {"%": ".*", "_": "."}
        pattern = "".join(wild.get(char, re.escape(char)) for char in values[0])
        flags = re.DOTALL | (re.IGNORECASE if op == "ilike" else 0)
        return re.fullmatch(pattern, stored, flags) is not None
    if op in checks.LIST_OPERATORS:
        return (stored in values) == (op == "in")
    order = compare((stored,), (values[0],), (False,))
    return {
        "eq": order == 0, "ne": order != 0, "gt": order > 0, "gte": order >= 0,
        "lt": order < 0, "lte": order <= 0,
    }[op]  # fmt: skip


def compare(one, two, directions):
    """Return -1, 0 or 1 for two orders; NULL is the smallest value."""
    for left, right, desc in zip(one, two, directions, strict=True):
        if left != right:
            less = left is None or (right is not None and left < right)
            return 1 if less == desc else -1
    return 0
