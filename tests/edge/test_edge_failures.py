"""The failure table over HTTP and WebSocket, origins, hosts and limits (docs/wire.md §6)."""

import asyncio
import json
import logging

import aiohttp
import grpc
import pytest

from clients import QUERY, SseClient
from patience import patient, patiently

TABLE = [
    ("INVALID_ARGUMENT", 400, 4500),
    ("UNAUTHENTICATED", 401, 4501),
    ("PERMISSION_DENIED", 403, 4503),
    ("NOT_FOUND", 404, 4504),
    ("FAILED_PRECONDITION", 409, 4509),
    ("OUT_OF_RANGE", 409, 4509),
    ("ALREADY_EXISTS", 409, 4509),
    ("RESOURCE_EXHAUSTED", 429, 4003),
    ("UNIMPLEMENTED", 501, 4512),
    ("UNAVAILABLE", 503, 1013),
    ("ABORTED", 503, 1013),
    ("CANCELLED", 503, 1013),
    ("DEADLINE_EXCEEDED", 504, 1013),
    ("INTERNAL", 502, 1011),
    ("UNKNOWN", 502, 1011),
    ("DATA_LOSS", 502, 1011),
]
SECRET = "panic at tier-7.internal:5000 (goroutine 12)"


async def refuse_all(tier, code, **more):
    while True:
        call = await tier.calls.get()
        call.fail(getattr(grpc.StatusCode, code), SECRET, **more)


@pytest.fixture
async def refusing(tier):
    tasks = []

    def refuse(code, **more):
        tasks.append(asyncio.create_task(refuse_all(tier, code, **more)))

    yield refuse
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def close_of(http, bridge, query=QUERY, **more):
    async with http.ws_connect(bridge.base + "/ws", autoclose=False, **more) as ws:
        await ws.send_str(json.dumps({"action": "subscribe", "query": query}))
        message = await ws.receive(timeout=patient(5))
        return message.data, message.extra or ""


@pytest.mark.parametrize(("code", "status", "close"), TABLE)
async def test_each_status_of_the_tier_is_reported_as_in_the_table(
    start_bridge, http, refusing, code, status, close
):
    bridge = await start_bridge(open_timeout=f"{patient(0.4):.1f}s")
    refusing(code, field="where[0].column", reason="UNKNOWN_COLUMN", retry=7)
    response = await http.post(bridge.base, data=json.dumps(QUERY))
    problem = json.loads(await response.text())
    assert response.status == status == problem["status"]
    assert response.content_type == "application/problem+json"
    assert problem["code"] == code
    assert problem["field"] == "where[0].column"
    assert SECRET not in json.dumps(problem)
    if status in (429, 503):
        assert response.headers["Retry-After"] == "7"
    told, reason = await close_of(http, bridge)
    assert told == close
    assert "tier-7" not in reason


async def test_a_localized_message_of_the_tier_is_passed_on(start_bridge, http, refusing):
    bridge = await start_bridge()
    refusing("NOT_FOUND", field="entity", localized="there is no entity\r\n'nope'")
    response = await http.post(bridge.base, data=json.dumps(QUERY))
    assert json.loads(await response.text())["detail"] == "there is no entity 'nope'"


async def test_a_message_beyond_our_receive_limit_is_413(start_bridge, tier, http):
    bridge = await start_bridge()
    asking = asyncio.create_task(close_of(http, bridge))
    call = await tier.next_call()
    call.start(route=b"x" * 5_000_000)
    assert (await asking)[0] == 4513


async def test_too_large_by_reason_is_413(start_bridge, http, refusing):
    bridge = await start_bridge()
    refusing("RESOURCE_EXHAUSTED", reason="TOO_LARGE")
    assert (await http.post(bridge.base, data=json.dumps(QUERY))).status == 413


async def test_a_tier_out_of_reach_is_503_with_retry_after(start_bridge, tier, http):
    bridge = await start_bridge(open_timeout="300ms")
    await tier.stop()
    response = await http.post(bridge.base, data=json.dumps(QUERY))
    assert response.status == 503
    assert int(response.headers["Retry-After"]) >= 1


async def test_a_tier_that_never_answers_is_504(start_bridge, tier, http):
    bridge = await start_bridge(open_timeout="300ms")
    response = await http.post(bridge.base, data=json.dumps(QUERY))
    assert response.status == 504
    # As a synchronous server whose threads are used up: contract.md, "Servers".
    said = (await response.json(content_type=None))["detail"]
    assert said == "the tier accepted the call and sent no `started` in time"


