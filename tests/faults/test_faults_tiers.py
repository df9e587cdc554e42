"""Tiers that misbehave to one query: it is told so, and its sibling on the connection goes on."""

import asyncio
import contextlib
import time

import grpc
import pytest
from faults_support import KINDS, answering, query

from ops_support import samples
from patience import promised
from scripted_tier import enter, reset, scripted_process, update

HUGE = b'{"text":"' + b"x" * (5 << 20) + b'"}'


class Sibling:
    """A good query beside the bad one: a change every so often, each of which must come."""

    def __init__(self) -> None:
        self.call = None
        self.clients = []

    def answer(self, call):
        assert self.call is None, "the sibling's call was lost"
        self.call = call
        call.start()
        call.snapshot("a", "b")

    async def changes(self):
        version = 1
        while True:
            version += 1
            self.call.send(update("a", 0, version=version, stream_id=f"{version}-0"))
            self.sent = version
            await asyncio.sleep(0.01)


@pytest.fixture
async def beside(start_bridge, tier, join):
    """Run a good query with clients of every kind beside a script for the bad one."""

    @contextlib.asynccontextmanager
    async def beside(script, **options):
        bridge = await start_bridge(**options)
        sibling, peers = Sibling(), set()

        def bad(call):
            peers.add(call.peer)
            script(call)

        scripts = {"good": sibling.answer, "bad": bad}
        async with answering(tier, scripts):
            clients = [await join(bridge.url, kind, query("good")) for kind in KINDS]
            for client in clients:
                await client.shows("a", "b")
            changing = asyncio.create_task(sibling.changes())
            try:
                yield bridge
            finally:
                changing.cancel()
                await asyncio.wait([changing])
            for client in clients:
                await client.until(lambda c: c.frames[-1].get("version") == sibling.sent)
                versions = [frame["version"] for frame in client.frames[3:]]
                assert versions == list(range(2, sibling.sent + 1)), "each change once, in order"
                assert not client.told("stale")
                assert not client.closed.done()
            assert not sibling.call.over.is_set()
            assert sibling.call.peer in peers, "the fault was on the sibling's connection"

    return beside


async def told(client, status, close, code, *, begun=False, final=True):
    """Look that a client of any kind is told a failure as the table says (wire.md §6)."""
    if client.kind == "ws":
        assert (await client.ended()).code == close
        return
    if client.kind != "ws/v1":
        assert (await client.ended()).proper
        assert client.status == (200 if begun else status)
    if client.sse and not begun:
        assert (client.problem["status"], client.problem["code"]) == (status, code)
    if client.v1 and (client.kind == "ws/v1" or begun):
        await said(client, status, code, begun=begun, final=final)


async def said(client, status, code, *, begun, final):
    """Look at what v1 has words for: an error, if that is final or the first, and the end."""
    if begun:
        [last] = await client.until(lambda c: c.told("ended"))
        assert last["reason"] == ("failed" if final else "unavailable")
    if final or not begun:
        [error] = await client.until(lambda c: c.told("error"))
        assert error.get("event", "problem") == "problem"
        assert (error["status"], error["code"]) == (status, code)
        assert error["retryable"] is not final
    if not client.sse:
        assert not client.closed.done(), "the socket is for other subscriptions, too"


async def ask(join, bridge):
    return [await join(bridge.url, kind, query("bad")) for kind in KINDS]


async def test_a_tier_that_never_answers_is_504(beside, join):
    async with beside(lambda call: None, open_timeout="700ms") as bridge:
        for client in await ask(join, bridge):
            await told(client, 504, 1013, "DEADLINE_EXCEEDED", final=False)


async def test_a_tier_that_does_not_implement_it_is_501(beside, join):
    async with beside(lambda call: call.fail(grpc.StatusCode.UNIMPLEMENTED)) as bridge:
        for client in await ask(join, bridge):
            await told(client, 501, 4512, "UNIMPLEMENTED")


@pytest.mark.parametrize("first", KINDS)
async def test_a_row_beyond_the_message_limit_at_the_start_is_413(beside, join, tier, first):
    """Who asked first has begun; whoever comes after is refused, and the tier not asked again."""

    def script(call):
        call.start()
        call.send(reset(), enter("huge", 0, row=HUGE), complete=True)

    async with beside(script) as bridge:
        before = tier.opened
        client = await join(bridge.url, first, query("bad"))
        await told(client, 413, 4513, "RESOURCE_EXHAUSTED", begun=True)
        for client in await ask(join, bridge):
            await told(client, 413, 4513, "RESOURCE_EXHAUSTED")
        assert tier.opened == before + 1


async def test_a_minute_of_coming_back_to_a_row_too_large_is_one_subscribe(beside, join, tier):
    """A browser's EventSource comes every 2 to 4 s; here at once, for memory lasts 60 s."""

    def script(call):
        call.start()
        call.send(reset(), enter("huge", 0, row=HUGE), complete=True)

    async with beside(script) as bridge:
        before = tier.opened
        began = time.monotonic()
        for _ in range(30):
            client = await join(bridge.url, "sse", query("bad"))
            await client.ended()
        assert time.monotonic() - began < 50
        assert client.status == 413
        assert tier.opened == before + 1


