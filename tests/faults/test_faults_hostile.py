"""Hostile crowds before a bridge: what others feel of them, as a ratio to a quiet time."""

import asyncio
import contextlib
import statistics
import sys
import time
from pathlib import Path

import pytest

from raw_client import HEALTH_REQUEST, STREAM_REQUEST, RawClient
from scripted_tier import update

HOSTILE = Path(__file__).parents[1] / "support/hostile_clients.py"
SECONDS = 30
FLOOR = 0.002
"""Seconds: what a busy machine adds to any figure."""


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
        """Return p99 of a change's way to the viewer, and of /healthz on new connections."""
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
        return tuple(statistics.quantiles(figures, n=100)[98] for figures in (ways, probes))

    def close(self):
        self._viewer.writer.transport.abort()


@contextlib.asynccontextmanager
async def crowd(url, **kinds):
    """Let so many hostile clients of each kind loose."""
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, HOSTILE, url, kind, str(count))
        for kind, count in kinds.items()
    ]
    await asyncio.sleep(2)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            await process.wait()


OPTIONS = ("--max-connections-per-ip", "0", "--log-level", "warning", "--linger", "30s")


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["pings", "pongs", "continuations", "texts"])
async def test_floods_of_ten_sockets_are_felt_by_no_more_than_twice_the_quiet_figure(
    serve, tier, kind
):
    tier.rows = ["a"]
    program = await serve(*OPTIONS)
    url = await program.listening()
    neighbour = await Neighbour(url, tier).open()
    quiet = await neighbour.feel(SECONDS / 2)
    async with crowd(url, **{kind: 10}):
        loud = await neighbour.feel(SECONDS)
    neighbour.close()
    print(f"\n{kind}: p99 quiet {quiet}, loud {loud}")
    for before, meanwhile in zip(quiet, loud, strict=True):
        assert meanwhile <= 2 * before + FLOOR


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_thousand_slowloris_and_500_stalled_readers_are_hardly_felt(serve, tier):
    """The bar is 10 % of p99, on a machine of its own: the attackers need a core, too."""
    tier.rows = ["a"]
    program = await serve(*OPTIONS)
    url = await program.listening()
    neighbour = await Neighbour(url, tier).open()
    quiet = await neighbour.feel(SECONDS)
    async with crowd(url, slowloris=1_000, stalled=500):
        await asyncio.sleep(5)
        loud = await neighbour.feel(SECONDS)
    again = await neighbour.feel(SECONDS)
    neighbour.close()
    print(f"\np99 quiet {quiet}, loud {loud}, quiet again {again}")
    for before, meanwhile, after in zip(quiet, loud, again, strict=True):
        assert meanwhile <= 1.1 * max(before, after) + FLOOR
