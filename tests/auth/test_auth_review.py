"""What a hostile review of the front door tried, beside the attacks by token (SECURITY.md)."""

import asyncio
import json
import time

import pytest

from clients import QUERY
from livequery.v1 import livequery_pb2 as pb
from ops_support import free_port
from raw_client import exchange
from tokens import bearer, token

OPERATOR = "the operators' own token"
TWO_WAYS = pytest.mark.parametrize("way", ["plain", "aiohttp"])


@pytest.fixture
def operator_file(tmp_path):
    path = tmp_path / "admin.token"
    path.write_text(OPERATOR)
    return str(path)


@pytest.fixture
def start_admin(start_jwt, operator_file):
    async def start(**more):
        options = {"admin_listen": "127.0.0.1:0", "admin_token": operator_file}
        return await start_jwt(**{**options, **more})

    return start


@pytest.fixture
def revoke(http):
    async def revoke(bridge, **headers):
        url, headers = bridge._admin.url + "/admin/revoke", bearer(OPERATOR) | headers
        async with http.post(url, data='{"sub":"alice"}', headers=headers) as answer:
            return answer.status, answer.headers

    return revoke


# ------------------------------------------------------------------ names of claims


SPELLINGS = {
    "another case": ("X-TENANT: evil", True),
    "twice": ("x-tenant: evil\r\nX-tenant: worse", True),
    "an underscore": ("X_Tenant: evil", True),
    "a connection's own": ("Connection: X-Tenant\r\nX-Tenant: evil", True),
    "as bytes": ("X-Tenant-Bin: ZXZpbA==", True),
    "too long for a claim": ("X-Tenant: " + "e" * 7000, True),
    "white space before the colon": ("X-Tenant : evil", False),
    "folded": ("X-Other: a\r\n X-Tenant: evil", False),
    "folded by a tab": ("X-Other: a\r\n\tX-Tenant: evil", False),
    "behind a bare CR": ("X-Other: a\rX-Tenant: evil", False),
    "behind a bare LF": ("X-Other: a\nX-Tenant: evil", False),
    "with a NUL": ("X-Tenant\x00: evil", False),
}


