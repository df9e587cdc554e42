"""Every limit at a real server: as many as it allows are served, one more is not, by every way."""

import asyncio
import itertools
import json
import socket
import struct

import pytest
from limit_clients import WAYS, Ways, query

from ops_support import samples
from patience import patient
from waiting import until

REFUSED = {
    "sse": 429, "odd sse": 429, "core": 4003, "odd core": 4003, "v1": 429, "odd v1": 429,
    "window": 429,
}  # fmt: skip
"""How each way tells that a subscription is over a limit."""
TOKEN = {"Authorization": "Bearer one"}
OTHER = {"Authorization": "Bearer two"}


@pytest.fixture
async def ways(http, tier):
    tier.rows = ["a"]
    opened = []

    def ways(bridge):
        opened.append(Ways(http, bridge))
        return opened[-1]

    yield ways
    for each in opened:
        each.close()


async def limited(http, bridge, name):
    return (await samples(http, bridge.url))[f'limited_total{{limit="{name}"}}']


# ------------------------------------------------------------------ streams of one credential


@pytest.mark.parametrize("way", [*WAYS, "window"])
async def test_streams_of_one_credential(start_bridge, http, ways, way):
    bridge = await start_bridge(max_connections_per_identity="3")
    clients = ways(bridge)
    for held in itertools.islice(itertools.cycle(WAYS), 3):
        assert await clients.open(held, query(), **TOKEN) == "served"
    assert await clients.open(way, query(), **TOKEN) == 429, "before an upgrade, too"
    assert await limited(http, bridge, "connections_per_identity") == 1
    assert await clients.open(way, query(), **OTHER) == "served"
    assert await clients.open(way, query()) == "served", "without one, its address is counted only"
    if way == "window":
        return
    clients.close_one()
    clients.close_one()
    clients.close_one()

    async def served():
        return await clients.open(way, query(), **TOKEN) == "served"

    await until(served)


async def test_twenty_streams_are_the_default(start_bridge, ways):
    clients = ways(await start_bridge())
    for way in itertools.islice(itertools.cycle(WAYS), 20):
        assert await clients.open(way, query(), **TOKEN) == "served"
    assert await clients.open("sse", query(), **TOKEN) == 429


@pytest.mark.parametrize("way", ["v1", "odd v1"])
async def test_a_token_sent_on_a_socket_counts_like_one_in_a_header(start_bridge, http, ways, way):
    bridge = await start_bridge(max_connections_per_identity="2")
    clients = ways(bridge)
    assert await clients.open("sse", query(), **TOKEN) == "served"
    assert await clients.open(way, query(), token="one") == "served"
    assert await clients.open(way, query(), token="one") == 4003
    assert await clients.open(way, query(), token="two") == "served"
    assert await limited(http, bridge, "connections_per_identity") == 1


async def test_a_socket_is_counted_for_its_latest_token_only(start_bridge, ways):
    bridge = await start_bridge(
        max_connections_per_identity="1",
        forward_metadata="authorization,x-tenant",
        scope="x-tenant",
    )
    clients = ways(bridge)
    tenant = {"X-Tenant": "t"}
    assert await clients.open("v1", query(), token="one", **tenant) == "served"
    assert set(bridge.context.admission._by_holder.values()) == {1}
    assert await clients.open("sse", query(), **TOKEN, **tenant) == 429
    assert await clients.open("sse", query(), **OTHER, **tenant) == "served"


# ------------------------------------------------------------------ subscriptions


async def test_subscriptions_on_one_socket(start_bridge, http, ways):
    bridge = await start_bridge(max_subscriptions_per_socket="3")
    clients = ways(bridge)
    socket = await http.ws_connect(f"{bridge.base}/ws", protocols=["livequery.v1"])
    for name in "abc":
        assert await clients.subscribe(socket, name, query()) == "served"
    assert await clients.subscribe(socket, "d", query()) == 429
    await socket.send_str(json.dumps({"action": "unsubscribe", "sub": "a"}))
    assert json.loads((await socket.receive(timeout=patient(5))).data)["type"] == "ended"
    assert await clients.subscribe(socket, "d", query()) == "served"
    assert await limited(http, bridge, "subscriptions_per_socket") == 1
    await socket.close()


@pytest.mark.parametrize("way", [*WAYS, "window"])
@pytest.mark.parametrize("headers", [TOKEN, {}], ids=["credential", "address"])
async def test_subscriptions_of_one_identity(start_bridge, http, ways, way, headers):
    bridge = await start_bridge(max_subscriptions_per_identity="3")
    clients = ways(bridge)
    for held in ("sse", "core", "v1"):
        assert await clients.open(held, query(), **headers) == "served"
    assert await clients.open(way, query(), **headers) == REFUSED[way]
    assert await limited(http, bridge, "subscriptions_per_identity") == 1
    clients.close_one()

    async def served():
        return await clients.open(way, query(), **headers) == "served"

    await until(served)


# ------------------------------------------------------------------ different queries


