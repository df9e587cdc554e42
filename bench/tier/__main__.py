"""Measure the parts, keep their figures, and write them into the report: `python -m bench.tier`."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable

import click

from bench.machine import describe
from bench.runner import say
from bench.tier import capacity, postgres_lag, section, sqlite_lag, writers
from bench.tier.lag import Figures
from bench.tier.running import Server, server

Part = Callable[[Server], Awaitable[Figures]]


async def _update(_: Server) -> Figures:
    return await asyncio.to_thread(sqlite_lag.update)


def _shape(shape: str) -> Part:
    return lambda _: sqlite_lag.lags(shape)


PARTS: dict[str, Part] = {
    "wal": lambda server: postgres_lag.live(server.database(postgres_lag.SCHEMA), "wal"),
    "trigger": lambda server: postgres_lag.live(server.database(postgres_lag.SCHEMA), "trigger"),
    "polling": lambda server: postgres_lag.polling(server.database(postgres_lag.SCHEMA)),
    "notify": lambda server: postgres_lag.notified(server.database(postgres_lag.SCHEMA)),
    "touched": lambda server: capacity.touched(server.database(capacity.SCHEMA)),
    "equality": lambda server: capacity.equality(server.database(capacity.SCHEMA)),
    "writers wal": lambda server: writers.cost(server, "wal", 6),
    "writers trigger": lambda server: writers.cost(server, "trigger", 3),
    **{f"sqlite {shape}": _shape(shape) for shape in sqlite_lag.shapes(0)},
    "sqlite update": _update,
}


async def measure(names: tuple[str, ...]) -> None:
    """Measure the named parts, all if there are none; keep each one's figures."""
    with server() as running:
        if running is None:
            say("*** No PostgreSQL: the tier is NOT measured. apt-get install postgresql ***")
            return
        for name, part in PARTS.items():
            if names and name not in names:
                continue
            load = os.getloadavg()[0]
            figures = await part(running)
            figures |= {
                "PostgreSQL": running.version.split()[0],
                "load": round(load, 1),
                "date": time.strftime("%Y-%m-%d", time.gmtime()),
            }
            say(f"{name}: {json.dumps(figures)}")
            section.keep(name, figures, describe())


@click.command(help=__doc__)
@click.option("--only", multiple=True, metavar="PART", type=click.Choice(list(PARTS)))
def main(*, only: tuple[str, ...]) -> None:
    """Measure, and write the section."""
    asyncio.run(measure(only))
    section.write()
    sys.stdout.write(section.text() + "\n")


if __name__ == "__main__":
    main(prog_name="python -m bench.tier")
