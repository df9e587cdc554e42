"""A bridge before a fabriq server: the same promises as before a tier of the contract's own."""

import asyncio
import json
import logging
from pathlib import Path

import grpc
import pytest
from faults_support import KINDS, Relay, join_all, query

from fabriq_tier import ENTER, HEAD, LEAVE, MATCH, MOVE, RESET, UNMATCH, UPDATE, FabriqTier, row
from ops_support import problem, ready, samples
from patience import patiently
from waiting import until

WS = ("ws", "ws/v1")


@pytest.fixture
async def tier():
    """A scripted fabriq server on a real port; in place of the folder's."""
    tier = await FabriqTier().start()
    yield tier
    await tier.stop()


@pytest.fixture
async def fabriq_bridge(start_bridge):
    """Start a bridge before it."""

    async def start(**options):
        return await start_bridge(upstream_protocol="fabriq.v1", **options)

    return start


@pytest.fixture
async def seen_by_all(tier, fabriq_bridge, join):
    """A client of each kind with rows a, b, c of one shared call: (bridge, call, clients)."""

    async def start(*rows, asked=None, **options):
        bridge = await fabriq_bridge(**options)
        joining = asyncio.create_task(join_all(join, bridge.url, asked or query()))
        call = await tier.next_call()
        call.snapshot(*(rows or ("a", "b", "c")))
        return bridge, call, await joining

    return start


async def all_show(clients, *ids):
    for client in clients:
        await client.shows(*ids)
        assert client.by_index.ids == list(ids)


async def test_a_window_and_its_changes_reach_clients_of_every_kind(tier, seen_by_all):
    _, call, clients = await seen_by_all(asked=query(limit=3))
    await all_show(clients, "a", "b", "c")
    assert call.query == {
        "Entity": "item",
        "Where": [],
        "Sort": [{"Column": "k", "Desc": False}],
        "Limit": 3,
        "Cursor": None,
        "Mode": 0,
    }
    call.delta(UPDATE, "b", 1, 1, stream_id="10-0", raw={"id": "b", "n": 1.0})
    call.delta(MOVE, "c", 2, 0, stream_id="11-0")
    call.delta(LEAVE, "a", 1, -1, stream_id="12-0")
    call.delta(ENTER, "d", -1, 2, stream_id="12-0")
    await all_show(clients, "c", "b", "d")
    core = clients[0]
    assert core.frames[4:] == [
        {
            "op": "update",
            "agg_id": "b",
            "version": 2,
            "row": {"id": "b", "n": 1.0},
            "old_index": 1,
            "new_index": 1,
            "cursor": {"values": ["b"]},
            "stream_id": "10-0",
        },
        {**core.frames[5], "op": "move", "agg_id": "c", "old_index": 2, "new_index": 0},
        {**core.frames[6], "op": "leave", "agg_id": "a", "old_index": 1, "new_index": -1},
        {**core.frames[7], "op": "enter", "agg_id": "d", "old_index": -1, "new_index": 2},
    ]
    assert tier.opened == 1, "one call for all of them"
    assert not call.half_closed.is_set()


async def test_deltas_of_one_change_are_one_group(seen_by_all):
    _, call, clients = await seen_by_all()
    viewer = clients[KINDS.index("ws/v1")]
    heard = []
    notice = viewer._notice
    viewer._notice = lambda message: (heard.append(message), notice(message))
    call.delta(ENTER, "d", -1, 0, stream_id="12-0")
    call.delta(LEAVE, "c", 3, -1, stream_id="12-0")
    call.delta(UPDATE, "a", 1, 1, stream_id="13-0")
    await all_show(clients, "d", "a", "b")
    await viewer.until(lambda c: c.frames[-1]["op"] == "update")
    groups = [[f["op"] for f in m["frames"]] for m in heard if m["type"] == "frames"]
    assert groups == [["enter", "leave"], ["update"]]


async def test_a_streamed_query_has_matches_and_unmatches(tier, fabriq_bridge, join):
    bridge = await fabriq_bridge()
    client = await join(bridge.url, "ws", query(mode=1))
    call = await tier.next_call()
    assert call.query["Mode"] == 1
    call.snapshot("a")
    call.delta(MATCH, "b", 0, 0, stream_id="10-0")
    await client.shows("a", "b")
    call.delta(UNMATCH, "a", 0, 0, stream_id="11-0")
    await client.shows("b")