BAD = [
    ("{", "query"),
    ("", "query"),
    ("[]", "query"),
    ('{"limit":1}', "entity"),
    ('{"entity":"a"}', "limit"),
    ('{"entity":"a","limit":0}', "limit"),
    ('{"entity":"a","limit":1000000000}', "limit"),
    ('{"entity":"a","limit":1,"mode":2}', "mode"),
    ('{"entity":"a","limit":1,"where":[{"column":"c","op":"EQ","value":1}]}', "where[0].op"),
    (
        '{"entity":"a","limit":1,"where":[{"column":"c","op":"isnull"},{"or":[{"op":"eq"}]}]}',
        "where[1].or[0].column",
    ),
    ('{"entity":"a","limit":1,"cursor":{"values":[1,2]}}', "cursor.values"),
    ('{"entity":"a","limit":1,"sort":[{"desc":true}]}', "sort[0].column"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
async def test_bad_input_is_answered_with_its_field_and_the_next_request_works(
    start_bridge, tier, http, caplog, body, field
):
    bridge = await start_bridge()
    tier.rows = ["a"]
    caplog.set_level(logging.INFO)
    response = await http.post(bridge.base, data=body)
    problem = json.loads(await response.text())
    assert (response.status, problem["field"]) == (400, field)
    response = await http.get(bridge.base, params={"query": body})
    assert (response.status, json.loads(await response.text())["field"]) == (400, field)
    client = SseClient(await http.post(bridge.base, data=json.dumps(QUERY)))
    assert (await client.frame())["op"] == "reset"
    client.close()
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("size", [16 * 1024 + 1, 1024 * 1024])
async def test_a_body_beyond_16_kib_is_413_and_the_next_request_works(
    start_bridge, tier, http, size
):
    bridge = await start_bridge()
    tier.rows = ["a"]
    refused = await http.post(bridge.base, data="x" * size)
    assert refused.status == 413
    if size > 1_000_000:
        # More than is read: a client that kept the connection would lose its next request.
        assert refused.headers["Connection"] == "close"

    async def chunks():
        for _ in range(size // 1024 + 1):
            yield b"x" * 1024

    assert (await http.post(bridge.base, data=chunks())).status == 413
    client = SseClient(await http.post(bridge.base, data=json.dumps(QUERY)))
    assert (await client.frame())["op"] == "reset"
    client.close()


async def test_a_query_of_just_under_16_kib_fits_in_a_url(start_bridge, tier, http):
    bridge = await start_bridge()
    tier.rows = ["a"]
    text = json.dumps({**QUERY, "x": "<" * 16_000})
    response = await http.get(bridge.base, params={"query": text})
    assert response.status == 200
    response.close()


@pytest.mark.parametrize("text", ["%FF", "%7B%22entity%22:%22%ED%A0%80%22,%22limit%22:1%7D"])
async def test_a_query_in_a_url_that_is_not_utf8_is_400(start_bridge, http, text):
    bridge = await start_bridge()
    host, port = bridge.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /api/v1/live?a=b&query={text} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.0 400")
    assert b"not UTF-8" in answer
    writer.close()


async def test_unknown_paths_and_methods_are_problems_too(start_bridge, http):
    bridge = await start_bridge()
    for method, path, status in (("GET", "/nope", 404), ("PUT", "/api/v1/live", 405)):
        response = await http.request(method, bridge.url + path)
        assert response.status == status
        assert json.loads(await response.text())["status"] == status


# ------------------------------------------------------------------ who may come in


def foreign(port):
    return [
        "https://evil.example",
        "null",
        f"http://127.0.0.1:{port}.evil.example",
        f"http://127.0.0.1:{port + 1}",
        f"https://127.0.0.1:{port}",
        f"http://evil.example#127.0.0.1:{port}",
        f"http://127.0.0.1:{port}@evil.example",
        "file://",
        "",
    ]


async def test_a_foreign_origin_is_403_on_both_transports_before_anything_else(
    start_bridge, tier, http
):
    bridge = await start_bridge()
    tier.rows = []
    port = int(bridge.url.rsplit(":", 1)[1])
    for origin in foreign(port):
        headers = {"Origin": origin}
        response = await http.post(bridge.base, data=json.dumps(QUERY), headers=headers)
        # https on our port is another scheme of the same host and port, as a TLS proxy has it.
        if origin.startswith("https://127.0.0.1"):
            response.close()
            continue
        assert response.status == 403, origin
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(bridge.base + "/ws", headers=headers)
        assert refused.value.status == 403
    assert tier.opened <= 1


async def test_the_listeners_own_origin_is_served(start_bridge, tier, http):
    bridge = await start_bridge()
    tier.rows = ["a"]
    headers = {"Origin": bridge.url}
    response = await http.post(bridge.base, data=json.dumps(QUERY), headers=headers)
    assert response.status == 200
    assert "Access-Control-Allow-Origin" not in response.headers
    response.close()


async def test_a_listed_origin_is_served_and_echoed(start_bridge, tier, http):
    bridge = await start_bridge(allowed_origins="https://App.example, http://x.example:81")
    tier.rows = ["a"]
    headers = {"Origin": "https://app.example"}
    response = await http.post(bridge.base, data=json.dumps(QUERY), headers=headers)
    assert response.status == 200
    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert response.headers["Vary"] == "Origin"
    response.close()
    preflight = await http.options(
        bridge.base, headers={**headers, "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert (await http.options(bridge.base, headers={"Origin": "https://y.example"})).status == 403


async def test_a_rebound_host_is_403_on_a_loopback_listener(start_bridge, http):
    bridge = await start_bridge(allowed_origins="https://app.example")
    for host, status in (
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost", 200),
        ("127.0.0.9:1", 200),
        ("[::1]:8080", 200),
        ("app.example", 200),
    ):
        response = await http.get(bridge.url + "/healthz", headers={"Host": host})
        assert response.status == status, host


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 400),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
async def test_a_cookie_is_not_taken_from_a_foreign_page(start_bridge, tier, http, headers, status):
    bridge = await start_bridge()
    tier.rows = []
    headers["Cookie"] = "session=1"
    response = await http.post(bridge.base, data=json.dumps(QUERY), headers=headers)
    assert response.status == status
    response.close()


async def test_limits_hold_exactly(start_bridge, tier, http):
    bridge = await start_bridge(max_connections="3", max_connections_per_ip="0")
    tier.rows = ["a"]
    held = [await http.post(bridge.base, data=json.dumps(QUERY)) for _ in range(3)]
    assert [r.status for r in held] == [200] * 3
    refused = await http.post(bridge.base, data=json.dumps(QUERY))
    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) >= 1
    with pytest.raises(aiohttp.WSServerHandshakeError) as over:
        await http.ws_connect(bridge.base + "/ws")
    assert over.value.status == 429
    assert (await http.get(bridge.url + "/healthz")).status == 200
    held.pop().close()
    async with patiently(3):
        while (again := await http.post(bridge.base, data=json.dumps(QUERY))).status != 200:
            await asyncio.sleep(0.01)
    for response in (*held, again):
        response.close()


async def test_the_limit_for_one_address_holds_exactly(start_bridge, tier, http):
    bridge = await start_bridge(max_connections_per_ip="2")
    tier.rows = ["a"]
    held = [await http.post(bridge.base, data=json.dumps(QUERY)) for _ in range(2)]
    assert (await http.post(bridge.base, data=json.dumps(QUERY))).status == 429
    for response in held:
        response.close()


async def test_a_request_without_a_header_the_scope_needs_is_401(start_bridge, tier, http):
    bridge = await start_bridge(forward_metadata="authorization,x-tenant", scope="x-tenant")
    tier.rows = ["a"]
    response = await http.post(bridge.base, data=json.dumps(QUERY))
    assert response.status == 401
    assert json.loads(await response.text())["field"] == "x-tenant"
    clients = [
        await http.post(
            bridge.base,
            data=json.dumps(QUERY),
            headers={"X-Tenant": tenant, "Authorization": f"Bearer {n}"},
        )
        for n, tenant in enumerate(["acme", "acme", "umbrella"])
    ]
    assert tier.opened == 2
    for client in clients:
        client.close()


GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    b"POST /api/v1/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX : 1\r\n\r\n",
    b"\r\n\r\n\x00\x00",
]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_on_the_port_is_400_or_closed_and_no_traceback(
    start_bridge, http, caplog, data
):
    caplog.set_level(logging.DEBUG)
    bridge = await start_bridge()
    host, port = bridge.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    writer.write_eof()
    async with patiently(5):
        answer = await reader.read()
    assert not answer or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), answer[:80]
    writer.close()
    assert (await http.get(bridge.url + "/healthz")).status == 200
    loud = [r for r in caplog.records if r.exc_info and r.levelno >= logging.INFO]
    assert not loud
