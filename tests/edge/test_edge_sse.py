"""Core over SSE, on real sockets before a real gRPC server (docs/wire.md §3)."""

import asyncio
import json
import re
from urllib.parse import quote

import grpc
import pytest

from clients import QUERY, SseClient, parse_sse
from patience import patiently
from raw_client import BOTH_WAYS, STREAM_REQUEST
from scripted_tier import enter, leave, reset, update

ENTERS = ["a", "b", "c"]


async def post(http, url, query=QUERY, **more):
    return await http.post(url, data=json.dumps(query), **more)


async def test_answer_waits_for_started_then_streams_reset_enters_and_groups(
    start_bridge, tier, http
):
    bridge = await start_bridge()
    asking = asyncio.create_task(post(http, bridge.base))
    call = await tier.next_call()
    done, _ = await asyncio.wait([asking], timeout=0.2)
    assert not done, "answered before the tier had started"
    call.start()
    response = await asking
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    assert response.headers["X-Accel-Buffering"] == "no"
    client = SseClient(response)
    call.snapshot(*ENTERS)
    first = await client.event()
    assert (first["event"], json.loads(first["data"])["op"]) == ("reset", "reset")
    assert 2000 <= int(first["retry"]) <= 4000
    frames = await client.frames(3)
    assert [(f["op"], f["new_index"]) for f in frames] == [("enter", at) for at in range(3)]
    call.send(update("b", 1, stream_id="7-0"))
    assert await client.frame() == {
        "op": "update",
        "agg_id": "b",
        "version": 2,
        "row": {"n": 2},
        "old_index": 1,
        "new_index": 1,
        "cursor": {"values": ["b"]},
        "stream_id": "7-0",
    }
    client.close()


async def test_the_bytes_of_a_snapshot_are_exactly_those_of_the_contract(start_bridge, tier, http):
    bridge = await start_bridge()
    tier.rows = ["a"]
    response = await post(http, bridge.base)
    body = b""
    while body.count(b"\n\n") < 2:
        body += await response.content.readany()
    assert re.sub(rb"^retry: \d{4}\n", b"retry: 3413\n", body) == (
        b"retry: 3413\n"
        b"event: reset\n"
        b'data: {"op":"reset","old_index":0,"new_index":0,"cursor":{"values":null}}\n\n'
        b"event: enter\n"
        b'data: {"op":"enter","agg_id":"a","version":1,"row":{"id":"a"},"old_index":-1,"new_index":0,"cursor":{"values":["a"]}}\n\n'
    )
    response.close()


async def test_get_form_serves_eventsource(start_bridge, tier, http):
    bridge = await start_bridge()
    tier.rows = ENTERS
    response = await http.get(bridge.base, params={"query": json.dumps(QUERY)})
    client = SseClient(response)
    assert [f["op"] for f in await client.frames(4)] == ["reset", "enter", "enter", "enter"]
    client.close()


