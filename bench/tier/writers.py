"""Writers: pgbench's own transactions without a tier and with one, in turns."""

import asyncio
import statistics
import time

import aiohttp
import psycopg

from bench.tier.lag import Figures
from bench.tier.running import Server, bridge, tier
from bench.usage import Usage

SCALE, CLIENTS, RUN_SECONDS = 10, (1, 2, 4), 4
ASKED = {
    "entity": "pgbench_accounts",
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


async def cost(server: Server, capture: str, rounds: int) -> Figures:
    """Measure; the ratio is the median of the rounds, each of which has both in turn."""
    url = server.database()
    await asyncio.to_thread(server.pgbench, url, "-i", "-q", "-s", str(SCALE))
    await _run(server, url, CLIENTS[-1])
    alone: dict[int, list[float]] = {each: [] for each in CLIENTS}
    attached: dict[int, list[float]] = {each: [] for each in CLIENTS}
    spent = {"tier": 0.0, "walsender": 0.0, "transactions": 0.0}

    async def without() -> None:
        for clients in CLIENTS:
            alone[clients].append(await _run(server, url, clients))

    async def with_tier() -> None:
        with tier(url, "--capture", capture) as (child, address), bridge(address) as (_, base):
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{base}/api/v1/live", json=ASKED) as response,
            ):
                await response.content.readany()
                await asyncio.sleep(2)
                senders = _senders(url)
                before = child.usage.cpu, senders.cpu
                for clients in CLIENTS:
                    attached[clients].append(await _run(server, url, clients))
                    spent["transactions"] += attached[clients][-1] * RUN_SECONDS
                spent["tier"] += child.usage.cpu - before[0]
                spent["walsender"] += senders.cpu - before[1]
        if capture == "trigger":
            await _forget(url)

    for number in range(rounds):
        for part in (without, with_tier) if number % 2 else (with_tier, without):
            await part()
            time.sleep(0.5)  # noqa: ASYNC251 - nothing else runs
    each = spent["transactions"] / 1e6
    found: Figures = {
        "tier_us": round(spent["tier"] / each, 1),
        "walsender_us": round(spent["walsender"] / each, 1),
    }
    for clients in CLIENTS:
        ratios = [one / other for one, other in zip(attached[clients], alone[clients], strict=True)]
        found[str(clients)] = {
            "alone": round(statistics.median(alone[clients])),
            "attached": round(statistics.median(attached[clients])),
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(each, 2) for each in sorted(ratios)],
        }
    return found


async def _forget(url: str) -> None:
    from livetier.postgres.forget import forget  # noqa: PLC0415 - the tier's own, only here

    await forget(url)
