"""The other modes, a stream that is being opened, and a bridge in another application."""

import asyncio
import json

from aiohttp import web

from bridge.embed import BRIDGE, mount
from clients import QUERY
from tokens import AUDIENCE, ISSUER, bearer, ec_key, token


async def test_with_none_everybody_is_served_and_no_credential_is_read(start_bridge, tier, ways):
    bridge = await start_bridge(auth="none")
    tier.rows = ["a"]
    assert await ways.status(bridge) == 200
    assert await ways.status(bridge, target="?ticket=nonsense") == 200
    assert await ways.status(bridge, target="?access_token=nonsense") == 200
    async with ways.socket(bridge, v1=True) as ws:
        await ws.send_json({"action": "authenticate", "token": "whatever"})
        assert json.loads((await ws.receive()).data) == {"type": "authenticated"}


async def test_with_forward_a_cookie_and_authenticate_go_as_authorization(
    start_bridge, tier, http, connect_v1
):
    bridge = await start_bridge(auth="forward", auth_cookie="session")
    asking = asyncio.create_task(
        http.post(bridge.base, data=json.dumps(QUERY), headers={
            "Cookie": "session=one", "Content-Type": "application/json",
        })
    )  # fmt: skip
    call = await tier.next_call()
    assert call.metadata["authorization"] == "Bearer one"
    call.start()
    call.snapshot("a")
    (await asking).close()
    client = await connect_v1(bridge, headers={"Cookie": "session=two"})
    await client.say(action="subscribe", sub="s", query=QUERY)
    assert (await tier.next_call()).metadata["authorization"] == "Bearer two"


async def test_a_stream_that_is_being_opened_is_refused_when_its_credential_is_revoked(
    start_jwt, tier, http, tmp_path
):
    bridge = await start_jwt()
    asking = asyncio.create_task(
        http.post(bridge.base, data=json.dumps(QUERY), headers=bearer(token()))
    )
    call = await tier.next_call()
    from bridge.web.auth.revocations import parse_revocation

    assert await bridge._revoking.revoke(parse_revocation('{"sub":"alice"}')) == 1
    async with asyncio.timeout(5):
        answer = await asking
    assert answer.status == 401
    async with asyncio.timeout(5):
        await call.over.wait()


async def test_a_mounted_bridge_judges_tokens_too(tier, http, keys_file):
    tier.rows = ["a"]
    app = web.Application()
    mounted = mount(
        app, "/live", upstream=tier.address, auth="jwt", jwt_keys=str(keys_file),
        jwt_issuer=ISSUER, jwt_audience=AUDIENCE, linger="0",
    )  # fmt: skip
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    base = f"http://{host}:{port}/live"
    try:
        assert mounted[BRIDGE] is not None
        for headers, status in (({}, 401), (bearer(token(ec_key())), 401), (bearer(token()), 200)):
            answer = await http.post(base, data=json.dumps(QUERY), headers=headers)
            assert answer.status == status
            answer.close()
        async with http.post(base + "/ticket", headers=bearer(token())) as answer:
            ticket = (await answer.json())["ticket"]
        for code in (None, 4501):
            async with http.ws_connect(f"{base}/ws?ticket={ticket}") as ws:
                await ws.send_json({"action": "subscribe", "query": QUERY})
                message = await ws.receive()
                assert ws.close_code == code, message
    finally:
        await runner.cleanup()
