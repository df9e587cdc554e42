"""A tier that ends every connection at an age (GOAWAY): clients see changes, and nothing else."""

import asyncio
import itertools

import pytest
from faults_support import KINDS, Table, answering, query, running

from ops_support import samples
from patience import promised
from scripted_tier import ScriptedTier
from waiting import until

QUERIES = 10


@pytest.mark.parametrize(
    ("age", "seconds"), [(1, 6), pytest.param(5, 60, marks=pytest.mark.soak)], ids=str
)
@promised
@pytest.mark.timeout(150)
async def test_connections_that_end_at_an_age_are_told_to_nobody(
    run, join, http, age, seconds, at_most
):
    options = (
        ("grpc.max_connection_age_ms", age * 1000),
        ("grpc.max_connection_age_grace_ms", 500),
    )
    tier = await ScriptedTier().start(options=options)
    table = Table()
    async with answering(tier, table):
        program = await run("serve", "--upstream", tier.address, "--listen", "127.0.0.1:0")
        url = await program.listening()
        clients = [await join(url, kind, query(f"q{n}")) for n in range(QUERIES) for kind in KINDS]
        for client in clients:
            await client.until(lambda c: c.whole)
            client.gaps = gaps(client)
        async with running(table.keep_changing()):
            await asyncio.sleep(seconds)
        for client in clients:
            last = table.versions[client.asked["entity"]]
            await client.until(lambda c, v=last: c.frames[-1].get("version") == v)
        for client in clients:
            only_changes(client)
        now = await samples(http, url)
        lost = sum(v for name, v in now.items() if name.startswith("resubscribes_total"))
        gap = max(max(client.gaps) for client in clients)
        print(f"{lost:.0f} calls were lost and opened again, longest gap {gap:.2f} s")
        assert lost >= QUERIES * (seconds // (age * 1.1 + 0.5) - 1), "the age has struck"
        assert gap < at_most(2)
        await until(lambda: all_open(http, url))
        await until(lambda: len(tier.open) == QUERIES)
    for client in clients:
        client.leave()
    await program.stop()
    await tier.stop()


async def all_open(http, url):
    return (await samples(http, url))["upstream_subscriptions"] == QUERIES


def gaps(client):
    """Collect the seconds between a client's frames."""
    found, apply = [], client._apply

    def timed(frame):
        before = client.changed_at
        apply(frame)
        found.append(client.changed_at - before)

    client._apply = timed
    return found


def only_changes(client):
    frames = client.frames[3:]
    assert {frame["op"] for frame in frames} == {"update"}
    versions = [frame["version"] for frame in frames]
    wrong = [pair for pair in itertools.pairwise(versions) if pair[0] >= pair[1]]
    assert not wrong, "no change twice, none late"
    # An age that was announced is no loss to tell of.
    assert {notice["type"] for notice in client.notices} <= {"ready", "beat"}
    assert not client.closed.done()
