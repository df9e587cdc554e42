"""Several tiers over one database, restarted one after the other while it is written to: every
window stays exact, and no reset reaches a client."""

import asyncio
import contextlib
import signal
import urllib.request

import pytest
from faults_support import join  # noqa: F401 - a fixture
from test_faults_postgres import Rig, Storm, cluster  # noqa: F401 - a fixture

from ops_support import free_port


class Fleet(Rig):
    """As many tiers as asked for, and one bridge that knows all of them."""

    def __init__(self, run, join, storm, count, *options):
        super().__init__(run, join, storm, *options)
        self.ports = [free_port() for _ in range(count)]
        self.metrics = [free_port() for _ in range(count)]
        self.tiers = [None] * count

    async def start(self):
        await asyncio.gather(*(self.start_one(place) for place in range(len(self.ports))))
        self.tier = self.tiers[0]
        upstream = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        bridge = await self.run("serve", "--upstream", upstream, "--listen", "127.0.0.1:0")
        await self.join_all(await bridge.listening())
        return self

    async def start_one(self, place):
        listen = ("--listen", f"127.0.0.1:{self.ports[place]}")
        metrics = ("--metrics-listen", f"127.0.0.1:{self.metrics[place]}")
        database = ("--database", self.storm.url)
        self.tiers[place] = await self.run("tier", *listen, *metrics, *database, *self.options)
        await self.tiers[place].listening()

    async def restart_one(self, place):
        self.tiers[place].send(signal.SIGTERM)
        code, _ = await self.tiers[place].ended()
        assert code == 0
        await self.start_one(place)

    async def windows(self):
        """Return how many windows each tier keeps current."""
        return [await asyncio.to_thread(windows_of, port) for port in self.metrics]


def windows_of(port):
    with contextlib.closing(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")) as page:
        for line in page.read().decode().splitlines():
            if line.startswith("livequery_tier_windows "):
                return float(line.split()[1])
    return None


@pytest.mark.parametrize(
    ("capture", "tiers", "windows", "transactions"),
    [
        ("trigger", 2, 12, 800),
        pytest.param("trigger", 3, 40, 20_000, marks=pytest.mark.soak),
        pytest.param("wal", 3, 40, 20_000, marks=pytest.mark.soak),
    ],
)
@pytest.mark.timeout(900)
async def test_a_rolling_restart_under_load_leaves_every_window_exact_and_resets_nobody(
    cluster, run, join, capture, tiers, windows, transactions
):
    storm = await asyncio.to_thread(Storm, cluster, seed=5, windows=windows)
    fleet = await Fleet(run, join, storm, tiers, "--capture", capture).start()
    assert min(await fleet.windows()) > 0, "the bridge spreads its streams"
    for place in range(tiers):
        writing = await fleet.weather(place, transactions // tiers)
        await asyncio.sleep(0.2)
        await fleet.restart_one(place)
        await asyncio.gather(*writing)
        await fleet.agree()
    assert fleet.count_resets() == fleet.resets
    assert not any(client.closed.done() for client in fleet.clients)
    storm.connection.close()
