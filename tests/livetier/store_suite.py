"""What every ``Store`` must do. A store's test module subclasses ``StoreSuite``.

It has a fixture ``table``: an open store with the entity ``thing`` (columns id, name, size), and
``await table.put(id, name, size)`` and ``await table.delete(id)``, each one commit.
"""

import asyncio
import json
import random

import pytest

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.errors import TierError
from livetier.engine.store import Views
from livetier.engine.watcher import Watcher
from patience import patiently
from reducer import splice
from tier_client import any_of, leaf, query, shape

EXAMPLES = {"a": ("Ann", 1), "b": ("bob", 2), "c": (None, 3), "d": ("Dan", None), "e": ("bob", 9)}


async def fill(table):
    for key, (name, size) in EXAMPLES.items():
        await table.put(key, name, size)


async def opened(table, live_query, metadata=()):
    return await table.store.first(await table.store.compile(live_query, metadata))


async def ids(table, *where, **options):
    return [row.id for row in (await opened(table, query("thing", *where, **options))).rows]


async def step(table, view):
    """Read one view again; return its successor and the changes between."""
    await table.store.settle()
    reading = await table.store.read(Views([view]))
    found = [each for each in reading.steps if each.before is view]
    assert len(found) <= 1
    return (found[0].after, list(found[0].changes)) if found else (view, [])