@TWO_WAYS
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_mapped_name_is_the_tokens_however_a_client_spells_it(
    start_jwt, tier, spelling, way
):
    lines, served = SPELLINGS[spelling]
    bridge = await start_jwt(
        claims_metadata="tenant=x-tenant", forward_metadata="x-tenant,x-other,x_tenant"
    )
    body = json.dumps(QUERY)
    text = (
        f"POST /api/v1/live HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
        f"Authorization: Bearer {token(tenant='acme')}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    asking = asyncio.create_task(exchange(bridge, text, cut=0 if way == "plain" else 30))
    if not served:
        head, _ = await asking
        assert head.startswith(b"HTTP/1.1 400 ")
        assert not tier.open
        return
    call = await tier.next_call()
    call.start()
    assert (await asking)[0].startswith(b"HTTP/1.1 200 ")
    assert call.metadata["x-tenant"] == "acme"
    assert "x-tenant-bin" not in call.metadata


async def test_trailers_of_a_body_set_nothing(start_jwt, tier):
    bridge = await start_jwt(claims_metadata="tenant=x-tenant", forward_metadata="x-other")
    body = json.dumps(QUERY)
    text = (
        f"POST /api/v1/live HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {token(tenant='acme')}\r\nTransfer-Encoding: chunked\r\n"
        f"Trailer: X-Tenant\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n"
        "X-Tenant: evil\r\nX-Other: evil\r\nAuthorization: Bearer x\r\n\r\n"
    ).encode()
    asking = asyncio.create_task(exchange(bridge, text))
    call = await tier.next_call()
    call.start()
    await asking
    assert call.metadata["x-tenant"] == "acme"
    assert "x-other" not in call.metadata


# ------------------------------------------------------------------ rights that change in place


@pytest.mark.parametrize("roles", [["viewer"], [], ["admin", "viewer"]])
async def test_a_token_with_other_rights_does_not_keep_what_the_old_one_opened(
    start_jwt, tier, connect_v1, roles
):
    """The claim does not travel, so the scope is the same."""
    bridge = await start_jwt(
        claims_metadata="sub=x-user", forward_metadata="", entities="roles=admin:flights=10"
    )
    tier.rows = ["a"]
    client = await connect_v1(bridge, headers=bearer(token(roles=["admin"])))
    await client.say(action="subscribe", sub="s", query=QUERY)
    await client.until("ready")
    await client.say(action="authenticate", token=token(roles=["admin"], jti="2"))
    await client.until("authenticated")
    await client.say(action="authenticate", token=token(roles=roles))
    assert await client.close_code() == 4001


# ------------------------------------------------------------------ races of a revocation


@pytest.mark.parametrize("started", [False, True])
async def test_a_window_that_is_being_opened_is_not_shown_to_who_was_revoked(
    start_admin, tier, http, revoke, started
):
    bridge = await start_admin()
    query = {"query": json.dumps(QUERY)}
    text = token(iat=int(time.time()) - 5)
    url = bridge.base + "/window"
    asking = asyncio.create_task(http.get(url, params=query, headers=bearer(text)))
    call = await tier.next_call()
    if started:
        call.start()
    assert (await revoke(bridge))[0] == 200
    async with asyncio.timeout(2), await asking as answer:
        assert answer.status == 401
    if tier.open:
        call.snapshot("a")


async def test_a_schema_that_is_being_asked_for_is_not_told_to_who_was_revoked(
    start_admin, tier, http, revoke
):
    bridge = await start_admin()
    asked, told = asyncio.Event(), asyncio.Event()

    async def describe():
        asked.set()
        await told.wait()
        return pb.DescribeResponse()

    tier.described = describe
    headers = bearer(token(iat=int(time.time()) - 5))
    asking = asyncio.create_task(http.get(bridge.base + "/schema", headers=headers))
    await asked.wait()
    assert (await revoke(bridge))[0] == 200
    told.set()
    async with asyncio.timeout(5), await asking as answer:
        assert answer.status == 401


@TWO_WAYS
async def test_a_stream_that_is_being_opened_is_not_begun_for_who_was_revoked(
    start_admin, tier, ways, revoke, way
):
    bridge = await start_admin()
    headers = [("Authorization", f"Bearer {token(iat=int(time.time()) - 5)}")]
    asking = asyncio.create_task(ways.status(bridge, headers=headers, parts=way == "aiohttp"))
    await tier.next_call()
    assert (await revoke(bridge))[0] == 200
    async with asyncio.timeout(2):
        assert await asking == 401


async def test_a_ticket_asked_for_before_a_revocation_is_refused_after_it(
    start_admin, tier, ways, http, revoke
):
    bridge = await start_admin()
    headers = bearer(token(iat=int(time.time()) - 5))
    async with http.post(bridge.base + "/ticket", headers=headers) as answer:
        ticket = (await answer.json())["ticket"]
    assert (await revoke(bridge))[0] == 200
    assert await ways.status(bridge, target=f"?ticket={ticket}") == 401
    assert not tier.open


async def test_of_many_who_use_one_ticket_at_once_one_is_served(start_jwt, tier, ways, http):
    bridge = await start_jwt(max_connections_per_ip="0")
    tier.rows = ["a"]
    async with http.post(bridge.base + "/ticket", headers=bearer(token())) as answer:
        ticket = (await answer.json())["ticket"]
    for method in ("HEAD", "OPTIONS", "PUT"):
        async with http.request(method, bridge.base, params={"ticket": ticket}) as answer:
            assert answer.status in (204, 405)
    uses = [ways.status(bridge, target=f"?ticket={ticket}", parts=i % 2) for i in range(20)]
    assert sorted(await asyncio.gather(*uses)) == [200] + [401] * 19


# ------------------------------------------------------------------ one scope's names in another


async def test_an_entity_tag_of_another_tenant_answers_nothing(start_jwt, tier, http):
    bridge = await start_jwt(claims_metadata="tenant=x-tenant", forward_metadata="")
    tier.rows = ["a"]
    url, query = bridge.base + "/window", {"query": json.dumps(QUERY)}
    async with http.get(url, params=query, headers=bearer(token(tenant="acme"))) as answer:
        tag = answer.headers["ETag"]
        position = tag.strip('"')
    other = bearer(token(tenant="umbrella"))
    async with http.get(url, params=query, headers=other | {"If-None-Match": tag}) as answer:
        assert (answer.status, answer.headers["ETag"] != tag) == (200, True)
    async with http.get(url, params=query | {"since": position}, headers=other) as answer:
        assert (await answer.json())["resumed"] == "snapshot"
    async with http.get(url, params=query, headers={"If-None-Match": tag}) as answer:
        assert answer.status == 401


# ------------------------------------------------------------------ operators


async def test_no_page_of_another_origin_commands_even_one_that_is_listed(
    start_admin, revoke, http
):
    """A browser adds a password that it remembers, and a POST of plain text needs no preflight."""
    bridge = await start_admin(allowed_origins="https://page.example")
    for origin in ("https://page.example", "https://evil.example", "null"):
        status, headers = await revoke(bridge, Origin=origin)
        assert status == 403
        assert "Access-Control-Allow-Origin" not in headers
    status, _ = await revoke(bridge, Origin=bridge._admin.url)
    assert status == 200


async def test_operators_paths_are_not_on_the_public_port(start_admin, http):
    bridge = await start_admin()
    for path in (
        "/metrics",
        "/admin/revoke",
        "/admin/subscriptions",
        "/admin/viewers",
        "/inspector/x",
    ):
        for more in ("", "/", "?x", "%20"):
            async with http.get(bridge.url + path + more, headers=bearer(OPERATOR)) as answer:
                assert answer.status == 404
    for path in ("/api/v1/live/../../../metrics", "/%6detrics", "//metrics", "/./metrics"):
        head, _ = await exchange(
            bridge, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), until_closed=False
        )
        assert head.startswith(b"HTTP/1.1 404 ")


