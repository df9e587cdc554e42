"""What tiers and proxies do that our own never did: compress, cut idle streams, reload, run out of threads."""

import asyncio

import pytest

from example_tiers import EXAMPLES
from ops_support import samples
from test_interop_tiers import QUERY, agree, stir

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("strangers"),
]

SYNC, AIO, GO = EXAMPLES[:3]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_server_that_compresses_unasked_is_read(
    coding, matrix, start_tier, start_bridge, watch
):
    cell = matrix.other(
        f"Python, sync, with `compression={coding}`: every message compressed, unasked"
    )
    tier = await start_tier(SYNC, cell, arguments=f"--compression {coding}")
    bridge = await start_bridge(tier.address, tier)
    with cell.step("snapshot"):
        await agree(tier, await watch(bridge.base, QUERY))
    assert not cell.failed, cell.failed


@pytest.mark.parametrize("name", ["nginx", "Envoy", "HAProxy"])
async def test_an_idle_stream_that_a_proxy_cuts_comes_back(
    name, matrix, start_tier, start_proxy, start_bridge, watch, http
):
    cell = matrix.other(
        f"{name} cuts streams that are silent for 2 s, below the heartbeat interval"
    )
    tier = await start_tier(GO, cell)
    proxy = await start_proxy(name, tier, cell, idle=2)
    bridge = await start_bridge(proxy.address, tier)
    viewers = await watch(bridge.base, QUERY)
    with cell.step("silence"):
        await agree(tier, viewers)
        await asyncio.sleep(8)
        await agree(tier, viewers)
    with cell.step("changes"):
        await stir(tier)
        await agree(tier, viewers)
    with cell.step("cut"):  # else nothing was tried
        found = await samples(http, bridge.url)
        cuts = sum(n for series, n in found.items() if series.startswith("resubscribes"))
        assert cuts >= 2, found
    assert not cell.failed, cell.failed


async def test_a_stream_that_envoys_route_timeout_ends_comes_back(
    matrix, start_tier, start_proxy, start_bridge, watch, http
):
    cell = matrix.other(
        "Envoy with a route timeout of 2 s (its default: 15 s), under 50 changes a second"
    )
    tier = await start_tier(GO, cell)
    proxy = await start_proxy("Envoy", tier, cell, age=2)
    bridge = await start_bridge(proxy.address, tier)
    viewers = await watch(bridge.base, QUERY)
    with cell.step("changes"):
        await stir(tier, 8)
        await agree(tier, viewers)
    with cell.step("cut"):  # else nothing was tried
        found = await samples(http, bridge.url)
        cuts = sum(n for series, n in found.items() if series.startswith("resubscribes"))
        assert cuts >= 2, found
    assert not cell.failed, cell.failed


@pytest.mark.parametrize("name", ["nginx", "Envoy", "HAProxy"])
async def test_a_proxy_reloads_under_changes(
    name, matrix, start_tier, start_proxy, start_bridge, watch
):
    how = "restarts" if name == "Envoy" else "reloads"
    cell = matrix.other(f"{name} {how} three times under 50 changes a second")
    tier = await start_tier(GO, cell)
    proxy = await start_proxy(name, tier, cell)
    bridge = await start_bridge(proxy.address, tier)
    viewers = await watch(bridge.base, QUERY)
    with cell.step("reload"):
        await tier.rate(50)
        for _ in range(3):
            await proxy.reload()
            await asyncio.sleep(2)
        await tier.rate(0)
        await agree(tier, viewers, within=20)
    with cell.step("changes"):
        await stir(tier)
        await agree(tier, viewers)
    assert not cell.failed, cell.failed


@pytest.mark.parametrize("status", [401, 403, 404, 503])
async def test_a_page_of_a_proxy_is_not_the_tiers_word(
    status, matrix, start_tier, start_proxy, start_bridge, watch
):
    cell = matrix.other(
        f"nginx reloads, answers {status} with an HTML page for 3 s, then passes calls on again"
    )
    tier = await start_tier(GO, cell)
    proxy = await start_proxy("nginx", tier, cell)
    bridge = await start_bridge(proxy.address, tier)
    viewers = await watch(bridge.base, QUERY)
    with cell.step("page"):
        await agree(tier, viewers)
        await proxy.answer(status)
        await asyncio.sleep(3)
        await proxy.answer(None)
        await stir(tier)
        await agree(tier, viewers, within=20)
    assert not cell.failed, cell.failed


async def test_a_stream_beyond_the_servers_threads_is_refused_in_time(
    matrix, start_tier, start_bridge, watch, http
):
    cell = matrix.other(
        "Python, sync, 2 threads: the third distinct query gets 504 after `--open-timeout`"
    )
    tier = await start_tier(SYNC, cell, arguments="--max-workers 2")
    bridge = await start_bridge(tier.address, tier, "--open-timeout", "3s")
    with cell.step("two streams"):
        for limit in (1, 2):
            await watch(bridge.base, {**QUERY, "limit": limit})
    with cell.step("the third"):
        async with http.post(bridge.base, json={**QUERY, "limit": 3}) as response:
            assert response.status == 504, (response.status, await response.text())
    assert not cell.failed, cell.failed


@pytest.mark.parametrize(
    ("example", "arguments"),
    [(AIO, "--max-connection-age 2"), (GO, "--max-connection-age 2s")],
    ids=["Python, grpc.aio", "Go"],
)
async def test_connections_of_two_seconds_are_noticed_by_nobody(
    example, arguments, matrix, start_tier, start_bridge, watch, http
):
    cell = matrix.other(f"{example.name}: connections of 2 s at most, under 50 changes a second")
    tier = await start_tier(example, cell, arguments=arguments)
    bridge = await start_bridge(tier.address, tier)
    viewers = await watch(bridge.base, QUERY)
    with cell.step("changes"):
        await stir(tier, 10)
        await agree(tier, viewers)
    with cell.step("ends"):  # else nothing was tried
        found = await samples(http, bridge.url)
        ends = sum(n for series, n in found.items() if series.startswith("resubscribes"))
        assert 2 <= ends <= 10, found
    with cell.step("resets"):
        assert [viewer.resets for viewer in viewers] == [1, 1]
    assert not cell.failed, cell.failed


@pytest.mark.parametrize("example", [AIO, GO], ids=["Python, grpc.aio", "Go"])
async def test_a_server_of_one_stream_a_connection_serves_many_queries(
    example, matrix, start_tier, start_bridge, watch, http
):
    cell = matrix.other(f"{example.name}: 1 stream a connection; 6 queries, pages by reanchor")
    tier = await start_tier(example, cell, arguments="--max-streams 1")
    bridge = await start_bridge(tier.address, tier)
    with cell.step("queries"):
        both = [await watch(bridge.base, {**QUERY, "limit": limit}) for limit in range(3, 9)]
        await stir(tier)
        for limit, viewers in zip(range(3, 9), both, strict=True):
            window = await tier.window({**QUERY, "limit": limit})
            for viewer in viewers:
                await viewer.shows(window)
    with cell.step("page"):
        _, ws = both[-1]
        cursor = ws.last_cursor
        await ws.reanchor(cursor, QUERY["limit"])
        await ws.shows(await tier.window({**QUERY, "cursor": cursor}))
    assert not cell.failed, cell.failed
