"""Newcomers: what it costs to start, to accept a client, and to bring it up to date."""

from bench import measure
from bench.case import Case, Scenario
from bench.peers import Job
from bench.plan import Plan

from .pairs import FAN_OUT, Pairs
from .shared import with_tokens

_COLD = 0.055
"""Seconds between two late joiners: long enough for caches to forget the one before."""


def idle(pairs: Pairs = FAN_OUT) -> Scenario:
    """Return clients who come and are told nothing."""
    plan = Plan(rows=10, rate=0)
    some = tuple(
        Case(
            label=f"{peer} {transport}",
            peer=peer,
            job=Job(plan=plan, transport=transport),
            clients=1000,
            measure=measure.idle,
        )
        for peer, transport in pairs
    )
    return Scenario(
        name="idle",
        title="1,000 idle clients of one query of 10 rows: accepting and keeping them",
        rounds=4,  # of one accept against another
        cases=some + with_tokens(some),
    )


def _joiner(label: str, peer: str, plan: Plan, *, transport: str = "sse", pause: float) -> Case:
    return Case(
        label=label,
        peer=peer,
        job=Job(plan=plan, transport=transport),
        clients=1,
        measure=measure.join,
        pause=pause,
    )


def join() -> Scenario:
    """Return late joiners that come singly."""
    still, moving = Plan(rows=500, rate=0), Plan(rows=500, rate=20)
    return Scenario(
        name="join",
        title="A late joiner on a window of 500 rows",
        rounds=4,
        cases=(
            _joiner("bridge sse", "bridge", still, pause=_COLD),
            _joiner("envoy sse", "envoy", still, pause=_COLD),
            _joiner("uvloop alone", "uvloop", still, pause=_COLD),
            _joiner("bridge ws", "bridge", still, transport="ws", pause=_COLD),
            _joiner("bridge sse, 20 changes/s", "bridge", moving, pause=_COLD),
            _joiner("envoy sse, 20 changes/s", "envoy", moving, pause=_COLD),
        ),
    )


def pace() -> Scenario:
    """Return late joiners that come close upon each other."""
    plan = Plan(rows=500, rate=0)
    return Scenario(
        name="pace",
        title="Late joiners on a window of 500 rows, at two paces",
        cases=tuple(
            _joiner(f"{label}, {pace}", peer, plan, pause=pause)
            for pace, pause in (("5 ms apart", 0.005), ("one after another", 0))
            for label, peer in (
                ("bridge sse", "bridge"),
                ("envoy sse", "envoy"),
                ("uvloop alone", "uvloop"),
            )
        ),
    )


def start() -> Scenario:
    """Return the command itself, of both builds."""
    some = tuple(
        Case(label=build, peer=build, job=Job(plan=Plan()), clients=0, measure=measure.start)
        for build in ("bridge", "compiled")
    )
    return Scenario(name="start", title="From the command to ready", cases=some, rounds=5)
