"""A crowd of clients of every kind: a drain, a death, and their return."""

import asyncio
import collections
import itertools
import random
import signal
import time

import pytest
from faults_support import KINDS, Client, query

from ops_support import free_port
from patience import promised
from scripted_tier import scripted_process
from waiting import until

OPEN_RATE, OPEN_BURST = 500, 1000
"""First subscriptions a second that the bridge opens at the tier, and at once after a quiet."""


@pytest.fixture
async def crowd():
    """Open so many clients, of every kind in turn, a few hundred at a time."""
    clients = []

    async def crowd(url, count):
        room = asyncio.Semaphore(200)

        async def come(kind):
            async with room:
                client = await Client(kind, query()).open(url)
                clients.append(client)
                await client.until(lambda c: c.whole, within=30)

        await asyncio.gather(*(come(kind) for kind in itertools.islice(
            itertools.cycle(KINDS), count
        )))  # fmt: skip
        return clients

    yield crowd
    for client in clients:
        client.leave()
    await asyncio.gather(*(client.ended() for client in clients))


OPTIONS = ("--max-connections-per-ip", "0", "--log-level", "warning")


@pytest.mark.parametrize("count", [1000, pytest.param(5000, marks=pytest.mark.soak)])
@promised
@pytest.mark.timeout(120)
async def test_at_sigterm_probes_know_at_once_and_every_client_is_told_in_its_own_words(
    serve, tier, crowd, http, count, at_most
):
    tier.rows = ["a", "b"]
    program = await serve(*OPTIONS)
    url = await program.listening()
    clients = await crowd(url, count)
    assert (await http.get(url + "/readyz")).status == 200
    assert len(tier.open) == 1, "one query, however many look at it"
    began = time.monotonic()
    program.send(signal.SIGTERM)
    await until(lambda: refused(http, url))
    seen = time.monotonic() - began
    code, _ = await program.ended(within=30)
    took = time.monotonic() - began
    ends = [await client.ended() for client in clients]
    print(f"not ready after {seen * 1000:.0f} ms, {count} told, exit {code} after {took:.1f} s")
    assert seen < at_most(0.1)
    assert (code, took < at_most(20)) == (0, True)
    assert not any("dropped" in line for line in program.err)
    for client, end in zip(clients, ends, strict=True):
        assert end.proper, client.kind
        assert end.code == (0 if client.sse else 1001)
        if client.v1:
            [drain] = client.told("drain")
            assert drain["reconnect_after_ms"] > 0
            assert client.notices[-1] is drain, "the last word"
        assert client.ids == ["a", "b"]
    if client.v1:
        delays = {client.told("drain")[0]["reconnect_after_ms"] for client in clients if client.v1}
        assert len(delays) > 100, "they are not sent back all at once"
    await until(lambda: nothing_open(tier))


async def refused(http, url):
    async with http.get(url + "/readyz") as response:
        return response.status == 503


async def nothing_open(tier):
    return not tier.open


# ------------------------------------------------------------------ all of them come back


def answered(client):
    return client.whole or client.closed.done() or client.told("error")


class Returner:
    """A client that comes back as its kind is told to, until it has a window again."""

    def __init__(self, number) -> None:
        self.kind = KINDS[number % len(KINDS)]
        self.asked = query(f"q{number}")
        self.client = None
        self.refusals = []
        self.back_at = 0.0

    async def come(self, url):
        while True:
            self.client = Client(self.kind, self.asked)
            try:
                await self.client.open(url)
                await self.client.until(answered, within=60)
            except OSError:
                await asyncio.sleep(random.uniform(0.5, 1))  # nobody listens
                continue
            if self.client.whole and not self.client.closed.done():
                self.back_at = time.monotonic()
                return
            self.client.leave()
            await asyncio.sleep(self.patience())

    def patience(self):
        """Seconds that the refusal asks for, and a spread."""
        client, wait = self.client, 1.0
        if client.problem is not None:
            asked = client.headers.get("retry-after")
            self.refusals.append(("sse", client.status, asked))
            wait = float(asked or 1)
        elif client.close_code:
            self.refusals.append(("ws", client.close_code, None))
        for error in client.told("error"):
            self.refusals.append(("v1", error["status"], error.get("retry_after_ms")))
            wait = error.get("retry_after_ms", 1000) / 1000
        return wait * random.uniform(1, 1.5)

    async def live(self, url):
        """Be there, and come back once, after the `retry:` of the stream or a back-off like it."""
        await self.come(url)
        await asyncio.shield(self.client.closed)
        await asyncio.sleep(random.uniform(2, 4))
        await self.come(url)


