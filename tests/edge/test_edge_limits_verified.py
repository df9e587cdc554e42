"""Limits of verified identities: counted by issuer and subject, wherever their tokens come from."""

import json

import pytest
from limit_clients import WAYS, Ways, query

from tokens import AUDIENCE, ISSUER, bearer, ec_key, token

KEY = ec_key()


@pytest.fixture
async def ways(start_bridge, http, tier, tmp_path):
    """Start a bridge that verifies tokens; returns its clients."""
    tier.rows = ["a"]
    keys = tmp_path / "keys.pem"
    keys.write_bytes(KEY.pem)
    opened = []

    async def ways(**options):
        bridge = await start_bridge(
            auth="jwt",
            jwt_keys=str(keys),
            jwt_issuer=ISSUER,
            jwt_audience=AUDIENCE,
            **options,
        )
        opened.append(Ways(http, bridge))
        opened[-1].bridge = bridge
        return opened[-1]

    yield ways
    for each in opened:
        each.close()


def headers(**claims):
    return bearer(token(KEY, **claims))


@pytest.mark.parametrize("way", [*WAYS, "window"])
async def test_all_tokens_of_a_subject_are_one_identity(ways, way):
    clients = await ways(max_connections_per_identity="2", trusted_proxies="127.0.0.1")
    for number in range(2):
        fresh = {**headers(sub="ann", jti=str(number)), "X-Forwarded-For": f"203.0.113.{number}"}
        assert await clients.open("sse", query(), **fresh) == "served"
    assert await clients.open(way, query(), **headers(sub="ann", jti="3")) == 429
    assert await clients.open(way, query(), **headers(sub="bob")) == "served"


async def test_a_verified_identity_is_not_counted_by_its_address(ways):
    clients = await ways(max_queries_per_identity="1")
    for name in ("ann", "bob", "cid"):
        assert await clients.open("sse", query(), **headers(sub=name)) == "served"
    assert await clients.open("sse", query(1), **headers(sub="ann")) == 429


@pytest.mark.parametrize("way", [*WAYS, "window"])
async def test_entities_may_depend_on_a_claim(ways, tier, way):
    clients = await ways(entities="flights=2,role=admin:*=5,plan=gold:flights=4")
    outcomes = {}
    for who, claims in {
        "user": {"role": "user"},
        "nobody": {},
        "gold": {"plan": "gold"},
        "admin": {"role": ["user", "admin"]},
    }.items():
        found = []
        for entity, limit in (("flights", 2), ("flights", 4), ("flights", 5), ("users", 5)):
            asked = query(limit=limit, entity=entity)
            found.append(await clients.open(way, asked, **headers(sub=who, **claims)) == "served")
        outcomes[who] = found
    assert outcomes == {
        "user": [True, False, False, False],
        "nobody": [True, False, False, False],
        "gold": [True, True, False, False],
        "admin": [True, True, True, True],
    }


async def test_a_claim_in_a_header_is_no_claim(start_bridge, http, tier):
    tier.rows = ["a"]
    bridge = await start_bridge(entities="role=admin:*", forward_metadata="role")
    answer = await http.post(bridge.base, data=json.dumps(query()), headers={"role": "admin"})
    assert answer.status == 403
