"""A stream lasts as long as its credential: warned, refreshed in place, ended."""

import asyncio
import json
import time

import pytest

from clients import QUERY, SseClient
from patience import patient, patiently
from scripted_tier import update
from tokens import bearer, ec_key, token


def soon(seconds=3600.0, **changed):
    return token(exp=time.time() + seconds, **changed)


@pytest.fixture
def sse(http):
    clients = []

    async def open_sse(bridge, text, target=""):
        answer = await http.post(bridge.base + target, data=json.dumps(QUERY), headers=bearer(text))
        assert answer.status == 200
        clients.append(SseClient(answer))
        return clients[-1]

    yield open_sse
    for client in clients:
        client.close()


async def test_every_kind_of_stream_ends_once_expiry_and_leeway_are_over(
    start_clocked, tier, clock, sse, ways, connect_v1
):
    bridge = await start_clocked()
    tier.rows = ["a"]
    text = soon(100)
    core, v1 = await sse(bridge, text), await sse(bridge, text, "?v=1")
    client = await connect_v1(bridge, headers=bearer(text))
    await client.say(action="subscribe", sub="s", query=QUERY)
    await client.until("ready")
    await core.frames(2)
    async with ways.socket(bridge, headers=bearer(text)) as ws:
        await ws.send_json({"action": "subscribe", "query": QUERY})
        await ws.receive()
        await ws.receive()
        clock.ahead = 128
        await asyncio.sleep(1.2)
        assert not ws.closed
        began = asyncio.get_running_loop().time()
        clock.ahead = 131
        while await core.event(within=6) is not None:
            pass
        names = []
        while (event := await v1.event()) is not None:
            names.append(event["event"])
        assert names[-1] == "ended"
        while (await ws.receive()).type.name == "TEXT":
            pass
        assert ws.close_code == 4001
        assert await client.close_code() == 4001
        assert asyncio.get_running_loop().time() - began < patient(5)
    log = bridge.metrics.exposition().decode()
    assert 'livequery_bridge_streams_ended_total{reason="expired"} 4.0' in log


async def test_a_long_poll_is_answered_401_when_its_credential_ends(
    start_clocked, tier, clock, http
):
    bridge = await start_clocked()
    tier.rows = ["a"]
    headers = bearer(soon(100))
    url = bridge.base + "/window"
    async with http.post(url, data=json.dumps(QUERY), headers=headers) as answer:
        tag = answer.headers["ETag"]
    waiting = asyncio.create_task(
        http.post(
            url + "?wait=50", data=json.dumps(QUERY), headers={**headers, "If-None-Match": tag}
        )
    )
    await asyncio.sleep(0.3)
    assert not waiting.done()
    clock.ahead = 131
    async with patiently(5):
        answer = await waiting
    assert answer.status == 401


async def test_a_client_is_warned_half_a_minute_before_and_refreshes_in_place(
    start_clocked, tier, clock, connect_v1
):
    bridge = await start_clocked()
    client = await connect_v1(bridge)
    expires = int(time.time()) + 100
    await client.say(action="authenticate", token=token(exp=expires))
    answer = await client.receive()
    assert answer == {"type": "authenticated", "expires_at": rfc3339(expires)}
    await client.say(action="subscribe", sub="s", query=QUERY)
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    await client.until("ready")
    clock.ahead = 65
    await asyncio.sleep(1.2)
    await client.say(action="ping")
    assert (await client.receive())["type"] == "pong"
    clock.ahead = 71
    assert await client.receive() == {"type": "auth_expiring", "expires_at": rfc3339(expires)}
    call.send(update("a", 0, version=2, stream_id="1-0"))
    assert (await client.receive())["type"] == "frames"
    await client.say(action="authenticate", token=token(exp=expires + 100, jti="2"))
    assert (await client.receive())["expires_at"] == rfc3339(expires + 100)
    # Neither a frame more nor one less, past the end of the first.
    clock.ahead = 97
    await client.say(action="authenticate", token=token(exp=expires + 100, jti="3"))
    await client.until("authenticated")
    again = await tier.next_call()
    again.resume()
    clock.ahead = 131
    await asyncio.sleep(1.2)
    again.send(update("a", 0, version=3, stream_id="2-0"))
    message = await client.receive()
    assert [frame["stream_id"] for frame in message["frames"]] == ["2-0"]
    clock.ahead = 175
    await client.until("auth_expiring")
    clock.ahead = 231
    assert await client.close_code() == 4001


