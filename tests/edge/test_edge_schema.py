"""The tier's schema over HTTP, on real sockets (docs/wire.md §7)."""

import asyncio
import contextlib
import json

import grpc
import pytest

from bridge.core.errors import Failed, Kind
from bridge.core.schema import Schema, SchemaEntity
from bridge.live.backend import Identity
from bridge.web.schema_cache import MAX_BYTES, TTL, SchemaCache
from livequery.v1 import livequery_pb2 as pb
from scripted_tier import Refusal

DESCRIBED = pb.DescribeResponse(
    entities=[
        pb.Entity(
            name="orders",
            key=["id"],
            description="what was <bought>",
            max_limit=500,
            columns=[
                pb.Column(name="id", type=pb.COLUMN_TYPE_INT, sortable=True),
                pb.Column(
                    name="at",
                    type=pb.COLUMN_TYPE_TIMESTAMP,
                    nullable=True,
                    operators=[pb.OPERATOR_EQ, pb.OPERATOR_NOT_IN, pb.OPERATOR_IS_NULL, 99],
                ),
                pb.Column(name="any", description="whatever"),
            ],
        ),
        pb.Entity(name="empty"),
    ]
)
AS_JSON = {
    "entities": [
        {
            "name": "orders",
            "columns": [
                {"name": "id", "type": "int", "sortable": True},
                {
                    "name": "at",
                    "type": "timestamp",
                    "nullable": True,
                    "operators": ["eq", "notin", "isnull"],
                },
                {"name": "any", "description": "whatever"},
            ],
            "key": ["id"],
            "description": "what was <bought>",
            "max_limit": 500,
        },
        {"name": "empty", "columns": []},
    ]
}


async def test_the_schema_is_json_of_the_contracts_names(start_bridge, tier, http):
    tier.described = DESCRIBED
    bridge = await start_bridge()
    async with http.get(bridge.base + "/schema") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert json.loads(await response.read()) == AS_JSON
        tag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "private, no-cache"
    for tags in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        async with http.get(bridge.base + "/schema", headers={"If-None-Match": tags}) as response:
            assert (response.status, await response.read()) == (304, b"")
            assert response.headers["ETag"] == tag
    async with http.head(bridge.base + "/schema") as response:
        assert (response.status, response.headers["ETag"]) == (200, tag)
    async with http.post(bridge.base + "/schema", json={}) as response:
        assert response.status == 405
        assert set(response.headers["Allow"].split(",")) == {"GET", "HEAD", "OPTIONS"}
    assert len(tier.describes) == 1


async def test_one_describe_serves_all_of_a_scope_who_ask_at_once(start_bridge, tier, http):
    asked, go = asyncio.Event(), asyncio.Event()

    async def later():
        asked.set()
        await go.wait()
        return DESCRIBED

    tier.described = later
    bridge = await start_bridge()
    asking = [asyncio.create_task(http.get(bridge.base + "/schema")) for _ in range(50)]
    await asked.wait()
    asking[0].cancel()  # who asked first leaves; the others still get it
    await asyncio.sleep(0.05)
    go.set()
    answers = await asyncio.gather(*asking[1:])
    assert {answer.status for answer in answers} == {200}
    assert len(tier.describes) == 1


async def test_each_scope_has_its_own_schema_and_its_metadata_travels(start_bridge, tier, http):
    tier.described = DESCRIBED
    bridge = await start_bridge(forward_metadata="x-tenant")
    for tenant in ("acme", "umbrella", "acme"):
        async with http.get(bridge.base + "/schema", headers={"X-Tenant": tenant}) as response:
            assert response.status == 200
    assert [metadata["x-tenant"] for metadata in tier.describes] == ["acme", "umbrella"]


async def test_a_tier_without_describe_is_501_and_is_not_asked_again(start_bridge, tier, http):
    bridge = await start_bridge()
    for _ in range(3):
        async with http.get(bridge.base + "/schema") as response:
            problem = json.loads(await response.read())
            assert response.content_type == "application/problem+json"
        assert (problem["status"], problem["code"]) == (501, "UNIMPLEMENTED")
    assert len(tier.describes) == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, 403),
        (grpc.StatusCode.UNAUTHENTICATED, 401),
        (grpc.StatusCode.INTERNAL, 502),
        (grpc.StatusCode.UNAVAILABLE, 503),
    ],
)
async def test_other_refusals_follow_the_table_and_are_not_kept(
    start_bridge, tier, http, code, status
):
    bridge = await start_bridge()
    tier.described = Refusal(code, "db7.internal")
    async with http.get(bridge.base + "/schema") as response:
        assert response.status == status
        assert "db7" not in await response.text()
    tier.described = DESCRIBED
    async with http.get(bridge.base + "/schema") as response:
        assert response.status == 200


async def test_a_foreign_page_gets_no_schema(start_bridge, tier, http):
    tier.described = DESCRIBED
    bridge = await start_bridge()
    headers = {"Origin": "https://evil.example"}
    async with http.get(bridge.base + "/schema", headers=headers) as response:
        assert response.status == 403
    headers = {"Cookie": "a=b", "Sec-Fetch-Site": "cross-site"}
    async with http.get(bridge.base + "/schema", headers=headers) as response:
        assert response.status == 403
    assert tier.describes == []


class Describing:
    """A backend that counts."""

    def __init__(self, answer):
        self.asked = 0
        self.answer = answer

    async def describe(self, _):
        self.asked += 1
        if isinstance(self.answer, Failed):
            raise self.answer
        return self.answer


def tenant(name):
    return Identity(scope=(("x-tenant", name),))


@pytest.mark.parametrize("answer", [Schema(), Failed(Kind.UNIMPLEMENTED, "no")])
async def test_an_answer_is_kept_for_a_minute(answer):
    now, backend = [0.0], Describing(answer)
    cache = SchemaCache(backend, clock=lambda: now[0])

    for moment, asked in ((0, 1), (TTL - 0.1, 1), (TTL + 0.1, 2)):
        now[0] = moment
        with contextlib.suppress(Failed):
            await cache.get(Identity())
        assert backend.asked == asked


async def test_what_is_kept_is_bounded():
    text = "x" * (MAX_BYTES // 10)
    backend = Describing(Schema((SchemaEntity(text),)))
    cache = SchemaCache(backend, clock=lambda: 0.0)
    for number in range(100):
        await cache.get(tenant(str(number)))
    assert cache._size <= MAX_BYTES
    assert len(cache._entries) < 10
    await cache.get(tenant("99"))
    assert backend.asked == 100


async def test_the_schema_shows_the_listed_entities_with_their_limits(start_bridge, tier, http):
    tier.described = DESCRIBED
    bridge = await start_bridge(entities="orders=100")
    async with http.get(bridge.base + "/schema") as response:
        told = json.loads(await response.read())["entities"]
    assert [(entity["name"], entity["max_limit"]) for entity in told] == [("orders", 100)]
