"""What is counted, and that each count says what happened."""

import asyncio
import json
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.telemetry.histogram import Histogram
from bridge.telemetry.loop_lag import CALM_INTERVAL, INTERVAL, LATE, SPAN, LoopLag
from bridge.telemetry.merge import merge_expositions
from bridge.telemetry.metrics import Metrics
from clients import QUERY, SseClient
from ops_support import samples
from patience import patient
from scripted_tier import update
from waiting import until


def at(delta, seconds):
    delta.at.FromMilliseconds(int(seconds * 1000))
    return delta


async def socket(http, bridge, *protocols):
    return await http.ws_connect(bridge.base + "/ws", protocols=protocols)


async def test_connections_are_counted_by_transport_and_protocol(start_bridge, http):
    bridge = await start_bridge()
    sse = [
        await http.post(bridge.base + more, data=json.dumps(QUERY)) for more in ("", "?v=1", "?v=1")
    ]
    core, v1 = await socket(http, bridge), await socket(http, bridge, "livequery.v1")
    told = await samples(http, bridge.url)
    assert [
        told[f'connections{{protocol="{protocol}",transport="{transport}"}}']
        for transport in ("sse", "ws")
        for protocol in ("core", "v1")
    ] == [1, 2, 1, 1]
    assert told["viewers"] == 3
    assert told["subscriptions"] == told["upstream_subscriptions"] == 1
    assert told["sockets"] >= 5
    for response in sse:
        response.close()
    await core.close()
    await v1.close()

    async def none():
        told = await samples(http, bridge.url)
        return not any(told[name] for name in told if name.startswith("connections"))

    await until(none)


async def test_endpoints_are_reported_with_their_streams(start_bridge, http, tier):
    bridge = await start_bridge()
    response = await http.post(bridge.base, data=json.dumps(QUERY))
    label = f'{{endpoint="{tier.address}"}}'

    async def told():
        found = await samples(http, bridge.url)
        return (found["endpoint_streams" + label], found["endpoint_ready" + label]) == (1, 1)

    await until(told)
    response.close()


async def test_each_way_a_stream_ends_is_counted_once_under_its_reason(start_bridge, http, tier):
    bridge = await start_bridge(linger="0")
    tier.rows = None

    async def count(reason):
        return (await samples(http, bridge.url))[f'streams_ended_total{{reason="{reason}"}}']

    async def open_socket():
        ws = await socket(http, bridge)
        await ws.send_json({"action": "subscribe", "query": QUERY})
        call = await tier.next_call()
        call.start()
        call.snapshot("a")
        await ws.receive(timeout=patient(5))
        return ws, call

    async def one(reason):
        await until(lambda: _is(count(reason), 1))

    ws, _ = await open_socket()
    await ws.send_json({"action": "unsubscribe"})
    await one("unsubscribed")
    ws, _ = await open_socket()
    ws._response.connection.transport.abort()
    await one("client_gone")
    _, call = await open_socket()
    call.end()
    await one("completed")
    ws, _ = await open_socket()
    await ws.send_str("{")
    await one("failed")
    ws, _ = await open_socket()
    draining = asyncio.create_task(bridge.drain())
    await one("drained")
    await draining
    told = await samples(http, bridge.url)
    assert sum(told[name] for name in told if name.startswith("streams_ended")) == 5


async def _is(work, value):
    return await work == value


async def test_refusals_are_counted_by_transport_and_kind(start_bridge, http):
    bridge = await start_bridge(max_rows="5")
    too_many = json.dumps({**QUERY, "limit": 6})
    assert (await http.post(bridge.base, data=too_many)).status == 400
    ws = await socket(http, bridge)
    await ws.send_str('{"action":"dance"}')
    assert (await ws.receive(timeout=patient(5))).data == 4500
    v1 = await socket(http, bridge, "livequery.v1")
    await v1.send_str('{"action":"unsubscribe","sub":"nobody"}')
    assert json.loads((await v1.receive(timeout=patient(5))).data)["status"] == 404
    told = await samples(http, bridge.url)
    assert told['refusals_total{kind="bad_query",transport="http"}'] == 1
    assert told['refusals_total{kind="malformed",transport="ws"}'] == 1
    assert told['refusals_total{kind="not_found",transport="ws"}'] == 1
    await v1.close()


async def test_the_lag_from_commit_to_write_is_a_histogram(start_bridge, http, tier):
    bridge = await start_bridge()
    tier.rows = None
    asking = asyncio.create_task(http.post(bridge.base, data=json.dumps(QUERY)))
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    client = SseClient(await asking)
    await client.frames(2)
    call.send(at(update("a", 0, stream_id="1-0"), time.time() - 3))
    call.send(at(update("a", 0, version=3, stream_id="2-0"), time.time() + 3600))
    call.send(update("a", 0, version=4, stream_id="3-0"))
    await client.frames(3)
    told = await samples(http, bridge.url)
    assert told["write_lag_seconds_count"] == 2, "a change without a time is not counted"
    assert told['write_lag_seconds_bucket{le="0.001"}'] == 1, "ahead of our clock is no lag"
    assert told['write_lag_seconds_bucket{le="2.5"}'] == 1
    assert (
        told['write_lag_seconds_bucket{le="5.0"}'] + told['write_lag_seconds_bucket{le="10.0"}']
        >= 3
    )
    assert 3 <= told["write_lag_seconds_sum"] < 60
    client.close()