async def test_a_short_lived_token_is_warned_about_at_half_of_its_life(
    start_clocked, tier, connect_v1, sse
):
    bridge = await start_clocked(jwt_leeway="0")
    tier.rows = ["a"]
    began = time.time()
    text = soon(3)
    client, stream = await connect_v1(bridge, headers=bearer(text)), await sse(bridge, text, "?v=1")
    while (event := await stream.event())["event"] != "auth_expiring":
        assert event["event"] in ("reset", "enter", "ready", None)
    assert json.loads(event["data"])["expires_at"] == rfc3339(int(began + 3))
    assert (await client.until("auth_expiring"))["expires_at"] == rfc3339(int(began + 3))
    assert time.time() - began > 1.4
    assert await client.close_code() == 4001
    assert time.time() - began > 2.9


async def test_a_bad_first_token_ends_the_socket_and_a_bad_later_one_is_an_error(
    start_clocked, tier, clock, connect_v1
):
    bridge = await start_clocked()
    first = await connect_v1(bridge)
    await first.say(action="authenticate", token=token(ec_key()))
    assert await first.close_code() == 4501
    client = await connect_v1(bridge)
    await client.say(action="authenticate", token=soon())
    await client.until("authenticated")
    for bad in (token(ec_key()), soon(-100), "x"):
        await client.say(action="authenticate", token=bad)
        error = await client.receive()
        assert (error["type"], error["code"], error["status"]) == ("error", "UNAUTHENTICATED", 401)
    tier.rows = ["a"]
    await client.say(action="subscribe", sub="s", query=QUERY)
    await client.until("ready")


async def test_a_token_of_another_scope_ends_the_socket(start_clocked, tier, connect_v1):
    bridge = await start_clocked()
    tier.rows = ["a"]
    for subscribed in (True, False):
        client = await connect_v1(bridge, headers=bearer(soon()))
        if subscribed:
            await client.say(action="subscribe", sub="s", query=QUERY)
            await client.until("ready")
        await client.say(action="authenticate", token=soon(sub="mallory"))
        assert await client.close_code() == 4001


async def test_a_socket_without_a_credential_has_the_time_of_the_first_message(
    start_clocked, connect_v1, monkeypatch
):
    bridge = await start_clocked()
    settings = bridge._listeners.all[0]._fast_path.context.settings
    assert settings.first_message_timeout == 5
    client = await connect_v1(bridge)
    await client.say(action="ping")
    assert (await client.receive())["type"] == "pong"
    assert await client.close_code() == 4501


async def test_a_call_changes_hands_before_its_credential_ends(start_clocked, tier, clock, sse):
    bridge = await start_clocked(
        claims_metadata="tenant=x-tenant", scope="x-tenant", jwt_leeway="1h"
    )
    short, long = soon(60, tenant="acme"), soon(600, tenant="acme", sub="bob")
    asking = asyncio.create_task(sse(bridge, short))
    call = await tier.next_call()
    assert call.metadata["authorization"] == f"Bearer {short}"
    call.start()
    call.snapshot("a")
    first = await asking
    second = await sse(bridge, long)
    for client in (first, second):
        assert [frame["op"] for frame in await client.frames(2)] == ["reset", "enter"]
    call.send(update("a", 0, version=2, stream_id="1-0"))
    for client in (first, second):
        assert (await client.frame())["stream_id"] == "1-0"
    clock.ahead = 56
    # The timer looks at the wall clock every 30 s: a newcomer has it look at once.
    third = await sse(bridge, long)
    await third.frames(2)
    again = await tier.next_call()
    assert again.metadata["authorization"] == f"Bearer {long}"
    again.resume()
    again.send(update("a", 0, version=3, stream_id="2-0"))
    for client in (first, second):
        assert (await client.frame())["stream_id"] == "2-0"
    await asyncio.wait_for(call.over.wait(), patient(5))
    log = bridge.metrics.exposition().decode()
    assert 'livequery_bridge_resubscribes_total{cause="credential"} 1.0' in log


def rfc3339(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