async def test_http_1_0_is_served_without_chunks(start_bridge, tier):
    bridge = await start_bridge()
    tier.rows = ["a"]
    host, port = bridge.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps(QUERY)
    writer.write(
        f"POST /api/v1/live HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    data = b""
    while data.count(b"\n\n") < 2:
        data += await reader.read(4096)
    events, rest = parse_sse(data)
    assert not rest
    assert [e["event"] for e in events] == ["reset", "enter"]
    assert [bool(e["retry"]) for e in events] == [True, False]
    writer.close()
    await writer.wait_closed()


async def test_a_silent_stream_gets_comments(start_bridge, tier, http):
    bridge = await start_bridge(heartbeat_interval="100ms")
    tier.rows = []
    client = SseClient(await post(http, bridge.base))
    assert (await client.event())["event"] == "reset"
    assert (await client.event())["comments"] == ["ping"]
    assert (await client.event())["comments"] == ["ping"]
    client.close()


async def test_an_id_is_cleared_before_a_nameless_group_only_once_held(start_bridge, tier, http):
    bridge = await start_bridge()
    asking = asyncio.create_task(post(http, bridge.base))
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    client = SseClient(await asking)
    events = [await client.event() for _ in range(2)]
    assert [e["id"] for e in events] == [None, None]
    call.send(update("a", 0, stream_id="5-0"))
    assert (await client.event())["id"] == "5-0"
    call.send(update("a", 0, version=3))
    cleared = await client.event()
    assert cleared["id"] == ""
    assert cleared["data"] is None
    assert (await client.event())["event"] == "update"
    call.send(update("a", 0, version=4))
    assert (await client.event())["event"] == "update"
    client.close()


async def test_a_returning_client_has_its_id_cleared_before_a_snapshot(start_bridge, tier, http):
    bridge = await start_bridge()
    tier.rows = ["a"]
    client = SseClient(await post(http, bridge.base, headers={"Last-Event-ID": "9-9"}))
    cleared = await client.event()
    assert [name for name, value in cleared.items() if value not in (None, [])] == ["id"]
    assert cleared["id"] == ""
    first = await client.event()
    assert first["event"] == "reset"
    assert 2000 <= int(first["retry"]) <= 4000
    client.close()


async def resumed_at(bridge, wire, cut, parameter, header):
    """Return op and id of the first event that a client is sent in answer to this request."""
    client = await wire(bridge)
    target = f"/api/v1/live?query={quote(json.dumps(QUERY))}{parameter}"
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode()
    if cut:
        client.send(request[:cut])
        await asyncio.sleep(0.02)
    client.send(request[cut:])
    assert "200 OK" in await client.head()
    event = await client.until(b'"cursor"')
    named = re.search(rb"\nid: (\S+)\n", event)
    return re.search(rb"event: (\w+)", event)[1], named and named[1]


@BOTH_WAYS
@pytest.mark.parametrize(
    ("parameter", "header", "first"),
    [
        ("&last_event_id=5-0", "Last-Event-ID: 7-0\r\n", (b"update", b"7-0")),
        ("&last_event_id=5-0", "", (b"update", b"5-0")),
        ("", "Last-Event-ID: 6-0\r\n", (b"update", b"6-0")),
        ("&last_event_id=", "Last-Event-ID: 7-0\r\n", (b"reset", None)),
        ("&last_event_id=5-0", "Last-Event-ID:\r\n", (b"reset", None)),
    ],
)
async def test_the_header_beats_the_position_in_an_old_url_unless_that_is_empty(
    start_bridge, open_sse, wire, cut, parameter, header, first
):
    bridge = await start_bridge()
    client, call = await open_sse(bridge, "a")
    for number in (5, 6, 7):
        call.send(update("a", 0, version=number, stream_id=f"{number}-0"))
    await client.frames(3)
    assert await resumed_at(bridge, wire, cut, parameter, header) == first


@BOTH_WAYS
async def test_a_replay_begins_with_retry_in_its_first_event(start_bridge, open_sse, wire, cut):
    bridge = await start_bridge()
    client, call = await open_sse(bridge, "a")
    call.send(update("a", 0, stream_id="5-0"))
    await client.frames(1)
    back = await wire(bridge)
    request = STREAM_REQUEST.replace(b"\r\n\r\n", b"\r\nLast-Event-ID: 5-0\r\n\r\n")
    back.send(request[:cut])
    await asyncio.sleep(0.02)
    back.send(request[cut:])
    await back.head()
    body = await back.until(b'"cursor"')
    assert re.search(rb"\nretry: \d{4}\n(\r\n[0-9a-f]+\r\n)?id: 5-0\nevent: update\n", body)


async def test_the_tiers_ok_ends_the_stream(start_bridge, tier, http):
    bridge = await start_bridge()
    asking = asyncio.create_task(post(http, bridge.base))
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    call.send(leave("a", 0, stream_id="1-1"))
    call.end()
    client = SseClient(await asking)
    assert [f["op"] for f in await client.frames(3)] == ["reset", "enter", "leave"]
    assert await client.event() is None


async def test_a_client_that_leaves_releases_the_upstream_call(start_bridge, tier, http):
    bridge = await start_bridge()
    asking = asyncio.create_task(post(http, bridge.base))
    call = await tier.next_call()
    call.start()
    (await asking).close()
    async with patiently(3):
        await call.over.wait()


async def test_a_client_that_leaves_while_waiting_releases_the_upstream_call(
    start_bridge, tier, http
):
    bridge = await start_bridge()
    asking = asyncio.create_task(post(http, bridge.base))
    call = await tier.next_call()
    asking.cancel()
    async with patiently(3):
        await call.over.wait()


async def test_viewers_of_one_query_share_one_call_however_they_spell_it(start_bridge, tier, http):
    bridge = await start_bridge()
    tier.rows = ENTERS
    spellings = [
        QUERY,
        {"LIMIT": 3, "sort": [{"desc": False, "column": "est_dep"}], "entity": "flights"},
        {**QUERY, "where": [], "cursor": None, "mode": 0},
    ]
    clients = [SseClient(await post(http, bridge.base, q)) for q in spellings for _ in range(5)]
    for client in clients:
        assert (await client.frame())["op"] == "reset"
    assert tier.opened == 1
    for client in clients:
        client.close()


async def test_another_credential_is_another_scope(start_bridge, tier, http):
    bridge = await start_bridge()
    tier.rows = ENTERS
    clients = [
        SseClient(await post(http, bridge.base, headers={"Authorization": f"Bearer {who}"}))
        for who in ("ann", "bob", "ann")
    ]
    assert tier.opened == 2
    for client in clients:
        client.close()


async def test_headers_named_are_forwarded_as_metadata_and_no_others(start_bridge, tier, http):
    bridge = await start_bridge(forward_metadata="authorization,x-tenant")
    headers = {"Authorization": "Bearer t", "X-Tenant": "acme", "X-Other": "no"}
    asking = asyncio.create_task(post(http, bridge.base, headers=headers))
    call = await tier.next_call()
    assert call.metadata["authorization"] == "Bearer t"
    assert call.metadata["x-tenant"] == "acme"
    assert "x-other" not in call.metadata
    call.start()
    (await asking).close()


async def test_a_late_joiner_gets_the_window_from_the_mirror(start_bridge, tier, http):
    bridge = await start_bridge()
    asking = asyncio.create_task(post(http, bridge.base))
    call = await tier.next_call()
    call.start()
    call.snapshot(*ENTERS)
    first = SseClient(await asking)
    await first.frames(4)
    call.send(enter("z", 0, stream_id="1-0"), leave("c", 3, stream_id="1-0"))
    assert [f["op"] for f in await first.frames(2)] == ["enter", "leave"]
    late = SseClient(await post(http, bridge.base))
    frames = await late.frames(4)
    assert [f.get("agg_id") for f in frames] == [None, "z", "a", "b"]
    assert tier.opened == 1
    first.close()
    late.close()


async def test_a_lost_tier_reaches_the_client_as_the_least_diff(start_bridge, tier, open_sse):
    bridge = await start_bridge()
    client, call = await open_sse(bridge, "a", "b", "c")
    call.fail(grpc.StatusCode.UNAVAILABLE)
    again = await tier.next_call()
    again.start()
    again.snapshot("b", "c", "d")
    frames = await client.frames(2)
    assert [(f["op"], f["agg_id"]) for f in frames] == [("leave", "a"), ("enter", "d")]
    client.close()


@pytest.mark.parametrize("rows", range(4))
async def test_a_call_cut_within_its_snapshot_never_mixes_windows(start_bridge, tier, http, rows):
    bridge = await start_bridge()
    asking = asyncio.create_task(post(http, bridge.base))
    call = await tier.next_call()
    call.start()
    call.send(reset(), *(enter(i, at) for at, i in enumerate("abc"[:rows])))
    call.fail()
    again = await tier.next_call()
    again.start()
    again.snapshot("d", "e")
    client = SseClient(await asking)
    assert [f.get("agg_id") for f in await client.frames(3)] == [None, "d", "e"]
    client.close()


async def test_a_forgotten_leave_is_repaired_and_counted(start_bridge, http, open_sse):
    bridge = await start_bridge()
    client, call = await open_sse(bridge, *ENTERS)
    call.send(enter("z", 0, stream_id="1-0"))
    frames = await client.frames(2)
    assert (frames[1]["op"], frames[1]["agg_id"], frames[1]["old_index"]) == ("leave", "c", 3)
    assert frames[1]["stream_id"] == "1-0"
    text = await (await http.get(bridge.url + "/metrics")).text()
    assert 'livequery_bridge_repairs_total{cause="missing_leave"} 1.0' in text
    client.close()


@pytest.mark.parametrize(
    "row", [b"not json", b'{"a":NaN}', b'"\xff"', b"{}{}", b" ", b"[1,]"], ids=repr
)
async def test_a_row_that_is_no_json_never_reaches_a_client(start_bridge, tier, open_sse, row):
    bridge = await start_bridge()
    client, call = await open_sse(bridge, "a", "b")
    call.send(update("a", 0, row=row, stream_id="1-0"))
    again = await tier.next_call()
    again.start()
    again.snapshot("a")
    frame = await client.frame()
    assert (frame["op"], frame["agg_id"]) == ("leave", "b")
    client.close()


async def test_a_gap_in_the_sequence_is_cured_by_subscribing_anew(start_bridge, tier, open_sse):
    bridge = await start_bridge()
    client, call = await open_sse(bridge, "a", "b")
    call.seq += 1
    call.send(update("a", 0, stream_id="2-0"))
    again = await tier.next_call()
    again.start()
    again.snapshot("b")
    frame = await client.frame()
    assert (frame["op"], frame["agg_id"]) == ("leave", "a")
    client.close()


async def test_soft_turns_a_passing_failure_into_retry(start_bridge, tier, http):
    bridge = await start_bridge(open_timeout="300ms")
    await tier.stop()
    params = {"query": json.dumps(QUERY), "soft": "1"}
    response = await http.get(bridge.base, params=params)
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/event-stream"
    assert re.fullmatch(r"retry: \d+\n\n", await response.text())
