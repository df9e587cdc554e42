"""The interface is enough for a store without a database: the engine needs nothing more."""

import pytest

from list_store import ListStore
from store_suite import StoreSuite


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
