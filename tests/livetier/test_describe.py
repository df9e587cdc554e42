"""Describe, of the embedded tier: what its tables promise (docs/wire.md §7)."""

import grpc
import pytest

from list_store import ListStore
from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc
from livetier.engine.errors import TierError
from livetier.engine.watcher import Watcher
from tier_client import OPS

NO_PATTERNS = [OPS[name] for name in OPS if "like" not in name]


async def described(tier):
    async with grpc.aio.insecure_channel(tier.address) as channel:
        stub = livequery_pb2_grpc.LiveQueryServiceStub(channel)
        response = await stub.Describe(pb.DescribeRequest())
    return {entity.name: entity for entity in response.entities}


async def test_every_table_is_described_by_its_declaration(tiers, things):
    url, connection = things
    connection.execute(
        "CREATE TABLE typed (a INTEGER NOT NULL, b DOUBLE, c VARCHAR(9), d DECIMAL(9, 2), e BLOB,"
        " f DATETIME, g, PRIMARY KEY (c, a)) "
    )
    connection.execute("CREATE TABLE unkeyed (x TEXT)")
    connection.execute("CREATE VIEW seen AS SELECT * FROM thing")
    entities = await described(await tiers(database=url))
    assert list(entities) == ["thing", "typed", "unkeyed"]
    typed = entities["typed"]
    assert (list(typed.key), typed.max_limit) == (["c", "a"], 10_000)
    assert {c.name: (pb.ColumnType.Name(c.type)[12:], c.nullable) for c in typed.columns} == {
        "a": ("INT", False),
        "b": ("DOUBLE", True),
        "c": ("STRING", False),
        "d": ("DECIMAL", True),
        "e": ("BYTES", True),
        "f": ("UNSPECIFIED", True),
        "g": ("UNSPECIFIED", True),
    }
    operators = {column.name: list(column.operators) for column in typed.columns}
    assert operators["a"] == operators["b"] == NO_PATTERNS
    assert operators["c"] == operators["g"] == list(OPS.values())
    assert all(column.sortable for column in typed.columns)
    assert list(entities["unkeyed"].key) == []


async def test_to_describe_a_table_does_not_watch_it(tiers, things):
    url, connection = things
    await described(await tiers(database=url))
    triggers = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'")
    assert triggers.fetchone() == (0,)


async def test_a_store_that_can_not_describe_is_unimplemented():
    with pytest.raises(TierError) as refused:
        await Watcher(ListStore("things", ["id"])).describe(())
    assert refused.value.code is grpc.StatusCode.UNIMPLEMENTED