# ------------------------------------------------------------------ reanchor


async def test_a_reanchor_is_asked_on_the_same_stream(tier, fabriq_bridge, join):
    bridge = await fabriq_bridge()
    for kind in WS:
        client = await join(bridge.url, kind)
        call = await tier.next_call()
        call.snapshot("a", "b", "c")
        await client.shows("a", "b", "c")
        seen = len(client.frames)
        named = {"sub": "s", "id": 7} if client.v1 else {}
        client.say(action="reanchor", cursor={"values": [1.5, "b"]}, limit=2, **named)
        assert await call.reanchored() == ({"values": [1.5, "b"]}, 2)
        call.delta(UPDATE, "b", 1, 1, stream_id="10-0")  # of the old window still
        await client.until(lambda c: c.frames[-1]["op"] == "update")
        call.snapshot(row("b", 2), row("c"))
        await client.shows("b", "c")
        ops = [frame["op"] for frame in client.frames[seen:]]
        assert ops.count("reset") == (0 if client.v1 else 1)
        client.say(action="reanchor", cursor=None, limit=3, **named)
        assert await call.reanchored() == (HEAD, 3)
        call.snapshot("a", "b", "c")
        await client.shows("a", "b", "c")
        client.leave()
        async with patiently(5):
            await call.over.wait()
    assert tier.opened == len(WS)


async def test_a_refused_reanchor_leaves_the_old_window(tier, fabriq_bridge, join):
    bridge = await fabriq_bridge()
    client = await join(bridge.url, "ws/v1")
    call = await tier.next_call()
    call.snapshot("a", "b", "c")
    await client.shows("a", "b", "c")
    client.say(action="reanchor", sub="s", id=1, cursor={"values": [1.5, "b"]}, limit=2)
    await call.reanchored()
    call.error("internal", 'fabriq: column "secret" is not sortable for live queries')
    [error] = await client.until(lambda c: c.told("error"))
    assert (error["status"], error["code"]) == (400, "INVALID_ARGUMENT")
    assert "secret" not in json.dumps(error)
    call.delta(UPDATE, "a", 0, 0, stream_id="10-0")
    await client.until(lambda c: c.frames[-1]["op"] == "update")
    assert client.ids == ["a", "b", "c"]
    assert tier.opened == 1


# ------------------------------------------------------------------ losses


async def test_a_server_that_ends_with_ok_is_subscribed_to_again(tier, seen_by_all):
    _, call, clients = await seen_by_all()
    call.end()
    again = await tier.next_call()
    again.snapshot("a", row("c", 2))
    await all_show(clients, "a", "c")
    for client in clients:
        assert [f["op"] for f in client.frames].count("reset") == 1
        assert not client.closed.done()
        assert not client.told("ended")


async def test_an_error_that_answers_nothing_ends_the_call(tier, seen_by_all):
    _, call, clients = await seen_by_all()
    call.error("internal", "the engine has failed")
    again = await tier.next_call()
    again.snapshot("b")
    await all_show(clients, "b")
    again.error("no_tenant", "tenant: none in context")
    by_kind = dict(zip(KINDS, clients, strict=True))
    assert (await by_kind["ws"].ended()).code == 4501
    [ended] = await by_kind["ws/v1"].until(lambda c: c.told("ended"))
    assert ended["reason"] == "denied"
    assert tier.opened == 2


async def test_deltas_that_were_dropped_are_healed_by_a_fresh_call(tier, seen_by_all, http):
    bridge, call, clients = await seen_by_all()
    # Dropped before this: enter e at 0, leave c at 3.
    call.delta(LEAVE, "b", 2, -1, stream_id="20-0")
    call.delta(ENTER, "f", -1, 2, stream_id="20-0")
    again = await tier.next_call()
    again.snapshot("e", "a", "f")
    await all_show(clients, "e", "a", "f")
    for client in clients:
        assert [f["op"] for f in client.frames].count("reset") == 1
    found = await samples(http, bridge.url)
    assert found['resubscribes_total{cause="splice"}'] == 1


