"""A token is judged before the tier is asked, whichever way a request is read."""

import asyncio
import json

import pytest

from clients import QUERY, SseClient
from tokens import bearer, ec_key, rsa_key, token


@pytest.mark.parametrize("parts", [False, True], ids=["fast path", "aiohttp"])
async def test_an_event_stream_needs_a_valid_token(start_jwt, tier, ways, parts):
    bridge = await start_jwt()
    tier.rows = ["a"]
    headers = [("Authorization", f"Bearer {token()}")]
    assert await ways.status(bridge, parts=parts) == 401
    forged = [("Authorization", f"Bearer {token(ec_key())}")]
    assert await ways.status(bridge, headers=forged, parts=parts) == 401
    assert tier.opened == 0
    assert await ways.status(bridge, headers=headers, parts=parts) == 200
    assert tier.opened == 1


async def test_a_socket_needs_a_valid_token(start_jwt, tier, ways):
    bridge = await start_jwt()
    tier.rows = ["a"]
    assert await ways.close_code(bridge) == 4501
    assert await ways.close_code(bridge, headers=bearer(token(exp=1))) == 4501
    assert tier.opened == 0
    async with ways.socket(bridge, headers=bearer(token())) as ws:
        await ws.send_json({"action": "subscribe", "query": QUERY})
        assert json.loads((await ws.receive()).data)["op"] == "reset"


async def test_a_v1_socket_authenticates_by_its_first_message(start_jwt, tier, ways):
    bridge = await start_jwt(claims_metadata="sub=x-user")
    text = token()
    async with ways.socket(bridge, v1=True) as ws:
        await ws.send_json({"action": "authenticate", "token": text})
        assert json.loads((await ws.receive()).data)["type"] == "authenticated"
        await ws.send_json({"action": "subscribe", "sub": "s", "query": QUERY})
        call = await tier.next_call()
        assert call.metadata["authorization"] == f"Bearer {text}"
        assert call.metadata["x-user"] == "alice"
    for first in (
        {"action": "authenticate", "token": token(ec_key())},
        {"action": "subscribe", "sub": "s", "query": QUERY},
    ):
        async with ways.socket(bridge, v1=True) as ws:
            await ws.send_json(first)
            await ws.receive()
            assert ws.close_code == 4501
    assert tier.opened == 1


async def test_two_tokens_of_one_client_share_and_those_of_two_do_not(start_jwt, tier, http):
    bridge = await start_jwt()
    tier.rows = ["a"]
    clients = []
    for changed in ({}, {"jti": "2", "iat": 5}, {"sub": "bob"}, {"role": "admin"}):
        answer = await http.post(
            bridge.base, data=json.dumps(QUERY), headers=bearer(token(**changed))
        )
        clients.append(SseClient(answer))
        await clients[-1].frames(2)
    assert tier.opened == 3
    for client in clients:
        client.close()
    assert rsa_key() is rsa_key()
    await asyncio.sleep(0)


@pytest.mark.parametrize("asked", ["", "?query=nonsense", "?query=%7B%7D&wait=nonsense"])
async def test_a_window_is_refused_for_its_credential_before_its_query_is_looked_at(
    start_jwt, tier, http, asked
):
    bridge = await start_jwt()
    async with http.get(bridge.base + "/window" + asked) as answer:
        assert answer.status == 401
    async with http.get(bridge.base + "/window" + asked, headers=bearer(token())) as answer:
        assert answer.status == 400
    async with http.post(bridge.base + "/window", data=b"nonsense") as answer:
        assert answer.status == 401