async def test_a_row_beyond_the_message_limit_later_is_413(beside, join, tier):
    calls = []

    def script(call):
        calls.append(call)
        call.start()
        call.snapshot("a", "b")

    async with beside(script) as bridge:
        clients = await ask(join, bridge)
        for client in clients:
            await client.shows("a", "b")
        [call] = calls
        call.send(update("a", 0, row=HUGE))
        for client in clients:
            await told(client, 413, 4513, "RESOURCE_EXHAUSTED", begun=True)
            assert client.ids == ["a", "b"]
        assert len(calls) == 1, "the bridge does not try again by itself"


async def test_rows_that_are_no_json_end_the_query_when_its_staleness_is_over(beside, join):
    tries = []

    def script(call):
        tries.append(call)
        call.start()
        call.send(reset(), enter("a", 0, row=b'{"a":'), complete=True)

    async with beside(script, max_staleness="600ms") as bridge:
        for client in await ask(join, bridge):
            await told(client, 502, 1011, "INTERNAL", begun=True, final=False)
            assert not client.frames, "no garbage got through"
    assert 2 <= len(tries) <= 40, "tried again, but not in a hurry"


async def test_a_row_that_is_no_json_now_and_then_is_cured_by_a_snapshot(beside, join, http):
    calls = []

    def script(call):
        calls.append(call)
        call.start()
        call.snapshot(*(("a", "b") if len(calls) == 1 else ("a", "c")))

    async with beside(script) as bridge:
        clients = await ask(join, bridge)
        for client in clients:
            await client.shows("a", "b")
        calls[0].send(update("a", 0, row=b"\xff\x00"))
        for client in clients:
            await client.shows("a", "c")
            assert [frame["op"] for frame in client.frames[3:]] == ["leave", "enter"]
        assert (await samples(http, bridge.url))['resubscribes_total{cause="unreadable"}'] == 1


# ------------------------------------------------------------------ a flood

FLOOD = """
import asyncio, itertools, time
from scripted_tier import Call, ScriptedTier, enter, pb, reset, update

class Flood(ScriptedTier):
    async def Subscribe(self, request, context):
        call = Call(request, context, 1)
        call.start()
        call.snapshot(*(f"r{n}" for n in range(10)))
        for _ in range(2):
            yield call.out.get_nowait()
        flood = request.query.entity == "flood"
        for version in itertools.count(2):
            for at in range(10 if flood else 1):
                call.send(update(f"r{at}", at, version=version, row=b'{"at":%f,"more":"%s"}' % (
                    time.time(), b"x" * 200)))
            while not call.out.empty():
                yield call.out.get_nowait()
            if not flood:
                await asyncio.sleep(0.02)

async def main():
    tier = await Flood().start()
    print(tier.address, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.soak)])
@promised
@pytest.mark.timeout(120)
async def test_a_flood_for_one_query_holds_no_sibling_up_and_fills_no_memory(
    run, join, http, seconds, at_most
):
    async with scripted_process(FLOOD) as (_, address):
        program = await run("serve", "--upstream", address, "--listen", "127.0.0.1:0")
        url = await program.listening()
        good = [await join(url, kind, query("good", 10)) for kind in KINDS]
        flooded = [await join(url, kind, query("flood", 10)) for kind in KINDS]
        for client in (*good, *flooded):
            await client.until(lambda c: c.whole)
        lags = [timed(client) for client in good]
        most = 0.0
        began = before = None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = await samples(http, url)
            most = max(most, now["process_resident_memory_bytes"])
            began = began or most
            before = before or now["frames_total"]
            for client in flooded:
                client.frames.clear()
            await asyncio.sleep(0.2)
        rate = ((await samples(http, url))["frames_total"] - before) / seconds
        worst = sorted(lag for each in lags for lag in each)
        print(
            f"{rate:.0f} frames/s, RSS +{(most - began) / 2**20:.1f} MiB, sibling's lag "
            f"p50 {worst[len(worst) // 2] * 1000:.0f} ms, "
            f"p99 {worst[len(worst) * 99 // 100] * 1000:.0f} ms, most {worst[-1] * 1000:.0f} ms"
        )
        assert rate > 1000 / at_most(1), "a flood"
        assert len(worst) > seconds * 10 / at_most(1), "the sibling's changes came all the time"
        assert worst[-1] < at_most(2)
        assert most - began < 64 * 2**20
        assert not any(client.closed.done() for client in good)


def timed(client):
    """Collect how late each of a client's frames is."""
    lags, apply = [], client._apply

    def timed(frame):
        apply(frame)
        if "at" in frame.get("row", {}):
            lags.append(time.time() - frame["row"]["at"])

    client._apply = timed
    return lags