async def test_a_reset_of_the_engines_own_is_a_fresh_call(tier, seen_by_all):
    _, call, clients = await seen_by_all()
    call.delta(RESET, "", 0, 0, stream_id="")
    again = await tier.next_call()
    again.snapshot("z")
    await all_show(clients, "z")
    for client in clients:
        assert [f["op"] for f in client.frames].count("reset") == 1


async def test_a_cut_connection_is_a_difference_to_clients(tier, fabriq_bridge, join):
    relay = await Relay().start(tier.port)
    bridge = await fabriq_bridge(upstream=relay.address)
    joining = asyncio.create_task(join_all(join, bridge.url, query()))
    call = await tier.next_call()
    call.snapshot("a", "b", "c")
    clients = await joining
    relay.cut()
    again = await tier.next_call()
    again.snapshot("a", "c", "d")
    await all_show(clients, "a", "c", "d")
    for client in clients:
        assert [f["op"] for f in client.frames].count("reset") == 1
    await relay.stop()


async def test_a_restarted_server_is_a_difference_to_clients(tier, seen_by_all):
    _, _, clients = await seen_by_all()
    port = tier.port
    await tier.stop()
    other = FabriqTier()
    other.rows = ("b", "c", "x")
    await other.start(port)
    try:
        await all_show(clients, "b", "c", "x")
    finally:
        await other.stop()


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("code", "text", "status", "field"),
    [
        ("not_found", "fabriq: no such row", 404, None),
        ("no_tenant", "tenant: none in context", 401, None),
        ("not_configured", "fabriq: store not configured", 501, None),
        ("not_implemented", "remote: live queries not configured", 501, None),
        ("internal", "pq: password authentication failed for user root", 502, None),
        ("internal", 'fabriq: filter references unknown column "n"', 400, "where[1]"),
        ("internal", 'fabriq: column "size" is not sortable for live queries', 400, "sort[0].column"),
        ("internal", 'fabriq: unknown entity "item"', 400, "entity"),
        ("something new", "of tomorrow", 502, None),
    ],
)  # fmt: skip
async def test_error_codes_are_statuses_and_texts_are_not_shown(
    tier, fabriq_bridge, http, code, text, status, field
):
    bridge = await fabriq_bridge()
    where = [{"column": each, "op": "eq", "value": 1} for each in ("id", "n")]
    asked = query(where=where, sort=[{"column": "size"}])
    asking = asyncio.create_task(http.post(bridge.base, json=asked))
    call = await tier.next_call()
    call.error(code, text)
    call.end()
    response = await asking
    told = await problem(response)
    assert (response.status, told["status"], told.get("field")) == (status, status, field)
    assert text not in json.dumps(told)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, 401),
        (grpc.StatusCode.PERMISSION_DENIED, 403),
        (grpc.StatusCode.UNIMPLEMENTED, 501),
    ],
)
async def test_statuses_of_its_interceptors_are_translated_as_any_tiers(
    tier, fabriq_bridge, http, code, status
):
    bridge = await fabriq_bridge()
    asking = asyncio.create_task(http.post(bridge.base, json=query()))
    (await tier.next_call()).fail(code)
    assert (await asking).status == status


@pytest.mark.parametrize(
    ("member", "field"),
    [
        ({"where": [{"column": "n", "op": "eq", "value": [1]}]}, "where[0].value"),
        ({"where": [{"or": [{"column": "n", "op": "ne", "value": {"a": 1}}]}]}, "where[0].or[0].value"),
        ({"where": [{"column": "n", "op": "in", "value": [1, [2]]}]}, "where[0].value[1]"),
        ({"cursor": {"values": [[], "x"]}}, "cursor.values[0]"),
        ({"limit": -1}, "limit"),
    ],
)  # fmt: skip
async def test_what_would_panic_the_engine_never_reaches_it(
    tier, fabriq_bridge, http, member, field
):
    bridge = await fabriq_bridge()
    async with http.post(bridge.base, json={**query(), **member}) as response:
        told = await problem(response)
        assert (response.status, told["field"]) == (400, field)
    assert tier.opened == 0


# ------------------------------------------------------------------ hostile JSON