@pytest.mark.parametrize("way", [*WAYS, "window"])
@pytest.mark.parametrize("headers", [TOKEN, {}], ids=["credential", "address"])
async def test_different_queries_of_one_identity(start_bridge, http, ways, tier, way, headers):
    bridge = await start_bridge(max_queries_per_identity="2", linger="60s")
    clients = ways(bridge)
    assert await clients.open("v1", query(1), **headers) == "served"
    assert await clients.open("sse", query(2), **headers) == "served"
    assert await clients.open(way, query(2), **headers) == "served", "an equal one is no other"
    assert await clients.open(way, query(3), **headers) == REFUSED[way]
    assert tier.opened == 2
    assert await limited(http, bridge, "queries_per_identity") == 1


async def test_a_credential_of_every_kind_has_its_queries_and_all_have_those_of_the_address(
    start_bridge, ways
):
    clients = ways(await start_bridge(max_queries_per_identity="2"))
    for number, token in enumerate("ab"):
        assert await clients.open("sse", query(number), Authorization=token) == "served"
    assert await clients.open("sse", query(2), Authorization="c") == 429, (
        "no credential is verified"
    )


@pytest.mark.parametrize("way", [*WAYS, "window"])
async def test_different_queries_in_all(start_bridge, http, ways, way):
    bridge = await start_bridge(max_queries="2")
    clients = ways(bridge)
    assert await clients.open("v1", query(1), **TOKEN) == "served"
    assert await clients.open("sse", query(2), **OTHER) == "served"
    assert await clients.open(way, query(3)) == REFUSED[way]
    assert await limited(http, bridge, "queries") == 1
    clients.close()

    async def served():
        return await clients.open(way, query(3)) == "served"

    await until(served)


async def test_queries_that_linger_make_room_for_new_ones(start_bridge, http, ways, tier):
    bridge = await start_bridge(max_queries_per_identity="2", linger="60s")
    clients = ways(bridge)
    for number in range(5):
        assert await clients.open("sse", query(number)) == "served"
        clients.close_one()
        await until(lambda: bridge._hub.limiter.lingering == min(len(tier.open), 2))
    assert tier.opened == 5
    await until(lambda: len(tier.open) == 2)
    found = await samples(http, bridge.url)
    assert (found["lingering"], found["lingering_evictions_total"]) == (2, 3)


async def test_the_cap_on_what_lingers(start_bridge, http, ways, tier):
    bridge = await start_bridge(max_lingering="2", linger="60s")
    clients = ways(bridge)
    for number in range(4):
        assert await clients.open("sse", query(number)) == "served"
    clients.close()
    await until(lambda: len(tier.open) == 2)
    found = await samples(http, bridge.url)
    assert (found["lingering"], found["subscriptions"]) == (2, 2)


async def test_a_window_may_move_where_its_client_has_no_query_to_spare(start_bridge, http, ways):
    """From a shared subscription a client moves to one of its own: for a moment it holds both."""
    bridge = await start_bridge(
        max_queries_per_identity="1",
        forward_metadata="authorization,x-tenant",
        scope="x-tenant",
        trusted_proxies="127.0.0.1",
    )
    clients = ways(bridge)
    one = {**TOKEN, "X-Tenant": "t", "X-Forwarded-For": "203.0.113.1"}
    two = {**OTHER, "X-Tenant": "t", "X-Forwarded-For": "203.0.113.2"}
    assert await clients.open("sse", query(), **one) == "served"
    socket = await http.ws_connect(f"{bridge.base}/ws", protocols=["livequery.v1"], headers=two)
    assert await clients.subscribe(socket, "s", query()) == "served"
    await socket.send_str(json.dumps({"action": "reanchor", "sub": "s", "limit": 2}))
    while (told := json.loads((await socket.receive(timeout=patient(5))).data))["type"] != "ready":
        assert told["type"] != "error", told
    assert await clients.subscribe(socket, "t", query()) == 429, "it has one, and no other"
    await socket.close()


@pytest.mark.parametrize(
    ("limit", "held"),
    [({"max_queries_per_identity": "2"}, 2), ({"max_subscriptions_per_identity": "2"}, 2)],
    ids=["queries", "subscriptions"],
)
async def test_a_socket_that_changes_hands_is_within_the_limits_of_its_new_holder(
    start_bridge, http, ways, limit, held
):
    """Each identity has its limit; else one may collect what many have opened."""
    bridge = await start_bridge(
        **limit, forward_metadata="authorization,x-tenant", scope="x-tenant",
        trusted_proxies="127.0.0.1",
    )  # fmt: skip
    clients = ways(bridge)
    sockets = []
    for number in range(3):
        headers = {
            "Authorization": f"Bearer {number}", "X-Tenant": "t",
            "X-Forwarded-For": f"203.0.113.{number}",
        }  # fmt: skip
        sockets.append(
            await http.ws_connect(f"{bridge.base}/ws", protocols=["livequery.v1"], headers=headers)
        )
        assert await clients.subscribe(sockets[-1], "s", query(number)) == "served"

    async def become(socket, token):
        await socket.send_json({"action": "authenticate", "token": token})
        while (told := await socket.receive_json(timeout=patient(5)))["type"] == "frames":
            pass
        return told

    for one in sockets[:held]:
        assert (await become(one, "one"))["type"] == "authenticated"
    told = await become(sockets[2], "one")
    assert (told["type"], told["status"]) == ("error", 429)
    [name] = limit
    assert await limited(http, bridge, name.removeprefix("max_")) == 1
    assert (await become(sockets[2], "two"))["type"] == "authenticated", "the old one stood"
    assert (await become(sockets[0], "one"))["type"] == "authenticated", "it counts once"
    await sockets[1].close()

    async def admitted():
        return (await become(sockets[2], "one"))["type"] == "authenticated"

    await until(admitted)
    for one in sockets:
        await one.close()


