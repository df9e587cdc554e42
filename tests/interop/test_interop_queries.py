"""One query means the same to every example tier, and a command on stdin changes every table."""

import pytest

from example_tiers import EXAMPLES
from matrix import by_example
from viewers import WsViewer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

TABLE = {"entity": "ticks", "limit": 1000}
PRICE = {"column": "price", "op": "gte", "value": 500}
QUERIES = [
    ([{"column": "symbol", "op": "eq", "value": "ACME"}], lambda r: r["symbol"] == "ACME"),
    ([{"column": "symbol", "op": "ne", "value": "ACME"}], lambda r: r["symbol"] != "ACME"),
    ([{"column": "price", "op": "gt", "value": 499.5}], lambda r: r["price"] > 499.5),
    ([{"column": "price", "op": "lt", "value": 18446744073709551615}], lambda r: True),
    ([{"column": "price", "op": "gt", "value": -9223372036854775808}], lambda r: True),
    (
        [PRICE, {"column": "size", "op": "lte", "value": 50}],
        lambda r: r["price"] >= 500 and r["size"] <= 50,
    ),
    ([{"column": "symbol", "op": "in", "value": ["BOLT", "x"]}], lambda r: r["symbol"] == "BOLT"),
    (
        [{"column": "size", "op": "notin", "value": [1, 2.0, 3]}],
        lambda r: r["size"] not in (1, 2, 3),
    ),
    (
        [{"or": [PRICE, {"column": "id", "op": "in", "value": ["t1", "t2"]}]}],
        lambda r: r["price"] >= 500 or r["id"] in ("t1", "t2"),
    ),
]


async def ids(http, base, query, count):
    """Read a window until it has so many rows."""
    viewer = await WsViewer().open(http, base, query)
    await viewer.until(lambda: viewer.resets and len(viewer.by_id.rows) >= count)
    await viewer.close()
    return viewer.by_id.ids


@pytest.mark.parametrize("example", by_example(EXAMPLES))
async def test_filters_order_and_commands(example, matrix, start_tier, start_bridge, http):
    cell = matrix.other(f"{example.name}: filters, orders and commands mean what they say")
    tier = await start_tier(example, cell)
    bridge = await start_bridge(tier.address, tier)
    table = await WsViewer().open(http, bridge.base, TABLE)
    await table.until(lambda: len(table.by_id.rows) == 36)
    rows = list(table.data.values())
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)

    with cell.step("filters"):
        for where, matches in QUERIES:
            expected = sorted(
                filter(matches, rows), key=lambda r: (r["symbol"], -r["size"], r["id"])
            )
            sort = [{"column": "symbol"}, {"column": "size", "desc": True}]
            query = {**TABLE, "where": where, "sort": sort}
            found = await ids(http, bridge.base, query, len(expected))
            assert found == [row["id"] for row in expected], where

    with cell.step("commands"):
        await tier.command("put a0 ACME 5 6")
        await table.until(lambda: table.by_id.ids[0] == "a0")
        assert table.data["a0"] == {"id": "a0", "symbol": "ACME", "price": 5, "size": 6}
        await tier.command("put a0 BOLT 7 8")
        await table.until(lambda: table.data["a0"]["price"] == 7)
        await tier.command("delete a0")
        await table.until(lambda: len(table.by_id.rows) == 36)
    await table.close()
    assert not cell.failed, cell.failed
