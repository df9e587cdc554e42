"""Start and end: when the port opens, what readiness says, and how a drain notifies clients."""

import asyncio
import contextlib
import itertools
import json
import random
import signal
import time

import aiohttp
import pytest

from bridge.process.drain import MAX_SPREAD, NOTICE_PERIOD, drain_schedule
from clients import QUERY, SseClient
from ops_support import free_port, problem, ready
from patience import patient, patiently, promised
from scripted_tier import ScriptedTier
from waiting import until


async def stream(http, url):
    client = SseClient(await http.post(url + "/api/v1/live", data=json.dumps(QUERY)))
    await client.frames(3)
    return client


# ------------------------------------------------------------------ start


async def test_the_port_opens_at_once_and_readiness_waits_for_the_tier(run, http):
    port = free_port()
    program = await run("serve", "--upstream", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0")
    url = await program.listening()
    response = await http.get(url + "/readyz")
    assert response.status == 503
    assert (await response.json()) == {"ready": False, "reasons": ["no tier reachable"]}
    tier = await ScriptedTier().start(port)
    await ready(http, url)
    await tier.stop()


async def test_with_wait_for_tier_the_port_opens_once_the_tier_is_there(run, http):
    port, here = free_port(), free_port()
    program = await run(
        *("serve", "--upstream", f"127.0.0.1:{port}", "--listen", f"127.0.0.1:{here}"),
        *("--wait-for-tier", "on", "--admin-listen", "127.0.0.1:0"),
    )
    admin = (await program.says("metrics and health at")).rpartition(" ")[2]
    await program.says("waiting for a tier")
    assert (await http.get(admin + "/readyz")).status == 503
    assert (await http.get(admin + "/healthz")).status == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(f"http://127.0.0.1:{here}/healthz")
    tier = await ScriptedTier().start(port)
    url = await program.listening(within=30)
    assert (await http.get(url + "/readyz")).status == 200
    await tier.stop()


async def test_a_signal_ends_the_wait_for_a_tier(run):
    program = await run(
        *("serve", "--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--wait-for-tier", "on")
    )
    await program.says("waiting for a tier")
    code, took = await program.stop()
    assert code == 0
    assert took < patient(5)


async def test_readiness_says_when_there_are_no_more_connections_to_give(start_bridge, http):
    bridge = await start_bridge(max_connections="1")
    await ready(http, bridge.url)
    response = await http.post(bridge.base, data=json.dumps(QUERY))
    told = await http.get(bridge.url + "/readyz")
    assert told.status == 503
    assert (await told.json())["reasons"] == ["no more connections to give"]
    response.close()
    await ready(http, bridge.url)


# ------------------------------------------------------------------ drain


def test_a_drain_spreads_its_notices_and_leaves_time_to_close():
    random.seed(7)
    for clients, within, longest in (
        (0, 15, 0),
        (50, 15, 0.1),
        (5000, 15, 9.5),
        (100_000, 60, MAX_SPREAD),
    ):
        notice, moments = drain_schedule(clients, within)
        assert notice == NOTICE_PERIOD
        assert len(moments) == clients
        assert moments == sorted(moments)
        assert all(0 <= moment <= longest for moment in moments)
        gaps = {round(b - a, 9) for a, b in itertools.pairwise(moments)}
        assert len(gaps) >= len(moments) // 2, "clients are not notified at equal steps"
    notice, moments = drain_schedule(100, 0.2)
    assert notice + moments[-1] < 0.2


@promised
async def test_sigterm_is_seen_by_a_probe_at_once_and_few_clients_are_gone_in_two_seconds(
    serve, http, at_most
):
    program = await serve()
    url = await program.listening()
    await ready(http, url)
    client = await stream(http, url)
    began = time.monotonic()
    program.send()

    async def told():
        response = await http.get(url + "/readyz")
        assert response.headers.get("Connection") == "close" or response.status == 200
        return response.status == 503 and (await response.json())["reasons"] == ["draining"]

    await until(told)
    seen = time.monotonic() - began
    refused = await http.post(url + "/api/v1/live", data=json.dumps(QUERY))
    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) >= 1
    async with http.ws_connect(url + "/api/v1/live/ws") as ws:
        assert (await ws.receive(timeout=patient(5))).data == 1013
    assert await client.event() is None, "its stream ended properly"
    code, _ = await program.ended()
    assert code == 0
    assert seen < at_most(0.1)
    assert time.monotonic() - began < at_most(2)


