"""No credential is in the log, at any level, whatever goes wrong."""

import json

import pytest

from clients import QUERY
from tokens import bearer, ec_key, token


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_no_credential_is_logged_at_any_level(
    serve, tier, jwt_options, http, tmp_path, log_format
):
    tier.rows = ["a"]
    operator, key = tmp_path / "admin.token", tmp_path / "ticket.key"
    operator.write_text("the operators' own word")
    key.write_text("the secret that seals all of the tickets")
    given = {
        **jwt_options, "auth_cookie": "session", "ticket_key": str(key), "log_level": "debug",
        "log_format": log_format, "admin_listen": "127.0.0.1:0", "admin_token": str(operator),
    }  # fmt: skip
    options = [x for k, v in given.items() for x in (f"--{k.replace('_', '-')}", v)]
    program = await serve(*options)
    base = (await program.listening()) + "/api/v1/live"
    good = [token(jti=str(n), sub=f"user-{n}") for n in range(4)]
    bad = [token(ec_key()), token(exp=1), token(aud="other"), "nonsense-" + "x" * 40]
    body = json.dumps(QUERY)
    tickets = []
    for text in (*good, *bad):
        async with http.post(base + "/ticket", headers=bearer(text)) as answer:
            tickets.append((await answer.json()).get("ticket"))
        for headers in (bearer(text), {"Cookie": f"session={text}"}):
            answer = await http.post(base, data=body, headers=headers)
            answer.close()
        async with http.post(f"{base}?access_token={text}", data=body) as answer:
            assert answer.status == 401
        async with http.ws_connect(base + "/ws", protocols=("livequery.v1",)) as ws:
            await ws.send_json({"action": "authenticate", "token": text})
            await ws.receive()
            if not ws.closed:
                await ws.send_json({"action": "authenticate", "token": text + "x"})
                await ws.receive()
    tickets = [ticket for ticket in tickets if ticket]
    assert len(tickets) == len(good)
    for ticket in (*tickets, *tickets, "lqt_" + "A" * 80):
        answer = await http.get(base, params={"query": body, "ticket": ticket})
        answer.close()
        async with http.get(f"{base}/nowhere?ticket={ticket}") as answer:
            assert answer.status == 404
    await program.stop()
    said = "\n".join(program.err)
    assert "refused" in said
    secrets = [*tickets, operator.read_text(), key.read_text()]
    for text in (*good, *bad):
        secrets += text.split(".")[1:] if "." in text else [text]
    assert [secret for secret in secrets if secret in said] == []
