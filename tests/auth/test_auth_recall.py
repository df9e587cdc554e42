"""A request that was accepted is read once, and judged anew each time it comes."""

import time

import pytest

from bridge.web.auth.revocations import parse_revocation
from tokens import ec_key, token


async def expire(_, clock, keys_file):
    clock.ahead = 200


async def revoke(bridge, clock, keys_file):
    await bridge._revoking.revoke(parse_revocation('{"sub":"alice"}'))


async def replace_keys(bridge, clock, keys_file):
    keys_file.write_bytes(ec_key().pem)
    [store] = bridge.context.authenticator.key_stores
    await store._read()


@pytest.mark.parametrize("change", [expire, revoke, replace_keys])
async def test_what_was_accepted_before_is_refused_once_it_no_longer_holds(
    change, start_clocked, tier, clock, keys_file, ways
):
    bridge = await start_clocked()
    tier.rows = ["a"]
    headers = [("Authorization", f"Bearer {token(exp=time.time() + 100)}")]
    assert [await ways.status(bridge, headers=headers) for _ in range(3)] == [200] * 3
    [listener] = bridge._listeners.all
    assert len(listener._fast_path.request_parser.accepted) == 1
    await change(bridge, clock, keys_file)
    assert [await ways.status(bridge, headers=headers) for _ in range(3)] == [401] * 3


async def test_a_request_that_was_refused_is_not_kept(start_jwt, tier, ways):
    bridge = await start_jwt()
    for text in (token(exp=1), token(ec_key()), "nonsense"):
        headers = [("Authorization", f"Bearer {text}")]
        assert [await ways.status(bridge, headers=headers) for _ in range(2)] == [401] * 2
    [listener] = bridge._listeners.all
    assert not listener._fast_path.request_parser.accepted
