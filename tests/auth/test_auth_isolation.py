"""Three tenants, one query, sharing on: whatever their clients do, nothing crosses."""

import asyncio
import itertools
import json
import random
import re

import aiohttp
import pytest

from clients import QUERY, SseClient
from scripted_tier import ScriptedTier, enter, reset, update
from tokens import bearer, token

TENANTS = ("acme", "umbrella", "initech")
IDS = ("a", "b", "c")


class TenantTier(ScriptedTier):
    """Every row names the tenant that the call is for; a change comes all the time."""

    def __init__(self):
        super().__init__()
        self.calls = self
        self._answering = set()
        self._versions = itertools.count(2)

    def put_nowait(self, call):
        """Answer a new call, which nobody else waits for."""
        task = asyncio.create_task(self._answer(call))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, call):
        row = json.dumps({"tenant": call.metadata["x-tenant"]}).encode()
        call.start()
        rows = [enter(id_, at, row=row) for at, id_ in enumerate(IDS)]
        call.send(reset(), *rows, complete=True)
        while not call.over.is_set():
            await asyncio.sleep(0.003)
            version = next(self._versions)
            at = version % len(IDS)
            call.send(update(IDS[at], at, version=version, row=row, stream_id=f"{version}-0"))


class Crowd:
    """Clients of all tenants. Positions and ids of one are offered by the others, too."""

    def __init__(self, bridge, http, seed):
        self._bridge, self._http = bridge, http
        self._random = random.Random(seed)
        self._ids = [""]
        self._positions = [""]
        self._numbers = itertools.count()
        self.frames = 0
        self.kinds = dict.fromkeys(("core", "v1", "socket", "window", "refused"), 0)

    def _token(self, tenant):
        number = next(self._numbers)
        return token(tenant=tenant, sub=f"user{number % 7}", jti=str(number), iat=None)

    def _see(self, tenant, text):
        """Check what a client was sent, and remember its positions for everybody."""
        others = [other for other in TENANTS if other != tenant and other in text]
        assert not others, (tenant, text)
        self.frames += text.count('"op":')
        self._positions += re.findall(r'"pos":"([^"]+)"', text)
        self._ids += re.findall(r'"stream_id":"([^"]+)"', text)
        del self._positions[:-200], self._ids[:-200]

    async def _credential(self, tenant):
        """Return headers and parameters: by header, or by a ticket."""
        if self._random.random() < 0.5:
            return bearer(self._token(tenant)), {}
        url = self._bridge.base + "/ticket"
        async with self._http.post(url, headers=bearer(self._token(tenant))) as answer:
            return {}, {"ticket": (await answer.json())["ticket"]}

    async def run(self, tenant, until):
        while self.frames < until:
            kind = self._random.choice((self._stream, self._stream, self._socket, self._window))
            await kind(tenant)

    async def _stream(self, tenant):
        v1 = self._random.random() < 0.5
        headers, parameters = await self._credential(tenant)
        parameters["query"] = json.dumps(QUERY)
        if v1:
            parameters["v"] = "1"
        headers["Last-Event-ID"] = self._random.choice(self._positions if v1 else self._ids)
        answer = await self._http.get(self._bridge.base, params=parameters, headers=headers)
        assert answer.status == 200
        client = SseClient(answer)
        for _ in range(self._random.randrange(5, 60)):
            event = await client.event()
            self._see(tenant, event["data"] or "")
            if event["id"] and v1:
                self._positions.append(event["id"])
        client.close()
        self.kinds["v1" if v1 else "core"] += 1

    async def _socket(self, tenant):
        url = self._bridge.base + "/ws"
        async with self._http.ws_connect(url, protocols=("livequery.v1",)) as ws:
            await ws.send_json({"action": "authenticate", "token": self._token(tenant)})
            known = [[id_, self._random.randrange(1, 50)] for id_ in IDS]
            for sub in ("one", "two"):
                resume = self._random.choice(self._positions)
                message = {"action": "subscribe", "sub": sub, "query": QUERY, "resume": resume}
                if self._random.random() < 0.5:
                    message["known"] = known
                await ws.send_json(message)
            for _ in range(self._random.randrange(5, 40)):
                message = await ws.receive()
                self._see(tenant, message.data)
                if self._random.random() < 0.1:
                    # The same tenant's other people may take over the socket.
                    again = self._token(tenant)
                    await ws.send_json({"action": "authenticate", "token": again})
            if self._random.random() < 0.3:
                other = self._random.choice([name for name in TENANTS if name != tenant])
                await ws.send_json({"action": "authenticate", "token": self._token(other)})
                while (message := await ws.receive()).type is aiohttp.WSMsgType.TEXT:
                    self._see(tenant, message.data)
                assert ws.close_code == 4001
                self.kinds["refused"] += 1
        self.kinds["socket"] += 1

    async def _window(self, tenant):
        headers, parameters = await self._credential(tenant)
        parameters["query"] = json.dumps(QUERY)
        if self._random.random() < 0.5:
            parameters["since"] = self._random.choice(self._positions)
        url = self._bridge.base + "/window"
        async with self._http.get(url, params=parameters, headers=headers) as answer:
            assert answer.status in (200, 304)
            self._see(tenant, await answer.text())
        self.kinds["window"] += 1


@pytest.fixture
async def tier():
    tier = await TenantTier().start()
    yield tier
    await tier.stop()


async def mix(start_jwt, http, tier, frames):
    bridge = await start_jwt(
        claims_metadata="tenant=x-tenant",
        scope="x-tenant",
        max_connections_per_ip="0",
        linger="100ms",
    )
    crowd = Crowd(bridge, http, seed=7)
    async with asyncio.TaskGroup() as group:
        for tenant in TENANTS:
            for _ in range(4):
                group.create_task(crowd.run(tenant, frames))
    assert crowd.frames >= frames
    assert min(crowd.kinds.values()) > 0, crowd.kinds
    # Sharing was on: a call served many.
    assert tier.opened < sum(crowd.kinds.values()) / 2, (tier.opened, crowd.kinds)


async def test_none_of_ten_thousand_frames_crosses_three_tenants(start_jwt, http, tier):
    await mix(start_jwt, http, tier, 10_000)


@pytest.mark.soak
@pytest.mark.timeout(3000)
async def test_none_of_a_million_mixed_frames_crosses_three_tenants(start_jwt, http, tier):
    await mix(start_jwt, http, tier, 1_000_000)