# In a process of its own, for a crowd in this one would slow it down. Writes down each Subscribe.
TIER = """
import asyncio, time
from scripted_tier import ScriptedTier

class Noting(ScriptedTier):
    async def Subscribe(self, request, context):
        notes.write(b"%f\\n" % time.monotonic())
        async for response in super().Subscribe(request, context):
            yield response

async def main():
    tier = await Noting().start()
    tier.rows = ["a", "b"]
    print(tier.address, flush=True)
    await asyncio.Event().wait()

notes = open({notes!r}, "wb", buffering=0)
asyncio.run(main())
"""


@pytest.fixture
async def noting_tier(tmp_path):
    """A tier that notes its Subscribes; yields (address, how to read the moments)."""
    notes = tmp_path / "subscribes"
    async with scripted_process(TIER.format(notes=str(notes))) as (_, address):
        yield address, lambda: list(map(float, notes.read_text().split()))


@pytest.mark.parametrize(
    ("count", "how"),
    [
        pytest.param(5000, signal.SIGKILL, marks=pytest.mark.soak),
        pytest.param(5000, signal.SIGTERM, marks=pytest.mark.soak),
        (200, signal.SIGKILL),
    ],
)
@promised
@pytest.mark.timeout(180)
async def test_a_crowd_with_queries_of_its_own_is_back_after_a_restart_within_the_tiers_cap(
    run, noting_tier, count, how, at_most
):
    address, opened_at = noting_tier
    port = free_port()

    async def serve():
        program = await run(
            *("serve", "--upstream", address, "--listen", f"127.0.0.1:{port}", *OPTIONS)
        )
        return program, await program.listening()

    program, url = await serve()
    crowd = [Returner(number) for number in range(count)]
    living = [asyncio.create_task(one.live(url)) for one in crowd]
    try:
        await until(lambda: everyone(crowd), within=60)
        before = len(opened_at())
        for one in crowd:
            one.back_at = 0.0
            one.refusals.clear()
        program.send(how)
        await program.ended()
        began = time.monotonic()
        program, _ = await serve()
        ready = time.monotonic() - began
        await until(lambda: everyone(crowd), within=60)
        took = max(one.back_at for one in crowd) - began
        refusals = collections.Counter(told for one in crowd for told in one.refusals)
        opened = opened_at()[before:]
        rate, three = busiest(opened, 1.0), busiest(opened, 3.0)
        print(
            f"ready after {ready:.1f} s, {count} back after {took:.1f} s; Subscribes at the tier: "
            f"{len(opened)}, at most {rate} in a second and {three} in three; "
            f"refusals {dict(refusals.most_common(6))}"
        )
        assert ready < at_most(2)
        assert took < at_most(30)
        # What may begin in three seconds, and a second for a tier that falls behind.
        assert three <= OPEN_BURST + at_most(4) * OPEN_RATE
        for kind, status, retry_after in refusals:
            assert status in (503, 504, 1013), "nobody is told anything but to come back"
            assert (kind, status) != ("sse", 503) or int(retry_after) >= 1
    finally:
        for task in living:
            task.cancel()
        await asyncio.gather(*living, return_exceptions=True)
        for one in crowd:
            one.client.leave()
        await asyncio.gather(*(one.client.ended() for one in crowd if one.client._transport))


async def everyone(crowd):
    return all(one.back_at for one in crowd)


def busiest(moments, seconds):
    """How many of these fell into the busiest stretch of so many seconds."""
    most = start = 0
    for end, moment in enumerate(moments):
        while moments[start] < moment - seconds:
            start += 1
        most = max(most, end - start + 1)
    return most