# ------------------------------------------------------------------ rates


@pytest.mark.parametrize("way", [*WAYS, "window"])
async def test_new_streams_of_one_address_a_second(start_bridge, http, ways, way):
    bridge = await start_bridge(accept_rate_per_ip="1")
    clients = ways(bridge)
    assert await clients.open("sse", query()) == "served"
    assert await clients.open("core", query()) == "served"
    assert await clients.open(way, query()) == 429
    assert await limited(http, bridge, "accept_rate_per_ip") == 1
    if way in ("sse", "window"):
        assert int(clients.refusal.headers["Retry-After"]) == 1

    async def served():
        return await clients.open(way, query()) == "served"

    await until(served)


async def test_a_schema_counts_as_a_new_stream(start_bridge, http, tier):
    bridge = await start_bridge(accept_rate_per_ip="1")
    statuses = []
    for _ in range(3):
        async with http.get(f"{bridge.base}/schema") as answer:
            statuses.append(answer.status)
    assert statuses == [501, 501, 429], "the tier has none, and the third is one too many"
    assert bridge.context.admission.open == 0


async def test_commands_beyond_the_rate_wait(start_bridge, http):
    bridge = await start_bridge(command_rate="1")
    socket = await http.ws_connect(f"{bridge.base}/ws", protocols=["livequery.v1"])
    for _ in range(16):
        await socket.send_str('{"action":"ping"}')
    for _ in range(16):
        assert "pong" in (await socket.receive(timeout=patient(5))).data
    assert await limited(http, bridge, "commands") == 0
    began = asyncio.get_running_loop().time()
    await socket.send_str('{"action":"ping"}')
    assert "pong" in (await socket.receive(timeout=patient(5))).data
    assert await limited(http, bridge, "commands") == 1
    assert asyncio.get_running_loop().time() - began > 0.5
    await socket.close()


# ------------------------------------------------------------------ what may be asked


@pytest.mark.parametrize("way", [*WAYS, "window"])
@pytest.mark.parametrize(
    ("options", "right", "wrong", "status", "code", "name"),
    [
        ({"max_rows": "5"}, query(limit=5), query(limit=6), 400, 4500, "rows"),
        (
            {"max_conditions": "4"},
            query(conditions=4),
            query(conditions=5),
            400,
            4500,
            "conditions",
        ),
        ({"entities": "flights=5"}, query(limit=5), query(limit=6), 400, 4500, "entities"),
        ({"entities": "flights=5"}, query(), query(entity="users"), 403, 4503, "entities"),
    ],
    ids=["rows", "conditions", "rows of an entity", "entities"],
)
async def test_what_may_be_asked(
    start_bridge, http, ways, tier, way, options, right, wrong, status, code, name
):
    bridge = await start_bridge(**options)
    clients = ways(bridge)
    assert await clients.open(way, right) == "served"
    assert await clients.open(way, wrong) == (code if way.endswith("core") else status)
    assert tier.opened == 1
    assert await limited(http, bridge, name) == 1


async def test_a_reanchor_may_not_ask_for_more_either(start_bridge, http, ways):
    bridge = await start_bridge(entities="flights=5,*=2")
    socket = await http.ws_connect(f"{bridge.base}/ws", protocols=["livequery.v1"])
    clients = ways(bridge)
    assert await clients.subscribe(socket, "s", query(limit=5)) == "served"
    await socket.send_str(json.dumps({"action": "reanchor", "sub": "s", "limit": 6}))
    told = json.loads((await socket.receive(timeout=patient(5))).data)
    assert (told["type"], told["status"], told["field"]) == ("error", 400, "limit")
    await socket.close()


# ------------------------------------------------------------------ the attack


async def test_connecting_asking_and_resetting_leaves_a_bounded_number_of_queries(
    start_bridge, http, tier
):
    """Thousands of different queries from one address, each reset as soon as it was asked."""
    tier.rows = ["a"]
    bridge = await start_bridge(linger="60s", max_queries_per_identity="50", max_lingering="40")
    port = int(bridge.url.rpartition(":")[2])
    for number in range(1000):
        await asyncio.to_thread(ask_and_reset, port, number)
    await until(lambda: not bridge.context.admission.open)
    await until(lambda: len(tier.open) <= 40)
    found = await samples(http, bridge.url)
    assert found["subscriptions"] <= 40
    assert found["upstream_subscriptions"] <= 40


def ask_and_reset(port, number):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    body = json.dumps(query(number)).encode()
    sock.sendall(
        b"POST /api/v1/live HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    if number % 2:
        sock.recv(100)
    sock.close()