# ------------------------------------------------------------------ what is told


async def test_metrics_name_nothing_that_a_client_made_up(start_jwt, tier, http, ways):
    bridge = await start_jwt(claims_metadata="tenant=x-tenant", max_connections_per_ip="0")
    tier.rows = ["a"]
    mark = "made-up"
    for headers in (
        [("Authorization", f"Bearer {mark}")],
        [("Authorization", f"Bearer {token(tenant=mark, sub=mark)}")],
        [("Authorization", f"{mark} x")],
        [("X-Request-Id", mark), ("Origin", f"https://{mark}")],
    ):
        await ways.status(bridge, headers=headers)
    body = json.dumps(QUERY | {"entity": mark})
    (await http.post(bridge.base, data=body, headers=bearer(token()))).close()
    async with http.get(bridge.url + "/metrics") as answer:
        assert mark not in await answer.text()


@pytest.mark.timeout(120)
async def test_no_library_logs_a_secret_at_any_level(run, tier, keys_file, operator_file, http):
    """Also asyncio's own debug mode, which prints what callbacks are called with."""
    tier.rows = ["a"]
    admin = free_port()
    program = await run(
        *("serve", "--upstream", tier.address, "--listen", "127.0.0.1:0", "--auth", "jwt"),
        *("--jwt-keys", str(keys_file), "--jwt-issuer", "https://issuer.example/"),
        *("--jwt-audience", "livequery", "--auth-cookie", "session", "--log-level", "debug"),
        *("--admin-listen", f"127.0.0.1:{admin}", "--admin-token", operator_file),
        environ={"PYTHONASYNCIODEBUG": "1", "PYTHONDEVMODE": "1", "GRPC_TRACE": "all"},
    )
    url = await program.listening()
    base = url + "/api/v1/live"
    good, bad = token(), token(aud="another")
    secrets = [part for text in (good, bad) for part in text.split(".")[1:]] + [OPERATOR]
    for text in (good, bad):
        async with http.post(base + "/ticket", headers=bearer(text)) as answer:
            if answer.status == 200:
                secrets.append((await answer.json())["ticket"])
        for headers in (bearer(text), {"Cookie": f"session={text}"}):
            (await http.post(base, json=QUERY, headers=headers)).close()
        async with http.ws_connect(base + "/ws", protocols=("livequery.v1",)) as ws:
            await ws.send_json({"action": "authenticate", "token": text})
            await ws.send_json({"action": "authenticate", "token": text, "sub": text})
            await ws.receive()
        for target in (f"?token={text}", f"?query={text}", f"/{text}", f"?ticket={text}"):
            (await http.get(base + target)).close()
    (await http.get(base, params={"query": json.dumps(QUERY), "ticket": secrets[-1]})).close()
    for headers in (bearer(OPERATOR), bearer(OPERATOR + "x"), {"Authorization": OPERATOR}):
        where = f"http://127.0.0.1:{admin}/admin/revoke"
        (await http.post(where, data='{"sub":"alice"}', headers=headers)).close()
    await program.stop()
    text = "\n".join(program.err)
    assert "bridge.streams" in text, "it was logged at debug"
    for secret in secrets:
        assert secret not in text
