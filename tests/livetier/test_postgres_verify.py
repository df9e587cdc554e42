"""The tier on PostgreSQL passes what tiers of strangers are judged by."""

import asyncio
import itertools

import psycopg
import pytest

from bridge.verify.calls import Target
from bridge.verify.runner import verify
from bridge.verify.times import Times
from livequery.v1 import livequery_pb2 as pb
from livetier.server import TierOptions, start_tier
from postgres_support import database, require_cluster  # noqa: F401 - a fixture

ORDERS = pb.LiveQuery(entity="orders", sort=[pb.SortKey(column="total")], limit=10)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("capture", ["wal", "trigger"])
async def test_it_passes_every_rule_of_verify(database, capture):
    connection = await asyncio.to_thread(psycopg.connect, database, autocommit=True)
    connection.execute(
        "CREATE TABLE orders (id integer PRIMARY KEY, total integer, note text);"
        "INSERT INTO orders SELECT n, n * 10, 'n' || n FROM generate_series(1, 40) AS n"
    )
    tier = await start_tier(TierOptions(database=database, capture=capture))
    notes = itertools.count()

    async def write():
        await asyncio.to_thread(
            connection.execute, "UPDATE orders SET note = %s WHERE id = 3", (f"x{next(notes)}",)
        )

    try:
        ledger = await verify(
            Target(tier.address),
            ORDERS,
            times=Times(pause=0.3, changes=4),
            write=write,
            stop=tier.stop,
        )
    finally:
        connection.close()
        await tier.stop()
    assert {each.rule.id: each.findings for each in ledger.outcomes() if each.findings} == {}
