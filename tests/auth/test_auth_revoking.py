"""A word of revocation ends streams within a second, and holds from then on."""

import asyncio
import json
import os
import time

import aiohttp
import pytest

from clients import QUERY, SseClient
from ops_support import free_port
from patience import patient, patiently
from scripted_tier import update
from tokens import bearer, token

OPERATOR = "the operators' own token"


@pytest.fixture
def operator_file(tmp_path):
    path = tmp_path / "admin.token"
    path.write_text(OPERATOR + "\n")
    return str(path)


@pytest.fixture
def start_admin(start_jwt, operator_file):
    async def start(**more):
        return await start_jwt(
            **{"admin_listen": "127.0.0.1:0", "admin_token": operator_file, **more}
        )

    return start


@pytest.fixture
def revoke(http):
    async def revoke(where, body, *, headers=None, method="POST"):
        """`where`: a bridge, or the URL of its operators' port. Returns status and `ended`."""
        url = where if isinstance(where, str) else where._admin.url
        headers = bearer(OPERATOR) if headers is None else headers
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        async with http.request(method, url + "/admin/revoke", data=data, headers=headers) as it:
            return it.status, (await it.json(content_type=None)).get("ended")

    return revoke


@pytest.fixture
def watch(http):
    """Open event streams; returns clients that have their window."""
    clients = []

    async def open_sse(bridge, text):
        base = bridge if isinstance(bridge, str) else bridge.base
        answer = await http.post(base, data=json.dumps(QUERY), headers=bearer(text))
        assert answer.status == 200, await answer.text()
        clients.append(SseClient(answer))
        await clients[-1].frames(2)
        return clients[-1]

    yield open_sse
    for client in clients:
        client.close()


async def ended(client, within=2.0):
    async with patiently(within):
        while await client.event() is not None:
            pass


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ({"sub": "alice"}, {"alice", "alice2"}),
        ({"jti": "two"}, {"alice2"}),
        ({"claims": {"tenant": "acme"}}, {"alice", "bob"}),
        ({"claims": {"tenant": "acme", "sub": "bob"}}, {"bob"}),
        ({"claims": {"roles": ["a", "b"]}}, {"bob"}),
        ({"claims": {"admin": True}}, {"carol"}),
        ({"claims": {"admin": 1}}, set()),
        ({"claims": {"exp": None}}, set()),
        ({"sub": "nobody"}, set()),
    ],
)
async def test_the_streams_of_a_subject_a_token_or_a_claim_end(
    start_admin, tier, revoke, watch, ways, word, meant
):
    bridge = await start_admin()
    tier.rows = ["a"]
    texts = {
        "alice": token(tenant="acme", jti="one"),
        "alice2": token(tenant="umbrella", jti="two"),
        "bob": token(sub="bob", tenant="acme", roles=["a", "b"]),
        "carol": token(sub="carol", admin=True, iat=None),
    }
    clients = {name: await watch(bridge, text) for name, text in texts.items()}
    assert await revoke(bridge, word) == (200, len(meant))
    for name in meant:
        await ended(clients[name])
    for name, text in texts.items():
        status = await ways.status(bridge, headers=[("Authorization", f"Bearer {text}")])
        assert status == (401 if name in meant else 200)
        assert (name in meant) == clients[name].response.content.at_eof()


