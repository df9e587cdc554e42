"""The interface is enough for a store without a database: the engine needs nothing more."""

import importlib.util
from pathlib import Path

import pytest

from list_store import ListStore
from livetier.server import start_store
from store_suite import StoreSuite
from tier_client import Live, query


def example():
    """Return the module of the example, which is no package."""
    path = Path(__file__).parents[2] / "examples/stores/list_store.py"
    spec = importlib.util.spec_from_file_location("example_list_store", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Table:
    def __init__(self):
        self.store = ListStore("thing", ("id", "name", "size"))

    async def put(self, key, name, size):
        self.store.put(id=key, name=name, size=size)

    async def delete(self, key):
        self.store.delete(key)


@pytest.fixture
async def table():
    table = Table()
    await table.store.open()
    yield table
    await table.store.close()


class TestListStore(StoreSuite):
    pass


class ExampleTable(Table):
    def __init__(self):
        self.store = example().ListStore("thing", "id", "name", "size")

    async def delete(self, key):
        self.store.commit(key)


class TestExampleStore(StoreSuite):
    """The example of docs/tier-kit.md passes what every store must."""

    @pytest.fixture
    async def table(self):
        return ExampleTable()

    async def test_it_is_served_as_a_tier(self, table):
        tier = await start_store(table.store)
        try:
            async with Live(tier, query("thing", sort=["size"])) as live:
                await table.put("a", "x", 1)
                await live.until(lambda: live.ids == ["a"])
        finally:
            await tier.stop()