HOSTILE = (
    b"{",
    b"[]",
    b'{"op":"enter"}',
    b'{"op":0,"agg_id":7}',
    b'{"op":0,"agg_id":"x","row":{"a":NaN},"new_index":0}',
    b'{"op":0,"agg_id":"x","row":{},"new_index":1e99}',
    b'{"op":0,"agg_id":"x","row":{},"cursor":{"values":{}}}',
    b'{"op":0,"agg_id":"x","row":{},"cursor":{"values":[NaN]}}',
    b'{"op":0,"agg_id":"x","row":{},"stream_id":"a\\nb"}',
    b'{"op":0,"agg_id":"x","row":"\xff"}',
    b'{"op":0,"agg_id":"x","row":' + b"[" * 100_000,
)


@pytest.mark.parametrize("delta", HOSTILE, ids=lambda delta: delta[:40].decode("latin-1"))
async def test_a_delta_that_cant_be_read_is_named_and_replaced(tier, seen_by_all, delta, caplog):
    caplog.set_level(logging.INFO)
    _, call, clients = await seen_by_all()
    call.raw(b"\x12" + _size(delta) + delta)
    again = await tier.next_call()
    again.snapshot("z")
    await all_show(clients, "z")
    assert [r for r in caplog.records if "stream of item: unreadable: " in r.getMessage()]
    assert not [r for r in caplog.records if r.exc_info]


def _size(data):
    size, out = len(data), b""
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size])


@pytest.mark.parametrize(
    "snapshot",
    [b"[]", b'{"Rows":7}', b'{"Rows":[{"AggID":"x","Raw":{}},{"AggID":"y","Raw":{"a":tru}}]}'],
)
async def test_a_snapshot_that_cant_be_read_is_named_and_asked_for_again(
    tier, fabriq_bridge, join, snapshot, caplog
):
    bridge = await fabriq_bridge()
    client = await join(bridge.url)
    (await tier.next_call()).raw(b"\x0a" + _size(snapshot) + snapshot)
    (await tier.next_call()).snapshot("z")
    await client.shows("z")
    assert [r for r in caplog.records if "stream of item: unreadable: " in r.getMessage()]


async def test_a_message_that_is_no_protobuf_ends_its_call_alone(tier, seen_by_all):
    _, call, clients = await seen_by_all()
    call.raw(b"\xff\xff\xff")
    (await tier.next_call()).snapshot("z")
    await all_show(clients, "z")


# ------------------------------------------------------------------ operators


async def test_bearer_tokens_travel_and_readiness_needs_no_health_service(
    tier, fabriq_bridge, http
):
    bridge = await fabriq_bridge()
    await ready(http, bridge.url)
    asking = asyncio.create_task(
        http.post(bridge.base, json=query(), headers={"Authorization": "Bearer acme"})
    )
    call = await tier.next_call()
    assert call.metadata["authorization"] == "Bearer acme"
    call.snapshot("a")
    (await asking).close()


async def test_what_can_be_asked_for_is_not_told(fabriq_bridge, http):
    bridge = await fabriq_bridge()
    async with http.get(bridge.base + "/schema") as response:
        assert response.status == 501


async def test_a_window_over_plain_http_is_that_of_the_shared_call(tier, fabriq_bridge, http):
    tier.rows = ("a", "b")
    bridge = await fabriq_bridge()
    async with http.post(bridge.base + "/window", json=query()) as response:
        assert [row["agg_id"] for row in (await response.json())["rows"]] == ["a", "b"]


async def test_check_and_serve_work_over_tls_with_a_client_certificate(run, http, authority, join):
    cert, key = authority.issue("tier", 1)
    ours = authority.issue("bridge", 2)
    pem = [Path(path).read_bytes() for path in (key, cert, authority.ca)]
    credentials = grpc.ssl_server_credentials([(pem[0], pem[1])], pem[2], require_client_auth=True)
    tier = FabriqTier()
    tier.rows = ("a",)
    await tier.start(credentials=credentials)
    options = (
        *("--upstream", tier.address, "--upstream-protocol", "fabriq.v1"),
        *("--upstream-ca", authority.ca, "--upstream-cert", ours[0], "--upstream-key", ours[1]),
    )
    try:
        check = await run("check", *options)
        code, said = await check.ended()
        assert code == 0, (said, check.err)
        bridge = await run("serve", *options, "--listen", "127.0.0.1:0")
        client = await join(await bridge.listening())
        await client.shows("a")
        await until(lambda: [call.caller for call in tier.open.values()] == ["bridge"])
    finally:
        await tier.stop()
