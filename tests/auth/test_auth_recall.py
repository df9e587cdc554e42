"""A request that was accepted is read once, and judged anew each time it comes."""

import asyncio
import base64
import random
import time

import pytest

from bridge.web.auth.revocations import parse_revocation
from raw_client import SUBSCRIBE, TEXT, UPGRADE, RawClient, message, open_websocket, read_message
from tokens import ec_key, token

V1 = b"Sec-WebSocket-Protocol: livequery.v1\r\n"


async def expire(_, clock, keys_file):
    clock.ahead = 200


async def revoke(bridge, clock, keys_file):
    await bridge._revoking.revoke(parse_revocation('{"sub":"alice"}'))


async def replace_keys(bridge, clock, keys_file):
    keys_file.write_bytes(ec_key().pem)
    [store] = bridge.context.authenticator.key_stores
    await store._read()


async def socket_shown(bridge, text, lines=b""):
    """Open a socket with a token and subscribe; returns TEXT if it was served, else the code."""
    reader, writer = await asyncio.open_connection(*bridge.url.removeprefix("http://").split(":"))
    try:
        client, key = RawClient(reader, writer), base64.b64encode(random.randbytes(16))
        request = UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", key) + lines
        request += f"Authorization: Bearer {text}\r\n\r\n".encode()
        assert "101 Switching" in await open_websocket(client, request)
        client.send(message(SUBSCRIBE.replace(b'"query"', b'"sub":"a","query"')))
        return await read_message(client)
    finally:
        writer.transport.abort()


def accepted(bridge):
    [listener] = bridge._listeners.all
    return listener._fast_path.request_parser.accepted


@pytest.mark.parametrize("change", [expire, revoke, replace_keys])
async def test_what_was_accepted_before_is_refused_once_it_no_longer_holds(
    change, start_clocked, tier, clock, keys_file, ways
):
    bridge = await start_clocked()
    tier.rows = ["a"]
    headers = [("Authorization", f"Bearer {token(exp=time.time() + 100)}")]
    assert [await ways.status(bridge, headers=headers) for _ in range(3)] == [200] * 3
    assert len(accepted(bridge)) == 1
    await change(bridge, clock, keys_file)
    assert [await ways.status(bridge, headers=headers) for _ in range(3)] == [401] * 3


async def test_a_request_that_was_refused_is_not_kept(start_jwt, tier, ways):
    bridge = await start_jwt()
    for text in (token(exp=1), token(ec_key()), "nonsense"):
        headers = [("Authorization", f"Bearer {text}")]
        assert [await ways.status(bridge, headers=headers) for _ in range(2)] == [401] * 2
    assert not accepted(bridge)


@pytest.mark.parametrize("change", [expire, revoke, replace_keys])
@pytest.mark.parametrize(("lines", "code"), [(b"", 4501), (V1, 4501)], ids=["core", "v1"])
async def test_a_socket_like_one_that_was_accepted_is_refused_once_its_token_no_longer_holds(
    change, start_clocked, tier, clock, keys_file, lines, code
):
    bridge = await start_clocked()
    tier.rows = ["a"]
    text = token(exp=time.time() + 100)
    assert [await socket_shown(bridge, text, lines) for _ in range(3)] == [TEXT] * 3
    assert [request.recalled for request in accepted(bridge).values()] == [True]
    await change(bridge, clock, keys_file)
    assert [await socket_shown(bridge, text, lines) for _ in range(3)] == [code] * 3


async def test_an_upgrade_whose_token_was_refused_is_not_kept(start_jwt):
    bridge = await start_jwt()
    for text in (token(exp=1), token(ec_key()), "nonsense"):
        assert [await socket_shown(bridge, text) for _ in range(2)] == [4501] * 2
    assert not accepted(bridge)
