"""Alone: queries that nobody shares, each with a stream of its own from the tier."""

from dataclasses import replace

from bench import measure
from bench.case import Case, Scenario
from bench.peers import Job
from bench.plan import Plan

from .pairs import SETTLE, cases

_AT_ONCE, _GATHER = "0s", "8ms"
_PLAN = Plan(rows=20, spread=True)


def _gathering(case: Case, ceiling: str) -> Case:
    """Return a bridge's case with another `--gather`."""
    options = ("--gather", ceiling)
    job = replace(case.job, bridge_options=options)
    return replace(case, label=f"{case.label}, {' '.join(options)}", job=job)


def distinct() -> Scenario:
    """Return 300 of them, by how long the bridge may gather what it reads."""
    pairs = (("bridge", "sse"), ("compiled", "sse"), ("envoy", "sse"), ("bridge", "ws"))
    plain = cases(pairs, _PLAN, 300, distinct=True, warm=SETTLE)
    at_once = tuple(_gathering(case, _AT_ONCE) for case in plain[:2])
    # For whom a few milliseconds are worth less than a core.
    long = _gathering(plain[0], _GATHER)
    # What grpc.aio alone would take of it: why the bridge reads by itself.
    floor = Case(
        label="reader", peer="reader", job=Job(plan=_PLAN), clients=300, measure=measure.read
    )
    return Scenario(
        name="distinct",
        title="300 distinct queries, one client and 20 frames/s each",
        cases=(*plain, *at_once, long, floor),
    )


def gateway() -> Scenario:
    """Return the case that the Go original's gateway is to be beaten in, if it can be had."""
    pairs = (("bridge", "sse"), ("compiled", "sse"), ("original", "sse"), ("envoy", "sse"))
    return Scenario(
        name="gateway",
        title="100 distinct queries, one client and 20 frames/s each: 2,000 frames/s in all",
        cases=cases(pairs, _PLAN, 100, distinct=True, warm=SETTLE),
    )


def intake(*builds: str) -> Scenario:
    """Return a flood: what a frame costs when there is always one more."""
    some = (
        Case(
            label=f"{peer}, batches of {batch}",
            peer=peer,
            job=Job(plan=Plan(flood=True, burst=batch, batch=batch), distinct=True),
            clients=50,
            measure=measure.read if peer == "reader" else measure.flood,
            warm=SETTLE,
        )
        for batch in (1, 20)
        for peer in (*builds, "envoy", "reader")
    )
    return Scenario(
        name="intake",
        title="50 streams as fast as the tier can, one client each",
        cases=tuple(some),
    )