async def test_a_v1_socket_is_one_stream_and_closes_with_4001(
    start_admin, tier, revoke, connect_v1, ways
):
    bridge = await start_admin()
    tier.rows = ["a"]
    client = await connect_v1(bridge, headers=bearer(token()))
    for name in ("one", "two"):
        await client.say(action="subscribe", sub=name, query=QUERY)
        await client.until("ready")
    async with ways.socket(bridge, headers=bearer(token())) as core:
        await core.send_json({"action": "subscribe", "query": QUERY})
        await core.receive()
        assert await revoke(bridge, {"sub": "alice"}) == (200, 2)
        assert await client.close_code() == 4001
        while (await core.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert core.close_code == 4001
    assert await ways.close_code(bridge, headers=bearer(token(iat=None))) == 4501


async def test_who_gets_a_newer_token_is_let_in_again(start_admin, tier, revoke, ways):
    bridge = await start_admin()
    tier.rows = ["a"]
    now = int(time.time())
    assert await revoke(bridge, {"sub": "alice"}) == (200, 0)

    async def status(**changed):
        headers = [("Authorization", f"Bearer {token(**changed)}")]
        return await ways.status(bridge, headers=headers)

    assert await status(iat=now - 5) == 401
    assert await status(iat=None) == 401
    assert await status(iat=now + 5) == 200
    assert await status(iat=now - 5, sub="bob") == 200


@pytest.mark.parametrize(
    "body",
    [
        "", "{}", "[]", "null", "nonsense", '{"sub":""}', '{"sub":7}', '{"sub":null}',
        '{"claims":{}}', '{"claims":[]}', '{"sub":"a","jti":"b"}', '{"sub":"a","x":1}',
        '{"user":"a"}', b"\xff", "[" * 10000,
        '{"sub":"a","sub":"b"}', '{"claims":{"a":1,"a":2}}', '{"claims":{"a":NaN}}',
        '{"claims":{"a":1e999}}', '{"sub":"a"}'.encode("utf-16"), '\ufeff{"sub":"a"}',
        '{"claims":{"a":' + "[" * 40 + "]" * 40 + "}}", '{"sub":"a"} {"sub":"b"}',
        '{"sub":"%s"}' % ("a" * 16 * 1024),
    ],
)  # fmt: skip
async def test_any_other_body_is_refused(start_admin, revoke, body):
    bridge = await start_admin()
    assert (await revoke(bridge, body))[0] == 400


async def test_nobody_but_operators_can_revoke(start_admin, start_jwt, revoke, http):
    bridge = await start_admin()
    word = {"sub": "alice"}
    for headers in (
        {},
        bearer("wrong"),
        bearer(""),
        bearer(OPERATOR + "x"),
        bearer(OPERATOR[:-1]),
        {"Authorization": f"Basic {OPERATOR}"},
        bearer(token()),
    ):
        assert (await revoke(bridge, word, headers=headers))[0] == 401
    assert (await revoke(bridge, word, method="PUT"))[0] == 405
    # Never on the public port, and nowhere without a token.
    assert (await revoke(bridge.url, word))[0] == 404
    silent = await start_jwt(admin_listen="127.0.0.1:0")
    assert (await revoke(silent, word))[0] == 404


async def test_a_call_on_a_revoked_credential_changes_hands_without_a_reset(
    start_admin, tier, revoke, watch
):
    bridge = await start_admin(claims_metadata="tenant=x-tenant", scope="x-tenant")
    alice, bob = token(tenant="acme"), token(tenant="acme", sub="bob")
    opening = asyncio.create_task(watch(bridge, alice))
    call = await tier.next_call()
    assert call.metadata["authorization"] == f"Bearer {alice}"
    call.start()
    call.snapshot("a")
    await opening
    staying = await watch(bridge, bob)
    assert await revoke(bridge, {"sub": "alice"}) == (200, 1)
    again = await tier.next_call()
    await asyncio.wait_for(call.over.wait(), patient(5))
    assert again.metadata["authorization"] == f"Bearer {bob}"
    again.start()
    again.snapshot("a")
    again.send(update("a", 0, version=9, stream_id="9-0"))
    assert (await staying.frame())["stream_id"] == "9-0"


async def test_a_file_of_revocations_says_it_to_all_replicas_and_outlives_them(
    start_jwt, tier, watch, ways, tmp_path
):
    tier.rows = ["a"]
    file = tmp_path / "revocations.jsonl"
    file.write_text("")
    now = int(time.time())
    bridges = [await start_jwt(revocations=str(file)) for _ in range(2)]
    alice, bob = token(iat=now - 5), token(sub="bob", iat=now - 5)
    clients = [(await watch(bridge, alice), await watch(bridge, bob)) for bridge in bridges]
    with file.open("a") as out:
        out.write('{"sub":"carol"}\nnonsense\n\n{"sub":"alice"}')
    for gone, _ in clients:
        await ended(gone, within=4)
    bridges.append(await start_jwt(revocations=str(file)))
    for bridge in bridges:
        for text, status in (
            (alice, 401),
            (bob, 200),
            (token(sub="carol", iat=None), 401),
            (token(iat=now + 60 - 35), 200),
        ):
            headers = [("Authorization", f"Bearer {text}")]
            assert await ways.status(bridge, headers=headers) == status
    for _, staying in clients:
        assert not staying.response.content.at_eof()
    # A line that is taken away is taken back; a file that is gone changes nothing.
    (tmp_path / "new").write_text(f'{{"sub":"bob","at":{now}}}\n')
    os.replace(tmp_path / "new", file)
    for _, gone in clients:
        await ended(gone, within=4)
    file.unlink()
    await asyncio.sleep(1.2)
    headers = [("Authorization", f"Bearer {alice}")]
    assert await ways.status(bridges[0], headers=headers) == 200
    headers = [("Authorization", f"Bearer {bob}")]
    assert await ways.status(bridges[0], headers=headers) == 401
    headers = [("Authorization", f"Bearer {token(sub='bob', iat=now + 1)}")]
    assert await ways.status(bridges[0], headers=headers) == 200


async def test_workers_revoke_together_and_tell_those_that_are_new(
    serve, tier, jwt_options, operator_file, revoke, http
):
    tier.rows = ["a"]
    options = [x for k, v in jwt_options.items() for x in (f"--{k.replace('_', '-')}", v)]
    port = free_port()
    program = await serve(
        *options, *("--workers", "3", "--admin-listen", f"127.0.0.1:{port}"),
        *("--admin-token", operator_file),
    )  # fmt: skip
    url = await program.listening()
    base, admin = f"{url}/api/v1/live", f"http://127.0.0.1:{port}"
    clients = []
    for n in range(24):
        headers = {**bearer(token(sub=f"user{n % 2}")), "Connection": "close"}
        answer = await http.post(base, data=json.dumps(QUERY), headers=headers)
        while answer.status == 503:  # a worker that has just started
            answer = await http.post(base, data=json.dumps(QUERY), headers=headers)
        assert answer.status == 200
        clients.append(SseClient(answer))
        await clients[-1].frames(2)
    assert await revoke(admin, {"sub": "user0"}) == (200, 12)
    for n, client in enumerate(clients):
        if n % 2 == 0:
            await ended(client)
    old = token(sub="user0", iat=None)
    for _ in range(12):
        headers = {**bearer(old), "Connection": "close"}
        async with http.post(base, data=json.dumps(QUERY), headers=headers) as answer:
            assert answer.status == 401
    for client in clients:
        client.close()
    tickets = set()
    for _ in range(6):
        headers = {**bearer(token(sub="user1")), "Connection": "close"}
        async with http.post(base + "/ticket", headers=headers) as answer:
            tickets.add((await answer.json())["ticket"])
    # Whichever worker made it, each takes it.
    for ticket in tickets:
        params = {"query": json.dumps(QUERY), "ticket": ticket}
        answer = await http.get(base, params=params, headers={"Connection": "close"})
        assert answer.status == 200
        answer.close()


class Crowd:
    """Core sockets of three subjects, spread over some bridges, and what each was sent."""

    def __init__(self, bases, texts):
        self._bases, self._texts = bases, texts
        self._tasks = []
        self._loop = asyncio.get_running_loop()
        self.ready = 0
        self.seen = {name: [] for name in texts}
        self.last = dict.fromkeys(texts, 0.0)
        self.closed = []

    async def gather(self, session, count):
        for n in range(count):
            name = list(self._texts)[n % 3]
            work = self._watch(session, name, self._bases[n // 3 % len(self._bases)])
            self._tasks.append(asyncio.create_task(work))
            while n - self.ready > 50:
                await asyncio.sleep(0.01)
        while self.ready < count:
            await asyncio.sleep(0.01)

    async def _watch(self, session, name, base):
        headers = bearer(self._texts[name])
        async with session.ws_connect(base + "/ws", headers=headers) as ws:
            await ws.send_json({"action": "subscribe", "query": QUERY})
            got = [(await ws.receive()).data]
            self.ready += 1
            self.seen[name].append(got)
            while (message := await ws.receive()).type is aiohttp.WSMsgType.TEXT:
                got.append(message.data)
                self.last[name] = self._loop.time()
            self.closed.append((name, ws.close_code))

    async def leave(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Changes:
    """A change now and then, on every call that is open at the tier; `pause`: in seconds."""

    def __init__(self, tier, pause):
        self._tier = tier
        self._pause = pause
        self._version = 1
        self._task = asyncio.create_task(self._run())

    async def _run(self):
        while True:
            self._version += 1
            for call in list(self._tier.open.values()):
                call.send(update("a", 0, version=self._version, stream_id=f"{self._version}-0"))
            await asyncio.sleep(self._pause)

    async def stop(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def revoke_crowd(bases, operators, tier, revoke, sockets, pause):
    """Revoke one of three subjects on three bridges; returns when its last frame came, in seconds."""
    texts = {name: token(sub=name, tenant="acme") for name in ("alice", "bob", "carol")}
    crowd = Crowd(bases, texts)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await crowd.gather(session, sockets)
        changes = Changes(tier, pause)
        await asyncio.sleep(2.5 * pause + 0.2)
        said = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(revoke(url, {"sub": "alice"}) for url in operators))
        assert sum(count for _, count in answers) == sockets // 3
        while len(crowd.closed) < sockets // 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.5 * pause + 0.2)
        await changes.stop()
        await asyncio.sleep(0.5 + pause)
        await crowd.leave()
    assert set(crowd.closed) == {("alice", 4001)}
    for name in ("bob", "carol"):
        whole = max(crowd.seen[name], key=len)
        for got in crowd.seen[name]:
            # Of the changes none is missing and none twice, and the bytes are the same.
            changed = [text for text in got if '"op":"update"' in text]
            assert changed == [text for text in whole if '"op":"update"' in text]
    return crowd.last["alice"] - said


MANY = {
    "max_connections_per_ip": "0",
    "max_connections": "0",
    "max_subscriptions_per_identity": "0",
    "ping_interval": "0",
}


async def test_the_last_frame_of_a_revoked_subject_comes_within_a_second_on_300_sockets(
    start_admin, tier, revoke
):
    tier.rows = ["a"]
    bridges = [await start_admin(**MANY) for _ in range(3)]
    bases, operators = [b.base for b in bridges], [b._admin.url for b in bridges]
    assert await revoke_crowd(bases, operators, tier, revoke, 300, pause=0.02) <= 1


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_the_last_frame_of_a_revoked_subject_comes_within_a_second_on_10_000_sockets(
    serve, jwt_options, operator_file, tier, revoke
):
    tier.rows = ["a"]
    bases, operators = [], []
    for _ in range(3):
        port = free_port()
        admin = {"admin_listen": f"127.0.0.1:{port}", "admin_token": operator_file}
        given = {**jwt_options, **MANY, **admin}
        options = [x for k, v in given.items() for x in (f"--{k.replace('_', '-')}", v)]
        # A process each: together they have more open files than one may.
        program = await serve(*options)
        bases.append(await program.listening() + "/api/v1/live")
        operators.append(f"http://127.0.0.1:{port}")
    assert await revoke_crowd(bases, operators, tier, revoke, 9_999, pause=2.0) <= 1