async def test_every_client_is_notified_of_a_drain_in_its_own_protocol(serve, http):
    program = await serve("--max-connections-per-ip", "0")
    url = await program.listening()
    base = url + "/api/v1/live"
    core = [await stream(http, url) for _ in range(20)]
    v1 = SseClient(await http.post(base + "?v=1", data=json.dumps(QUERY)))
    sockets = [await http.ws_connect(base + "/ws") for _ in range(20)]
    for ws in sockets:
        await ws.send_json({"action": "subscribe", "query": QUERY})
    named = await http.ws_connect(base + "/ws", protocols=["livequery.v1"])
    idle = await http.ws_connect(base + "/ws")
    program.send()
    for client in core:
        assert await client.event() is None
    events = []
    while (event := await v1.event()) is not None:
        events.append(event)
    assert events[-1]["event"] == "drain"
    assert json.loads(events[-1]["data"])["reconnect_after_ms"] > 0
    for ws in (*sockets, idle):
        while (message := await ws.receive(timeout=patient(5))).type is aiohttp.WSMsgType.TEXT:
            pass
        assert ws.close_code == 1001, message
    assert json.loads((await named.receive(timeout=patient(5))).data)["type"] == "drain"
    assert (await named.receive(timeout=patient(5))).data == 1001
    assert (await program.ended())[0] == 0


async def test_a_client_that_never_closes_does_not_delay_the_end_of_a_drain(serve):
    program = await serve("--drain-timeout", "1s")
    url = await program.listening()
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET /api/v1/live/ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readline()
    code, took = await program.stop()
    assert code == 0
    assert took < patient(4)
    writer.close()


async def test_a_second_signal_ends_it_at_once(serve, http):
    program = await serve("--drain-timeout", "60s")
    url = await program.listening()
    ws = await http.ws_connect(url + "/api/v1/live/ws", autoclose=False)
    began = time.monotonic()
    program.send()
    await program.says("draining")
    program.send()
    code, _ = await program.ended()
    assert code == 0
    assert time.monotonic() - began < patient(3)
    await ws.close()


async def test_nothing_is_left_upstream_after_a_drain(serve, http, tier):
    program = await serve()
    url = await program.listening()
    clients = [await stream(http, url) for _ in range(5)]
    assert tier.open
    assert (await program.stop(signal.SIGINT))[0] == 0
    async with patiently(3):
        while tier.open:
            await asyncio.sleep(0.01)
    for client in clients:
        client.close()


@pytest.mark.soak
async def test_a_drain_notifies_thousands_of_clients_over_seconds(serve):
    program = await serve("--max-connections-per-ip", "0", "--log-level", "warning")
    url = await program.listening()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        clients = [await stream(http, url) for _ in range(3000)]
        ends = []

        async def follow(client):
            with contextlib.suppress(aiohttp.ClientError):
                assert await client.event(within=30) is None
                ends.append(time.monotonic())

        following = asyncio.gather(*map(follow, clients))
        began = time.monotonic()
        program.send()
        await following
        code, _ = await program.ended(within=30)
    assert code == 0
    assert len(ends) == 3000
    assert time.monotonic() - began < patient(20)
    ends.sort()
    assert ends[-1] - ends[0] > 3, "spread out"


async def test_a_refusal_while_draining_is_a_problem_with_its_reason(start_bridge, http):
    bridge = await start_bridge()
    held = await http.post(bridge.base, data=json.dumps(QUERY))
    draining = asyncio.create_task(bridge.drain())
    await asyncio.sleep(0)
    refused = await http.post(bridge.base, data=json.dumps(QUERY))
    assert (await problem(refused))["code"] == "UNAVAILABLE"
    soft = await http.post(bridge.base + "?soft=1", data=json.dumps(QUERY))
    assert (soft.status, await soft.read()) == (200, b"retry: 1000\n\n")
    await draining
    held.close()
