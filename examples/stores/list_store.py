"""A live-query store over a Python list: docs/tier-kit.md. Run as a script, it serves itself."""

import asyncio
import re
import time
from dataclasses import dataclass, field

from livetier.engine import query as checks
from livetier.engine.errors import invalid_argument, not_found
from livetier.engine.store import Plan, Position, Reading, Step, View
from livetier.engine.value import encode_row
from livetier.engine.window import Row, edit_script, membership
from livetier.server import start_store

TESTS = {
    "eq": lambda a, b: a == b[0], "ne": lambda a, b: a != b[0], "in": lambda a, b: a in b,
    "gt": lambda a, b: a > b[0], "gte": lambda a, b: a >= b[0], "notin": lambda a, b: a not in b,
    "lt": lambda a, b: a < b[0], "lte": lambda a, b: a <= b[0],
    "like": lambda a, b: matches(b[0], a), "ilike": lambda a, b: matches(b[0].lower(), a.lower()),
}  # fmt: skip


@dataclass(frozen=True)
class ListPlan(Plan):
    where: tuple = ()
    after: tuple | None = None


@dataclass(frozen=True)
class ListView(View):
    as_of: int = 0  # how many commits it contains
    members: dict = field(default_factory=dict)


class ListStore:
    error = ConnectionError  # "cannot answer now": a list always can

    def __init__(self, entity, *columns):
        self.entity, self.columns = entity, dict.fromkeys(columns)
        self.rows, self.log, self.committed = {}, [], asyncio.Event()

    def put(self, **row):
        self.commit(row["id"])
        self.rows[row["id"]] = (len(self.log), {**self.columns, **row})

    def commit(self, key):
        self.rows.pop(key, None)
        self.log.append(key)
        self.committed.set()

    async def open(self): ...
    async def close(self): ...
    async def settle(self): ...
    def release(self, view): ...

    async def changed(self):
        await self.committed.wait()

    async def compile(self, query, _, /):
        if query.entity != self.entity:
            raise not_found("UNKNOWN_ENTITY", "entity", "there is no such entity")
        where = checks.conditions(
            query, self.leaf, lambda any_: lambda row: any(t(row) for t in any_)
        )
        for at, key in enumerate(checks.sort_keys(query)):
            self.check(key.column, f"sort[{at}].column")
        ran, cursor = checks.effective_query(query), checks.cursor_values(query)
        after = None if cursor is None else tuple(map(plain, cursor))
        return ListPlan(ran, ran.SerializeToString(deterministic=True), where, after)

    def check(self, name, at):
        checks.find_column(dict.fromkeys(self.columns, 1), name, entity=self.entity, field=at)

    def leaf(self, leaf, path):
        self.check(leaf.column, f"{path}.column")
        op = checks.operator_of(leaf, path)
        values = [plain(value) for value in checks.operands_of(leaf, op, path)]
        if op in checks.PATTERN_OPERATORS and not isinstance(values[0], str):
            raise invalid_argument("WRONG_TYPE", f"{path}.value", "a pattern is text")
        if op in checks.UNARY_OPERATORS:
            return lambda row: (row[leaf.column] is None) == (op == "isnull")
        if None in values and op != "in":
            return lambda _: False
        return lambda row: row[leaf.column] is not None and TESTS[op](row[leaf.column], values)

    def matching(self, plan):
        keys = [key.column for key in plan.query.sort]
        for version, row in self.rows.values():
            if all(test(row) for test in plan.where):
                order = (*(row[name] for name in keys), row["id"])
                yield Row(version, encode_row(tuple(row), tuple(row.values())), order)

    def window(self, plan):
        # The anchor is sorted among the rows, behind one that equals it.
        found = [*self.matching(plan), *([Row(0, b"", plan.after)] if plan.after else [])]
        descending = [*(key.desc for key in plan.query.sort), False]
        for at, desc in reversed(list(enumerate(descending))):
            found.sort(key=lambda row: (row.order[at] is not None, row.order[at]), reverse=desc)
        start = next((at + 1 for at, row in enumerate(found) if not row.json), 0)
        return tuple(found[start : start + plan.query.limit])

    def view(self, plan, members):
        versions = {row.key: row.version for row in members} if plan.streamed else {}
        rows = () if plan.streamed else self.window(plan)
        return ListView(plan, rows=rows, as_of=len(self.log), members=versions)

    async def first(self, plan, /):
        return self.view(plan, self.matching(plan))

    async def page(self, view, /):
        return self.window(view.plan)

    async def read(self, views, /):
        self.committed.clear()
        return Reading(Position(len(self.log), int(time.time() * 1000)), [*map(self.step, views)])

    def step(self, before):
        present = {row.key: row for row in self.matching(before.plan)}
        after = self.view(before.plan, present.values())
        if before.plan.streamed:
            changed = {key: at + 1 for at, key in enumerate(self.log) if at >= before.as_of}
            return Step(before, after, membership(before.members, present, changed))
        hidden = {key: row for key, row in present.items() if row not in after.rows}
        limit = before.plan.query.limit
        return Step(before, after, edit_script(before.rows, after.rows, limit, hidden))


def plain(value):
    kind = value.WhichOneof("kind")
    return None if kind == "null_value" else getattr(value, kind)


def matches(pattern, text):
    wild = {"%": ".*", "_": "."}
    return re.fullmatch("".join(wild.get(c, re.escape(c)) for c in pattern), text, re.DOTALL)


async def main():
    store = ListStore("thing", "id", "name", "size")
    tier = await start_store(store, listen="127.0.0.1:50051")
    print(f"listening on {tier.address}")
    for number in range(10**9):
        store.put(id=f"t{number % 20}", name="abc"[number % 3], size=number)
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main())
