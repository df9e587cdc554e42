import asyncio

import pytest

from postgres_support import Table, database, require_cluster  # noqa: F401 (a fixture)
from store_suite import StoreSuite


@pytest.fixture(params=["wal", "trigger"])
async def table(database, request):
    table = await asyncio.to_thread(Table, database, capture=request.param)
    await table.store.open()
    yield table
    await table.store.close()
    table.connection.close()


class TestPostgresStore(StoreSuite):
    pass
