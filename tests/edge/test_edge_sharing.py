"""Sharing, on real sockets: one call for all of a scope, never one for two."""

import asyncio
import itertools
import json

import pytest

from clients import QUERY, SseClient
from raw_client import STREAM_REQUEST, exchange
from scripted_tier import update

WHERE = [
    {"column": "origin", "op": "eq", "value": "JFK"},
    {"column": "delay_min", "op": "gt", "value": 5},
]


def spellings():
    """One query in 50 spellings: key order, key case, defaults said or left out, white space."""
    keys = ["entity", "where", "sort", "limit", "x"]
    query = {"entity": "f", "where": WHERE, "sort": [{"column": "est_dep"}], "limit": 7, "x": 1}
    for number, order in enumerate(itertools.islice(itertools.permutations(keys), 25)):
        for extra in ({}, {"cursor": None, "mode": 0, "note": number}):
            spelt = {key.upper() if number % 2 else key.title(): query[key] for key in order}
            yield json.dumps({**spelt, **extra}, indent=number % 3 or None)


async def test_a_thousand_viewers_of_one_query_spelt_50_ways_are_one_call(start_bridge, tier, http):
    bridge = await start_bridge(max_connections_per_ip="0")
    tier.rows = ["a", "b"]
    texts = list(spellings())
    assert len(set(texts)) == 50
    answers = await asyncio.gather(
        *(http.post(bridge.base, data=texts[n % 50]) for n in range(1000))
    )
    assert {answer.status for answer in answers} == {200}
    assert tier.opened == 1
    [call] = tier.open.values()
    call.send(update("a", 0, stream_id="1-0"))
    clients = [SseClient(answer) for answer in answers]
    for client in clients:
        frames = [await client.frame()]
        while frames[-1]["op"] != "update":
            frames.append(await client.frame())
        assert frames[-1]["stream_id"] == "1-0"
        client.close()


async def test_a_failed_opening_is_reported_to_all_who_wait_and_not_cached(
    start_bridge, tier, http
):
    import grpc

    bridge = await start_bridge()
    asking = [asyncio.create_task(http.post(bridge.base, data=json.dumps(QUERY))) for _ in range(9)]
    call = await tier.next_call()
    await asyncio.sleep(0.05)
    call.fail(grpc.StatusCode.NOT_FOUND)
    assert {answer.status for answer in await asyncio.gather(*asking)} == {404}
    assert tier.opened == 1
    tier.rows = ["a"]
    answer = await http.post(bridge.base, data=json.dumps(QUERY))
    assert answer.status == 200
    answer.close()


async def test_sharing_off_opens_a_call_for_each(start_bridge, tier, http):
    bridge = await start_bridge(sharing="off")
    tier.rows = ["a"]
    answers = [await http.post(bridge.base, data=json.dumps(QUERY)) for _ in range(3)]
    assert tier.opened == 3
    for answer in answers:
        answer.close()


async def cross(start_bridge, tier, http, groups, viewers):
    """Two tenants ask alike; every frame names the tenant it is for. Returns frames seen."""
    bridge = await start_bridge(forward_metadata="x-tenant")
    reading, calls = [], {}
    seen = 0

    async def read(client, tenant):
        nonlocal seen
        version = 0
        while version < groups + 1:
            frame = await client.frame(within=60)
            seen += 1
            if "row" in frame:
                assert frame["row"] == {"tenant": tenant}
                version = frame["version"]

    for tenant in ("acme", "umbrella"):
        for _ in range(viewers):
            asking = asyncio.create_task(
                http.post(bridge.base, data=json.dumps(QUERY), headers={"X-Tenant": tenant})
            )
            if tenant not in calls:
                calls[tenant] = call = await tier.next_call()
                assert call.metadata["x-tenant"] == tenant
                call.start()
                call.send(*tenant_rows(tenant), complete=True)
            reading.append(asyncio.create_task(read(SseClient(await asking), tenant)))
    for n in range(groups):
        for tenant, call in calls.items():
            row = json.dumps({"tenant": tenant}).encode()
            call.send(update("a", 0, version=n + 2, row=row, stream_id=f"{n}-0"))
        if n % 100 == 0:
            await asyncio.sleep(0.01)
    await asyncio.gather(*reading)
    assert tier.opened == 2
    return seen


def tenant_rows(tenant):
    from scripted_tier import enter, reset

    return reset(), enter("a", 0, row=json.dumps({"tenant": tenant}).encode())


async def test_no_frame_crosses_two_tenants(start_bridge, tier, http):
    assert await cross(start_bridge, tier, http, groups=1000, viewers=3) > 1000


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_none_of_a_million_frames_crosses_two_tenants(start_bridge, tier, http):
    seen = 0
    while seen < 1_000_000:
        seen += await cross(start_bridge, tier, http, groups=20_000, viewers=10)
        await tier.stop()
        await tier.start()
        tier.opened = 0


TENANT = {"forward_metadata": "authorization,x-tenant,x-trace-id", "scope": "x-tenant"}
ALL = {"forward_metadata": "authorization,x-tenant,x-trace-id"}
ODD = {
    "a scope header twice": (TENANT, [("X-Tenant", "a"), ("x-tenant", "b")], 400, "x-tenant"),
    "the same twice": (TENANT, [("X-Tenant", "a"), ("X-Tenant", "a")], 400, "x-tenant"),
    "twice, one empty": (TENANT, [("X-Tenant", "a"), ("X-Tenant", "")], 200, None),
    "empty": (TENANT, [("X-Tenant", "")], 401, "x-tenant"),
    "a tab": (TENANT, [("X-Tenant", "\t")], 401, "x-tenant"),
    "twice by default": (ALL, [("X-Tenant", "a"), ("X-Tenant", "b")], 400, "x-tenant"),
    "two credentials": (
        ALL,
        [("Authorization", "Bearer a"), ("authorization", "x")],
        400,
        "authorization",
    ),
    "two that nobody forwards": (
        {"forward_metadata": "x-tenant"},
        [("Authorization", "a")] * 2,
        400,
        "authorization",
    ),
    "two trace ids": (ALL, [("X-Trace-Id", "a"), ("X-Trace-Id", "b")], 200, None),
    "an empty one by default": (ALL, [("X-Tenant", "")], 200, None),
}


@pytest.mark.parametrize("cut", [0, 10], ids=["plain", "in parts"])
@pytest.mark.parametrize("what", ODD)
async def test_a_header_that_limits_sharing_is_there_once_or_not_at_all(
    start_bridge, tier, cut, what
):
    options, fields, status, named = ODD[what]
    tier.rows = "a"
    bridge = await start_bridge(**options)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields).encode()
    request = STREAM_REQUEST.replace(b"Host", lines + b"Host", 1)
    head, body = await exchange(bridge, request, cut)
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    if status != 200:
        assert json.loads(body)["field"] == named
        assert tier.opened == 0
    else:
        [call] = tier.open.values()
        assert "" not in call.metadata.values()
