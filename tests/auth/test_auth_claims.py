"""What the tier is told is the token's word, and exactly that limits sharing."""

import asyncio
import json

import pytest

from clients import QUERY
from tokens import bearer, token


@pytest.fixture
def asked(tier, http):
    """Ask for a stream; returns the metadata of the call, None where it was shared, or a status."""
    open_answers = []

    async def ask(bridge, headers):
        asking = asyncio.create_task(
            http.post(bridge.base, data=json.dumps(QUERY), headers=headers)
        )
        calling = asyncio.create_task(tier.next_call())
        await asyncio.wait((asking, calling), return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            calling.cancel()
            answer = asking.result()
            open_answers.append(answer)
            return answer.status if answer.status != 200 else None
        call = calling.result()
        call.start()
        call.snapshot("a")
        open_answers.append(await asking)
        return call.metadata

    yield ask
    for answer in open_answers:
        answer.close()


async def test_claims_travel_under_their_names_and_overwrite_what_a_client_sent(start_jwt, asked):
    bridge = await start_jwt(
        claims_metadata="tenant=x-tenant,sub=x-user,roles=x-roles,admin=x-admin,level=x-level",
        forward_metadata="x-tenant,x-user,x-other",
    )
    text = token(tenant="acme", roles=["a", "b"], admin=True, level=7)
    headers = [
        ("Authorization", f"Bearer {text}"),
        ("X-Tenant", "umbrella"),
        ("x-tenant", "evil"),
        ("X-User", "mallory"),
        ("X-Admin", "yes"),
        ("X-Other", "kept"),
    ]
    metadata = await asked(bridge, headers)
    assert metadata["x-tenant"] == "acme"
    assert metadata["x-user"] == "alice"
    assert metadata["x-roles"] == '["a","b"]'
    assert metadata["x-admin"] == "true"
    assert metadata["x-level"] == "7"
    assert metadata["x-other"] == "kept"
    assert "authorization" not in metadata


async def test_what_a_client_sends_under_a_mapped_name_is_dropped_also_without_the_claim(
    start_jwt, asked
):
    bridge = await start_jwt(
        claims_metadata="tenant=x-tenant", forward_metadata="authorization,x-tenant"
    )
    for tenant in (None, ""):
        headers = {**bearer(token(tenant=tenant)), "X-Tenant": "umbrella"}
        metadata = await asked(bridge, headers)
        assert metadata is None or "x-tenant" not in metadata


@pytest.mark.parametrize(
    "tenant", [None, "", "a\r\nx-admin: 1", "z\u00fcrich", " acme", "acme ", "a" * 5000]
)
async def test_a_token_without_a_claim_that_the_scope_needs_is_refused(
    start_jwt, tier, asked, tenant
):
    bridge = await start_jwt(claims_metadata="tenant=x-tenant", scope="x-tenant")
    # A huge one is malformed as a header already.
    assert await asked(bridge, bearer(token(tenant=tenant))) in (401, 400)
    assert tier.opened == 0


async def test_a_claim_that_metadata_can_not_carry_unchanged_is_refused_not_altered(
    start_jwt, tier, asked
):
    bridge = await start_jwt(claims_metadata="tenant=x-tenant")
    for tenant in ("a\r\nx: 1", "z\u00fcrich", " acme", "acme\t", "a\0"):
        assert await asked(bridge, bearer(token(tenant=tenant))) == 401
    assert tier.opened == 0


async def test_the_scope_is_exactly_what_travels(start_jwt, tier, asked):
    bridge = await start_jwt(claims_metadata="tenant=x-tenant", forward_metadata="traceparent")
    assert (await asked(bridge, bearer(token(tenant="acme"))))["x-tenant"] == "acme"
    # Other people of the tenant share: the tier can't tell them apart.
    same = {**bearer(token(tenant="acme", sub="bob")), "Traceparent": "t"}
    assert await asked(bridge, same) is None
    assert (await asked(bridge, bearer(token(tenant="umbrella"))))["x-tenant"] == "umbrella"
    assert "x-tenant" not in await asked(bridge, bearer(token()))
    assert tier.opened == 3


async def test_a_token_that_travels_counts_as_its_lasting_claims(start_jwt, tier, asked):
    bridge = await start_jwt()
    await asked(bridge, bearer(token(role="a")))
    assert await asked(bridge, bearer(token(role="a", jti="2", iat=1, nbf=2))) is None
    for changed in ({"role": "b"}, {"role": ["a"]}, {"sub": "bob", "role": "a"}, {}):
        assert await asked(bridge, bearer(token(**changed))) is not None
    assert tier.opened == 5


async def test_the_scope_may_be_narrowed_to_a_claim_beside_a_token_that_travels(
    start_jwt, tier, asked
):
    bridge = await start_jwt(claims_metadata="tenant=x-tenant", scope="x-tenant")
    await asked(bridge, bearer(token(tenant="acme")))
    assert await asked(bridge, bearer(token(tenant="acme", sub="bob"))) is None
    assert await asked(bridge, bearer(token(tenant="umbrella"))) is not None


async def test_claims_named_by_urls_travel_too(start_jwt, asked):
    bridge = await start_jwt(claims_metadata="https://app.example/tenant=x-tenant")
    metadata = await asked(bridge, bearer(token(**{"https://app.example/tenant": "acme"})))
    assert metadata["x-tenant"] == "acme"


async def test_a_windows_reading_is_of_the_same_scope(start_jwt, tier, http):
    bridge = await start_jwt()
    tier.rows = ["a"]
    async with http.post(bridge.base + "/window", data=json.dumps(QUERY)) as answer:
        assert answer.status == 401
    assert tier.opened == 0
    for _ in range(2):
        headers = bearer(token(jti="x"))
        async with http.post(
            bridge.base + "/window", data=json.dumps(QUERY), headers=headers
        ) as answer:
            assert answer.status == 200
    assert tier.opened == 1
    async with http.get(bridge.base + "/schema") as answer:
        assert answer.status == 401