class StoreSuite:
    async def test_a_plan_has_the_query_as_it_is_run_and_the_key_of_all_equal_ones(self, table):
        compile_query = table.store.compile
        one = await compile_query(query("thing", sort=["name"], limit=2**31 - 1), ())
        same = await compile_query(query("thing", sort=["name"], limit=10_000), ())
        other = await compile_query(query("thing", sort=["-name"], limit=10_000), ())
        assert one.query.limit == 10_000
        assert one.key == same.key != other.key
        assert not one.streamed
        assert (await compile_query(query("thing", streamed=True), ())).streamed

    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            (query("nothing"), "entity"),
            (query("thing", leaf("nam", "eq", "x")), "where[0].column"),
            (query("thing", any_of(leaf("name", "in", []))), "where[0].or[0].value"),
            (query("thing", leaf("name", "like", 5)), "where[0].value"),
            (query("thing", sort=["name", "nope"]), "sort[1].column"),
            (query("thing", limit=0), "limit"),
            (query("thing", sort=["name"], cursor=["x"]), "cursor.values"),
        ],
    )
    async def test_a_query_that_makes_no_sense_is_refused_with_its_field(self, table, asked, field):
        with pytest.raises(TierError) as caught:
            await table.store.compile(asked, ())
        assert caught.value.field == field

    async def test_a_view_has_the_rows_in_order_up_to_the_limit(self, table):
        await fill(table)
        named = leaf("name", "isnotnull")
        assert await ids(table, named, sort=["-name"]) == ["b", "e", "d", "a"]
        assert await ids(table, named, sort=["name", "-size"], limit=3) == ["a", "d", "e"]
        assert await ids(table) == ["a", "b", "c", "d", "e"]

    async def test_a_cursor_is_the_place_after_which_the_window_begins(self, table):
        await fill(table)
        view = await opened(table, query("thing", leaf("size", "isnotnull"), sort=["-size"]))
        for place, row in enumerate(view.rows):
            rest = [other.id for other in view.rows[place + 1 :]]
            found = await ids(table, leaf("size", "isnotnull"), sort=["-size"], cursor=row.order)
            assert found == rest
        assert await ids(table, sort=["size"], cursor=[2, "a"], limit=2) == ["b", "c"]

    async def test_a_row_is_a_json_object_with_an_id_and_its_place_in_the_order(self, table):
        await table.put("a", "Ann", 1)
        (row,) = (await opened(table, query("thing", sort=["size"]))).rows
        assert row.id == row.key == "a"
        assert row.order == (1, "a")
        assert json.loads(row.json).items() >= {"id": "a", "name": "Ann", "size": 1}.items()

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            (leaf("name", "eq", "bob"), "be"),
            (leaf("name", "ne", "bob"), "ad"),
            (leaf("size", "gte", 2), "bce"),
            (leaf("size", "lt", 2), "a"),
            (leaf("size", "in", [1, 9, None]), "ae"),
            (leaf("size", "notin", [1, 9]), "bc"),
            (leaf("size", "notin", [1, None]), ""),
            (leaf("size", "eq", None), ""),
            (leaf("name", "like", "%n"), "ad"),
            (leaf("name", "like", "B__"), ""),
            (leaf("name", "ilike", "B__"), "be"),
            (leaf("name", "isnull"), "c"),
            (any_of(leaf("name", "isnull"), leaf("size", "isnull")), "cd"),
        ],
    )
    async def test_operators_mean_what_sql_means(self, table, where, expected):
        await fill(table)
        assert await ids(table, where) == list(expected)

    async def test_a_reading_leads_from_a_view_to_the_present_rows_and_reports_once(self, table):
        await fill(table)
        live_query = query("thing", leaf("size", "gt", 1), sort=["-size"], limit=2)
        view = await opened(table, live_query)
        await table.put("a", "Ann", 5)
        await table.delete("b")
        after, changes = await step(table, view)
        assert splice(changes, view.rows, 2) == after.rows
        assert after.rows == (await opened(table, live_query)).rows
        assert [change.row.id for change in changes] == ["a", "c"]
        assert (await step(table, after))[1] == []

    async def test_what_a_view_contains_already_is_not_reported(self, table):
        old = await opened(table, query("thing", sort=["name"]))
        await table.put("a", "Ann", 1)
        new = await opened(table, query("thing", sort=["size"]))
        streamed = await opened(table, query("thing", streamed=True))
        await table.store.settle()
        reading = await table.store.read(Views([old, new, streamed]))
        changed = [each.before for each in reading.steps if each.changes]
        assert changed == [old]

    async def test_a_version_grows_with_every_change_and_a_position_with_every_commit(self, table):
        view = await opened(table, query("thing"))
        positions, versions = [], []
        for size in range(3):
            await table.put("a", "Ann", size)
            await table.store.settle()
            reading = await table.store.read(Views([view]))
            view = reading.steps[0].after
            positions.append(reading.position.seq)
            versions.append(view.rows[0].version)
        assert positions == sorted(set(positions))
        assert versions == sorted(set(versions))

    async def test_what_a_cancelled_reading_would_have_reported_the_next_one_reports(self, table):
        view = await opened(table, query("thing"))
        await table.put("a", "Ann", 1)
        for turns in range(4):
            reading = asyncio.create_task(table.store.read(Views([view])))
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
        _, changes = await step(table, view)
        assert [change.key for change in changes] == ["a"]

    async def test_streamed_mode_reports_members_and_pages_them(self, table):
        await fill(table)
        live_query = query("thing", leaf("size", "gt", 1), sort=["size"], limit=1, streamed=True)
        view = await opened(table, live_query)
        assert view.rows == ()
        assert [row.id for row in await table.store.page(view)] == ["b"]
        await table.put("a", "Ann", 2)
        await table.put("b", "Bob", 2)
        await table.delete("c")
        await table.put("d", "Dan", 0)
        view, changes = await step(table, view)
        assert {change.key: change.op for change in changes} == {
            "a": pb.DELTA_OP_MATCH, "b": pb.DELTA_OP_UPDATE, "c": pb.DELTA_OP_UNMATCH,
        }  # fmt: skip
        assert (await step(table, view))[1] == []

    async def test_a_commit_is_noticed_before_and_during_the_wait_for_it(self, table):
        view = await opened(table, query("thing"))
        for key in "ab":
            await table.put(key, "x", 1)
            async with patiently(5):
                await table.store.changed()
            view, changes = await step(table, view)
            assert [change.key for change in changes] == [key]
        waiting = asyncio.create_task(until_changed(table, [view]))
        await asyncio.sleep(0)
        await table.put("c", "x", 1)
        async with patiently(5):
            assert [change.key for change in await waiting] == ["c"]

    async def test_a_cancelled_wait_loses_no_commit(self, table):
        latest = [await opened(table, query("thing"))]
        waiting = asyncio.create_task(until_changed(table, latest))
        await asyncio.sleep(0)
        await table.put("a", "x", 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        if not waiting.cancelled():  # it was quicker, and has the change
            assert [change.key for change in waiting.result()] == ["a"]
            return
        async with patiently(5):
            assert [change.key for change in await until_changed(table, latest)] == ["a"]

    async def test_after_settle_a_reading_has_every_commit_from_before(self, table):
        view = await opened(table, query("thing"))
        for number in range(20):
            await table.put(f"k{number % 7}", "x", number)
            await table.store.settle()
            view, changes = await step(table, view)
            assert len(changes) == 1

    async def test_after_random_commits_every_view_equals_a_first_reading(self, table):
        pick = random.Random(7)
        queries = [
            query("thing", sort=["name"], limit=4),
            query("thing", leaf("size", "gt", 3), sort=["-size", "name"], limit=3),
            query("thing", leaf("name", "ilike", "a%"), limit=50),
            query("thing", sort=["-size"], limit=5, cursor=[5, "k3"]),
        ]
        views = [await opened(table, each) for each in queries]
        for _ in range(60):
            for _ in range(pick.randint(1, 3)):
                key = f"k{pick.randint(0, 12)}"
                if pick.random() < 0.3:
                    await table.delete(key)
                else:
                    name = pick.choice(["a", "Ab", "b", None])
                    await table.put(key, name, pick.choice([None, *range(9)]))
            await table.store.settle()
            reading = await table.store.read(Views(views))
            steps = {id(each.before): each for each in reading.steps}
            for place, view in enumerate(views):
                if (taken := steps.get(id(view))) is not None:
                    limit = view.plan.query.limit
                    assert splice(taken.changes, view.rows, limit) == taken.after.rows
                    views[place] = taken.after
                assert views[place].rows == (await opened(table, queries[place])).rows

    async def test_the_engine_turns_its_commits_into_groups(self, table):
        watcher = Watcher(table.store)
        running = asyncio.create_task(watcher.run())
        try:
            subscription = await watcher.subscribe("s", query("thing", sort=["size"], limit=1))
            assert (await watcher.snapshot(subscription))[1] == ()
            for key, size, expected in (
                ("a", 5, [("enter", "a", -1, 0)]),
                ("b", 1, [("enter", "b", -1, 0), ("leave", "a", 1, -1)]),
            ):
                await table.put(key, "x", size)
                assert await subscription.ready(5)
                assert shape(subscription.take_group()) == expected
        finally:
            running.cancel()
            await asyncio.wait([running])


async def until_changed(table, latest):
    """Wait as the engine does: ``changed`` may return for nothing, a step replaces the view.

    ``latest`` is a list of the view alone, so that who cancels has its successor.
    """
    while True:
        await table.store.changed()
        latest[0], changes = await step(table, latest[0])
        if changes:
            return changes
