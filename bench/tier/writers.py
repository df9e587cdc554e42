"""Writers: pgbench's own transactions alone, and beside what reads their changes, in turns."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import psycopg

from bench.tier.lag import Figures
from bench.tier.running import Server, bridge, tier
from bench.usage import Usage

SCALE, CLIENTS, RUN_SECONDS, SETTLE_SECONDS = 10, (1, 2, 4), 4, 1.5
WATCHED = "pgbench_accounts"
ASKED = {
    "entity": WATCHED,
    "where": [{"column": "aid", "op": "eq", "value": 1}],
    "limit": 1,
}
"""A window over the table that every transaction writes to."""


def _senders(url: str) -> Usage:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'"
        )
        return Usage([int(pid) for (pid,) in rows])


async def _run(server: Server, url: str, clients: int) -> float:
    options = ("-n", "-c", str(clients), "-j", "1", "-T", str(RUN_SECONDS))
    text = await asyncio.to_thread(server.pgbench, url, *options)
    return float(text.split("tps = ")[1].split()[0])


class _Writers:
    """pgbench's TPS by number of clients, each time it was run: alone, and beside what reads."""

    def __init__(self, server: Server, url: str) -> None:
        self._server, self._url = server, url
        self.tps: dict[str, dict[int, list[float]]] = {}

    async def run(self, beside: str, clients: int) -> float:
        """Run it with a number of clients; return how many transactions that were."""
        tps = await _run(self._server, self._url, clients)
        self.tps.setdefault(beside, {}).setdefault(clients, []).append(tps)
        return tps * RUN_SECONDS

    def beside(self, name: str) -> dict[int, list[float]]:
        """Return the rounds' ratios of TPS beside it to TPS alone."""
        return {
            clients: [one / other for one, other in zip(runs, alone, strict=True)]
            for (clients, runs), alone in zip(
                self.tps[name].items(), self.tps["nothing"].values(), strict=True
            )
        }


async def cost(server: Server, capture: str, rounds: int) -> Figures:
    """Measure; a ratio is the median of the rounds.

    In each round, with each number of clients, all take turns: disks change from minute to minute.

    By wal, a bare reader of the same changes, `pg_recvlogical`, is measured, too: what any costs.
    """
    url = server.database()
    await asyncio.to_thread(server.pgbench, url, "-i", "-q", "-s", str(SCALE))
    await _run(server, url, CLIENTS[-1])
    writers = _Writers(server, url)
    spent = dict.fromkeys(("tier", "walsender", "transactions", "bare", "bare transactions"), 0.0)

    async def alone(clients: int) -> None:
        await writers.run("nothing", clients)

    async def bare(clients: int) -> None:
        with server.log_reader(url, WATCHED):
            await asyncio.sleep(SETTLE_SECONDS)
            senders = _senders(url)
            before = senders.cpu
            spent["bare transactions"] += await writers.run("bare", clients)
            spent["bare"] += senders.cpu - before

    async def with_tier(clients: int) -> None:
        with tier(url, "--capture", capture) as (child, address), bridge(address) as (_, base):
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{base}/api/v1/live", json=ASKED) as response,
            ):
                await response.content.readany()
                await asyncio.sleep(SETTLE_SECONDS)
                senders = _senders(url)
                before = child.usage.cpu, senders.cpu
                spent["transactions"] += await writers.run("tier", clients)
                spent["tier"] += child.usage.cpu - before[0]
                spent["walsender"] += senders.cpu - before[1]
        if capture == "trigger":
            await _forget(url)

    parts = (alone, with_tier, bare) if capture == "wal" else (alone, with_tier)
    await _take_turns(parts, rounds)
    each = spent["transactions"] / 1e6
    found: Figures = {
        "tier_us": round(spent["tier"] / each, 1),
        "walsender_us": round(spent["walsender"] / each, 1),
    }
    bare_ratios = {}
    if capture == "wal":
        found["bare_walsender_us"] = round(spent["bare"] / spent["bare transactions"] * 1e6, 1)
        bare_ratios = writers.beside("bare")
    for clients, ratios in writers.beside("tier").items():
        found[str(clients)] = {
            "alone": round(statistics.median(writers.tps["nothing"][clients])),
            "attached": round(statistics.median(writers.tps["tier"][clients])),
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(each, 2) for each in sorted(ratios)],
        }
        if clients in bare_ratios:
            found[str(clients)]["bare"] = round(statistics.median(bare_ratios[clients]), 3)
    return found


async def _take_turns(parts: Sequence[Callable[[int], Awaitable[None]]], rounds: int) -> None:
    for number in range(rounds):
        for clients in CLIENTS:
            for place in range(len(parts)):
                await parts[(place + number) % len(parts)](clients)
                time.sleep(0.5)  # noqa: ASYNC251 - nothing else runs


async def _forget(url: str) -> None:
    from livetier.postgres.forget import forget  # noqa: PLC0415 - the tier's own, only here

    await forget(url)
