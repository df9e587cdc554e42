"""Sizing: what a run says that a tier of bridges must have. The cost model of docs/performance.md.

A process on one core is given `IN_USE` of it. Everything else is arithmetic on a run's medians.
"""

from collections.abc import Callable
from typing import NamedTuple

from .runner import Results

IN_USE = 0.7
"""Of a core: the rest is for what comes in bursts."""
BROWSERS = 1_000_000
BUILDS = {"bridge": "pure", "compiled": "compiled"}


class Constants(NamedTuple):
    """What one build costs over one transport; None where it was not measured."""

    build: str
    transport: str
    frame: float | None
    """CPU µs of a frame of a shared query, 500 clients: `c`."""
    alone: float | None
    """CPU µs of a frame of a query that nobody shares, 300 clients: `q`."""
    accept: float | None
    """CPU µs of a newcomer: `a`."""
    memory: float | None
    """KiB of an idle client: `m`."""


def constants(results: Results) -> list[Constants]:
    """Return what was measured, by build and transport."""
    found = []
    for label, build in BUILDS.items():
        for transport in ("sse", "ws"):
            case = f"{label} {transport}"
            found.append(
                Constants(
                    build,
                    transport,
                    results.value("fan_out", case, "cpu_us"),
                    results.value("distinct", case, "cpu_us"),
                    results.value("idle", case, "accept_us"),
                    results.value("idle", case, "kib_per_client"),
                )
            )
    return found


def _cores(per_second: float, micros: float | None) -> float | None:
    return None if micros is None else per_second * micros / 1e6 / IN_USE


_LOADS: dict[str, Callable[[Constants], float | None]] = {
    "shared queries, one change in 10 s": lambda one: _cores(BROWSERS / 10, one.frame),
    "shared queries, one change a second": lambda one: _cores(BROWSERS, one.frame),
    "the same, but a query of its own for each": lambda one: _cores(BROWSERS, one.alone),
    "all of them back in 60 s": lambda one: _cores(BROWSERS / 60, one.accept),
}


def section(results: Results, number: Callable[[float], str]) -> str:
    """Print the constants and the model as Markdown; `number` prints a figure."""
    rows = constants(results)
    heads = [f"{one.build}, {one.transport}" for one in rows]

    def line(name: str, values: list[float | None]) -> str:
        cells = ["-" if value is None else number(value) for value in values]
        return f"| {name} | {' | '.join(cells)} |"

    def table(corner: str) -> list[str]:
        return [f"| {corner} | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]

    base = [results.value("start", label, "memory_kib") for label in BUILDS]
    gib = [None if one.memory is None else BROWSERS * one.memory / 1024**2 for one in rows]
    return "\n".join(
        [
            "The constants of this run:\n",
            *table(""),
            line("`c`: CPU of a frame of a shared query, µs", [one.frame for one in rows]),
            line("`q`: CPU of a frame of a query nobody shares, µs", [one.alone for one in rows]),
            line("`a`: CPU of accepting a client, µs", [one.accept for one in rows]),
            line("`m`: memory of an idle client, KiB", [one.memory for one in rows]),
            line("`base`: memory of a process, KiB", [base[0], base[0], base[1], base[1]]),
            f"\nSo much do a million browsers take, {IN_USE:.0%} of each core being in use:\n",
            *table("cores"),
            *(line(name, [load(one) for one in rows]) for name, load in _LOADS.items()),
            line("memory, GiB, beside the kernel's buffers", gib),
        ]
    )
