"""Hostile crowds before a bridge: what others feel of them, as a ratio to a quiet time.

The crowd needs a core, too. So each round has three periods: the crowd rests; it attacks another
bridge, and takes its share of the machine; it attacks this one.
"""

import asyncio
import contextlib
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from raw_client import HEALTH_REQUEST, STREAM_REQUEST, RawClient
from scripted_tier import update

HOSTILE = Path(__file__).parents[1] / "support/hostile_clients.py"
ROUNDS, SECONDS = 6, 5
FLOOR = 0.002
"""Seconds: what a busy machine adds to any figure."""
OPTIONS = ("--max-connections-per-ip", "0", "--log-level", "warning", "--linger", "30s")


class Neighbour:
    """A well-behaved viewer, and a probe of health."""

    def __init__(self, url, tier):
        self._url, self._tier = url, tier
        self._version = 1

    async def open(self):
        self._viewer = await self._connect()
        self._viewer.send(STREAM_REQUEST)
        await self._viewer.until(b'"agg_id":"a"')
        [self._call] = self._tier.open.values()
        return self

    async def _connect(self):
        host, port = self._url.removeprefix("http://").split(":")
        return RawClient(*await asyncio.open_connection(host, int(port)))

    async def feel(self, seconds):
        """Return times of changes' ways to the viewer, and of /healthz on new connections."""
        ways, probes = [], []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._version += 1
            began = time.monotonic()
            self._call.send(update("a", 0, version=self._version))
            await self._viewer.until(b'"version":%d' % self._version)
            ways.append(time.monotonic() - began)
            if self._version % 5 == 0:
                began = time.monotonic()
                probe = await self._connect()
                probe.send(HEALTH_REQUEST)
                await probe.until(b"ok\n")
                probes.append(time.monotonic() - began)
                probe.writer.close()
            await asyncio.sleep(0.01)
        return ways, probes

    def close(self):
        self._viewer.writer.transport.abort()


@contextlib.asynccontextmanager
async def crowd(**kinds):
    """So many hostile clients of each kind, which rest; gives what tells them whom to attack."""
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, HOSTILE, kind, str(count), stdin=asyncio.subprocess.PIPE
        )
        for kind, count in kinds.items()
    ]

    def attack(url):
        for process in processes:
            process.stdin.write(url.removeprefix("http://").encode() + b"\n")

    try:
        yield attack
    finally:
        for process in processes:
            process.kill()
            await process.wait()


async def felt(serve, tier, settle, **kinds):
    """Return p99 of changes' ways and of /healthz, by whom the crowd attacks meanwhile."""
    tier.rows = ["a"]
    url, other = [await (await serve(*OPTIONS)).listening() for _ in range(2)]
    neighbour = await Neighbour(url, tier).open()
    figures = defaultdict(lambda: ([], []))
    async with crowd(**kinds) as attack:
        for _ in range(ROUNDS):
            for name, target in (("rests", "rest"), ("other", other), ("this", url)):
                attack(target)
                await asyncio.sleep(settle)
                for all_of_them, new in zip(
                    figures[name], await neighbour.feel(SECONDS), strict=True
                ):
                    all_of_them.extend(new)
    neighbour.close()
    p99 = {
        name: tuple(statistics.quantiles(each, n=100)[98] for each in both)
        for name, both in figures.items()
    }
    print(f"\n{kinds}: p99 of a change, of /healthz: {p99}")
    return p99


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["pings", "pongs", "continuations", "texts", "closes"])
async def test_floods_of_ten_sockets_are_felt_by_no_more_than_twice_the_quiet_figure(
    serve, tier, kind
):
    p99 = await felt(serve, tier, 1, **{kind: 10})
    for rests, other, this in zip(*p99.values(), strict=True):
        assert this <= 2 * max(rests, other) + FLOOR


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_thousand_slowloris_and_500_stalled_readers_are_hardly_felt(serve, tier):
    p99 = await felt(serve, tier, 5, slowloris=1_000, stalled=500)
    for rests, other, this in zip(*p99.values(), strict=True):
        assert this <= 1.1 * max(rests, other) + FLOOR
