"""Tickets: a credential for one use in a URL, bound to its origin, and struck out of every log."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from bridge.core.errors import Failed
from bridge.telemetry.logs import TextFormatter, redact
from bridge.web.auth.tickets import PREFIX, Tickets
from clients import QUERY, SseClient
from tokens import bearer, ec_key, token

JSON = {"Content-Type": "application/json"}
PAGE = {"Origin": "https://page.example"}


@pytest.fixture
def ask(http):
    async def ask(bridge, method="POST", path="/ticket", **headers):
        async with http.request(method, bridge.base + path, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else {}, answer.headers

    return ask


async def ticket_of(ask, bridge, headers):
    status, body, _ = await ask(bridge, **headers)
    assert status == 200, body
    return body["ticket"]


async def test_a_ticket_opens_one_stream_on_behalf_of_who_asked_for_it(
    start_jwt, tier, ways, ask, http
):
    bridge = await start_jwt(claims_metadata="tenant=x-tenant")
    tier.rows = None
    text = token(tenant="acme")
    status, body, headers = await ask(bridge, **bearer(text))
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    assert sorted(body) == ["expires_at", "ticket"]
    ends = datetime.strptime(body["expires_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert ends - datetime.now(UTC) <= timedelta(seconds=60)
    assert text.split(".")[1] not in body["ticket"]
    url = {"query": json.dumps(QUERY), "ticket": body["ticket"]}
    asking = asyncio.create_task(http.get(bridge.base, params=url))
    call = await tier.next_call()
    assert call.metadata["x-tenant"] == "acme"
    assert call.metadata["authorization"] == f"Bearer {text}"
    call.start()
    call.snapshot("a")
    client = SseClient(await asking)
    assert (await client.frame())["op"] == "reset"
    async with http.get(bridge.base, params=url) as again:
        assert again.status == 401
        assert (await again.json())["field"] == "ticket"
    assert await ways.close_code(bridge, target=f"?ticket={body['ticket']}") == 4501
    client.close()


@pytest.mark.parametrize("v1", [False, True])
async def test_a_ticket_opens_one_socket(start_jwt, tier, ways, ask, v1):
    bridge = await start_jwt()
    tier.rows = ["a"]
    ticket = await ticket_of(ask, bridge, bearer(token()))
    async with ways.socket(bridge, v1=v1, target=f"?ticket={ticket}") as ws:
        await ws.send_json({"action": "subscribe", "sub": "s", "query": QUERY})
        assert "reset" in (await ws.receive()).data
    async with ways.socket(bridge, v1=v1, target=f"?ticket={ticket}") as ws:
        await ws.receive()
        assert ws.close_code == 4501


@pytest.mark.parametrize("parts", [False, True], ids=["fast path", "aiohttp"])
async def test_a_ticket_is_of_the_origin_that_asked(start_jwt, tier, ways, ask, parts):
    bridge = await start_jwt(allowed_origins="https://page.example,https://other.example")
    tier.rows = ["a"]

    async def status(asked, used):
        ticket = await ticket_of(ask, bridge, {**bearer(token()), **asked})
        headers = list(used.items())
        return await ways.status(bridge, headers=headers, target=f"?ticket={ticket}", parts=parts)

    own = {"Origin": bridge.url}
    assert await status(PAGE, PAGE) == 200
    assert await status(PAGE, {"Origin": "https://other.example"}) == 401
    assert await status(PAGE, {}) == 401
    assert await status({}, PAGE) == 401
    # No Origin counts as the listener's own.
    assert await status({}, {}) == await status(own, {}) == await status({}, own) == 200


async def test_asking_needs_a_credential_and_post(start_jwt, start_bridge, ask):
    bridge = await start_jwt()
    assert (await ask(bridge))[0] == 401
    assert (await ask(bridge, **bearer(token(ec_key()))))[0] == 401
    for method in ("GET", "PUT", "DELETE"):
        status, _, headers = await ask(bridge, method, **bearer(token()))
        assert (status, headers["Allow"]) == (405, "POST")
    assert (await ask(bridge, "OPTIONS"))[0] == 204
    nobody = await start_bridge(auth="none")
    assert [(await ask(nobody, method))[0] for method in ("POST", "GET")] == [404, 404]


async def test_a_ticket_is_not_asked_for_by_a_token_in_a_url(start_jwt, ask):
    bridge = await start_jwt()
    status, body, _ = await ask(bridge, path=f"/ticket?access_token={token()}", **bearer(token()))
    assert (status, body["field"]) == (401, "access_token")


async def test_by_cookie_it_needs_json_so_that_no_form_can_ask(start_jwt, ask):
    bridge = await start_jwt(auth_cookie="__Host-session")
    cookie = {"Cookie": f"a=b; __Host-session={token()}"}
    assert (await ask(bridge, **cookie))[0] == 400
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await ask(bridge, **cookie, **form))[0] == 400
    assert (await ask(bridge, **cookie, **JSON))[0] == 200
    assert (await ask(bridge, **bearer(token()), Cookie="a=b"))[0] == 200


async def test_replicas_with_one_key_take_each_others_tickets(start_jwt, tier, ways, ask, tmp_path):
    tier.rows = ["a"]
    key = tmp_path / "ticket.key"
    key.write_text("a secret that all replicas share, of some length\n")
    one, two = [await start_jwt(ticket_key=str(key)) for _ in range(2)]
    third = await start_jwt()
    ticket = await ticket_of(ask, one, bearer(token()))
    assert await ways.status(third, target=f"?ticket={ticket}") == 401
    assert await ways.status(two, target=f"?ticket={ticket}") == 200
    assert await ways.status(two, target=f"?ticket={ticket}") == 401


async def test_in_forward_mode_it_carries_what_would_be_forwarded(start_bridge, tier, http, ask):
    bridge = await start_bridge(auth="forward", forward_metadata="authorization,x-user,traceparent")
    assert (await ask(bridge))[0] == 401
    assert (await ask(bridge, traceparent="t"))[0] == 401
    ticket = await ticket_of(ask, bridge, {"Authorization": "Custom 1", "X-User": "alice"})
    # What is sent beside the ticket is nobody's word.
    headers = {"X-User": "mallory", "Traceparent": "t2", **JSON}
    url = f"{bridge.base}?ticket={ticket}"
    asking = asyncio.create_task(http.post(url, data=json.dumps(QUERY), headers=headers))
    call = await tier.next_call()
    assert call.metadata["authorization"] == "Custom 1"
    assert call.metadata["x-user"] == "alice"
    assert call.metadata["traceparent"] == "t2"
    call.start()
    call.snapshot("a")
    (await asking).close()


async def test_authorization_beats_a_ticket_and_a_ticket_beats_a_cookie(
    start_jwt, tier, ways, ask, http
):
    bridge = await start_jwt(auth_cookie="c", claims_metadata="sub=x-user", linger="0")

    async def user(headers, ticket):
        url = f"{bridge.base}?ticket={ticket}" if ticket else bridge.base
        body = json.dumps(QUERY)
        asking = asyncio.create_task(http.post(url, data=body, headers={**headers, **JSON}))
        call = await tier.next_call()
        call.start()
        call.snapshot("a")
        (await asking).close()
        return call.metadata["x-user"]

    cookie = {"Cookie": f"c={token(sub='cookie')}"}
    header = bearer(token(sub="header"))
    ticket = await ticket_of(ask, bridge, bearer(token(sub="ticket")))
    assert await user({**cookie, **header}, ticket) == "header"
    assert await user(cookie, ticket) == "ticket"
    assert await user(cookie, "") == "cookie"
    # The first one found counts, even where a later one would do.
    bad = [("Authorization", "Bearer x"), ("Cookie", cookie["Cookie"])]
    assert await ways.status(bridge, headers=bad) == 401


@pytest.mark.parametrize(
    ("cookie", "status"),
    [
        ("__Host-s=TOKEN", 200),
        ("a=b; __Host-s=TOKEN; c=d", 200),
        ("a=b;__Host-s=TOKEN;", 200),
        ("__host-s=TOKEN", 401),
        ("Host-s=TOKEN", 401),
        ("=__Host-s=TOKEN", 401),
        ("a=__Host-s=TOKEN", 401),
        ("x __Host-s=TOKEN", 401),
        ("\x0b__Host-s=TOKEN", 400),
        ("\xa0__Host-s=TOKEN", 401),
        ("__Host-s =TOKEN", 401),
        ('__Host-s="TOKEN"', 401),
        ("$Version=1; __Host-s=TOKEN", 200),
        ("__Host-s=TOKEN; __Host-s=TOKEN", 400),
        ("__Host-s=", 401),
        ("__Host-s", 401),
    ],
)
async def test_a_cookies_name_counts_exactly(start_jwt, tier, ways, cookie, status):
    tier.rows = ["a"]
    bridge = await start_jwt(auth_cookie="__Host-s")
    headers = [("Cookie", cookie.replace("TOKEN", token()))]
    assert await ways.status(bridge, headers=headers) == status


async def test_a_ticket_that_is_late_altered_or_of_another_key_is_refused():
    now = 1000.0
    tickets = Tickets(b"k" * 32, lambda: now)
    ticket, ends = tickets.issue("t", [("x-user", "alice")], None)
    assert ticket.startswith(PREFIX)
    assert "alice" not in ticket
    for at in range(len(PREFIX), len(ticket), 7):
        for other in "AB":
            if ticket[at] != other:
                with pytest.raises(Failed):
                    tickets.redeem(ticket[:at] + other + ticket[at + 1 :], None)
    for wrong in ("", PREFIX, "x", ticket[:-1], ticket + "A", ticket + "=", "\u00fc", "a" * 20000):
        with pytest.raises(Failed):
            tickets.redeem(wrong, None)
    with pytest.raises(Failed):
        Tickets(b"j" * 32, lambda: now).redeem(ticket, None)
    assert ends - now <= 60
    now = ends
    with pytest.raises(Failed, match="too old"):
        tickets.redeem(ticket, None)
    now = ends - 1
    assert tickets.redeem(ticket, None).token == "t"
    with pytest.raises(Failed, match="before"):
        tickets.redeem(ticket, None)


def test_no_log_line_holds_a_ticket_or_a_token(caplog):
    ticket, _ = Tickets(b"k" * 32, lambda: 1.0).issue("t", [], None)
    jwt = token()
    formatter = TextFormatter()
    for text in (
        f"GET /api/v1/live?ticket={ticket}&a=b",
        f"GET /live?q=1&ticket%3D{ticket}",
        f"a ticket {ticket} alone",
        f'{{"ticket":"{ticket}"}}',
        f"a token {jwt} alone",
        f"Cookie: __Host-s={jwt}; a=b",
        f"Authorization: Bearer {jwt}",
        f'{{"action":"authenticate","token":"{jwt}"}}',
    ):
        record = logging.LogRecord("x", logging.INFO, "", 0, text, None, None)
        for line in (redact(text), formatter.format(record)):
            assert ticket not in line
            assert jwt.split(".")[1] not in line
            assert jwt.split(".")[2] not in line
