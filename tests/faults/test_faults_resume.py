"""A connection that is cut under a tier that keeps what it sent: clients see what they missed."""

import asyncio
import json

import pytest
from faults_support import KINDS, Relay, answering, join_all, query, running

from clients import SseClient
from livequery.v1 import livequery_pb2 as pb
from ops_support import samples
from patience import patiently
from scripted_tier import enter, leave, update

CUTS = 7


@pytest.fixture
async def relay(tier):
    relay = await Relay().start(tier.port)
    yield relay
    await relay.stop()


async def test_a_cut_costs_clients_nothing_but_what_they_missed(tier, relay, start_bridge, join):
    bridge = await start_bridge(upstream=relay.address)
    joining = asyncio.create_task(join_all(join, bridge.url, query()))
    call = await tier.next_call()
    call.start(route=b"here")
    call.snapshot("a", "b", "c")
    clients = await joining
    call.send(update("a", 0, stream_id="1-0"))
    for client in clients:
        await client.until(lambda c: c.frames[-1]["op"] == "update")

    relay.cut()
    again = await tier.next_call()
    assert again.request.resume == pb.ResumePosition(
        subscription_id=call.id, epoch=1, seq=5, stream_id="1-0", route=b"here"
    )
    assert again.request.query == call.request.query
    again.resume()
    again.send(leave("b", 1, stream_id="2-0"), enter("d", 2, stream_id="2-0"))
    again.send(update("d", 2, stream_id="3-0"))
    for client in clients:
        await client.until(lambda c: c.frames[-1].get("stream_id") == "3-0")
        assert [(f["op"], f["agg_id"], f["stream_id"]) for f in client.frames[5:]] == [
            ("leave", "b", "2-0"),
            ("enter", "d", "2-0"),
            ("update", "d", "3-0"),
        ]
        assert client.by_index.rows == client.by_id.rows == [("a", 2), ("c", 1), ("d", 2)]
        assert not client.closed.done()
        told = [notice["type"] for notice in client.notices]
        assert told == (["ready"] if client.v1 else []), "healed within a second: not told"


async def test_ids_and_positions_from_before_a_cut_are_good_after_it(
    tier, relay, start_bridge, join, http
):
    bridge = await start_bridge(upstream=relay.address, linger="5s")
    joining = asyncio.create_task(join_all(join, bridge.url, query()))
    call = await tier.next_call()
    call.start()
    call.snapshot("a", "b", "c")
    clients = await joining
    call.send(update("a", 0, stream_id="1-0"))
    for client in clients:
        await client.until(lambda c: c.frames[-1]["op"] == "update")
    relay.cut()
    again = await tier.next_call()
    again.resume()
    again.send(update("b", 1, stream_id="2-0"))
    for client in clients:
        await client.until(lambda c: c.frames[-1].get("stream_id") == "2-0")
    headers = {"Last-Event-ID": "1-0"}
    response = await http.post(bridge.base, data=json.dumps(query()), headers=headers)
    back = SseClient(response)
    assert [frame["stream_id"] for frame in await back.frames(2)] == ["1-0", "2-0"]
    back.close()
    told = await samples(http, bridge.url)
    assert told['resumes_total{outcome="granted"}'] == 1
    assert told['resets_total{cause="subscribed"}'] == 1
    assert 'resets_total{cause="resubscribed"}' not in told


class Keeper:
    """A tier that keeps all it sent: one row, of which every change counts. It grants, honestly."""

    def __init__(self) -> None:
        self.sent = []
        self.call = None
        self.opened = self.granted = 0

    def __getitem__(self, _):
        return self.answer

    def answer(self, call):
        self.call = call
        self.opened += 1
        at = call.request.resume.seq
        if not at:
            call.start()
            call.snapshot("a")
            return
        self.granted += 1
        call.resume()
        for delta in self.sent[at - 2 :]:
            call.send(delta)

    async def keep_changing(self):
        while True:
            await asyncio.sleep(0.002)
            if self.call is not None:
                self.sent.append(self._next())
                self.call.send(self.sent[-1])

    def _next(self):
        number = len(self.sent) + 2
        return update("a", 0, version=number, row=b"%d" % number, stream_id=f"{number}-0")


async def test_cuts_in_the_midst_of_changes_lose_none_and_repeat_none(
    tier, relay, start_bridge, join
):
    keeper = Keeper()
    bridge = await start_bridge(upstream=relay.address, resubscribe_rate="0")
    async with answering(tier, keeper):
        clients = [await join(bridge.url, kind, query(limit=1)) for kind in KINDS]
        for client in clients:
            await client.until(lambda c: c.whole)
        async with running(keeper.keep_changing()):
            for _ in range(CUTS):
                await asyncio.sleep(0.07)
                opened = keeper.opened
                relay.cut()
                async with patiently(20):
                    while keeper.opened == opened:
                        await asyncio.sleep(0.01)
        for client in clients:
            last = len(keeper.sent) + 1
            await client.until(lambda c, last=last: c.frames[-1].get("version") == last)
            versions = [frame["version"] for frame in client.frames if frame["op"] == "update"]
            assert versions == list(range(versions[0], last + 1))
            assert [frame["op"] for frame in client.frames].count("reset") == 1
    print(f"{len(keeper.sent)} changes over {keeper.granted} cuts")
    assert keeper.granted == keeper.opened - 1 >= CUTS