async def test_resets_and_resubscribes_are_counted_by_cause(start_bridge, http, tier):
    bridge = await start_bridge()
    client = SseClient(await http.post(bridge.base, data=json.dumps(QUERY)))
    await client.frames(3)
    [call] = tier.open.values()
    call.snapshot("a", "c")
    call.fail()

    async def again():
        told = await samples(http, bridge.url)
        return [
            told.get(f'resets_total{{cause="{cause}"}}')
            for cause in ("subscribed", "tier", "resubscribed")
        ] == [1, 1, 1] and told['resubscribes_total{cause="unavailable"}'] == 1

    await until(again)
    client.close()


async def test_process_and_event_loop_are_measured(start_bridge, http):
    bridge = await start_bridge()

    async def measured():
        return (await samples(http, bridge.url))["loop_lag_seconds_count"] >= 2

    await until(measured)
    told = await samples(http, bridge.url)
    assert told["process_resident_memory_bytes"] > 1e6
    assert told["process_open_fds"] > 5
    assert told["loop_lag_max_seconds"] >= 0


async def test_an_admin_port_has_the_metrics_and_the_public_one_has_not(serve, http):
    program = await serve("--admin-listen", "127.0.0.1:0")
    url = await program.listening()
    admin = (await program.says("metrics and health at")).rpartition(" ")[2]
    assert (await http.get(url + "/metrics")).status == 404
    assert (await samples(http, admin))["viewers"] == 0
    for base in (url, admin):
        assert (await http.get(base + "/healthz")).status == 200
    assert (await http.get(admin + "/api/v1/live")).status == 404
    assert "tier" not in await (await http.get(url + "/readyz")).json()
    [replica] = (await (await http.get(admin + "/readyz")).json())["tier"]
    assert set(replica) == {"address", "state", "streams", "leaving"}
    rebound = {"Host": "evil.example"}
    assert (await http.get(admin + "/metrics", headers=rebound)).status == 403


def test_a_bound_is_part_of_its_bucket():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.add(value)
    assert histogram.buckets() == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert histogram.sum == 14


async def test_the_largest_loop_lag_is_forgotten_after_two_spans():
    now = 100.0
    lag = LoopLag(clock=lambda: now)
    try:
        now += INTERVAL + 0.7
        lag._measure()
        assert 0.6 < lag.max < 0.8
        for passed, most in ((SPAN, True), (SPAN, False)):
            lag.stop()
            now += passed
            lag._due = now
            lag._measure()
            assert (lag.max > 0.5) is most
    finally:
        lag.stop()


async def test_the_lag_is_measured_more_often_while_timers_are_late():
    now = 100.0
    lag = LoopLag(clock=lambda: now)
    try:
        for late, interval in ((0.0, CALM_INTERVAL), (LATE, INTERVAL), (0.0, CALM_INTERVAL)):
            lag.stop()
            now = lag._due + late + 1e-6
            lag._measure()
            assert lag._due - now == pytest.approx(interval)
    finally:
        lag.stop()


def test_merged_expositions_are_sums_and_the_largest_where_a_sum_has_no_meaning():
    texts = []
    for lag in (1, 4):
        metrics = Metrics()
        metrics.sent(lag, 100)
        metrics.written(100.0, [(100.0 - lag, 1)])
        metrics.bind("loop_lag_max_seconds", lambda lag=lag: lag)
        metrics.repaired(f"cause {lag}")
        texts.append(metrics.exposition().decode())
    merged = merge_expositions([*texts, "not an exposition {", ""]).decode().splitlines()
    for line in (
        "livequery_bridge_frames_total 5.0",
        "livequery_bridge_loop_lag_max_seconds 4.0",
        'livequery_bridge_repairs_total{cause="cause 1"} 1.0',
        'livequery_bridge_repairs_total{cause="cause 4"} 1.0',
        'livequery_bridge_write_lag_seconds_bucket{le="2.5"} 1.0',
        "livequery_bridge_write_lag_seconds_count 2.0",
        "# TYPE livequery_bridge_frames_total counter",
    ):
        assert line in merged, line
    assert any(
        line.startswith("livequery_bridge_build_info{") and line.endswith(" 1.0") for line in merged
    )
    assert len([line for line in merged if line.startswith("# TYPE livequery_bridge_frames")]) == 1


async def test_a_client_library_can_read_what_is_printed(start_bridge, http):
    bridge = await start_bridge()
    response = await http.get(bridge.url + "/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(await response.text()))
    assert len({family.name for family in families}) == len(families) > 20
    assert all(family.name.startswith("livequery_bridge_") for family in families)
