"""Shared: one query, many clients."""

from dataclasses import replace

from bench import measure
from bench.case import Case, Scenario
from bench.peers import Job
from bench.plan import Plan

from .pairs import BROKERS, FAN_OUT, Pairs, cases, only

_STALL = ("--stall-timeout", "120s")
_STALL_WARM = 9.0
"""Seconds until what a client does not read fills the kernel's buffers and a viewer's bound."""


def with_tokens(some: tuple[Case, ...]) -> tuple[Case, ...]:
    """Return the bridge's cases again, with a token of each client."""
    return tuple(
        replace(case, label=f"{case.label}, --auth jwt", job=replace(case.job, tokens=True))
        for case in some
        if case.peer == "bridge"
    )


def fan_out(pairs: Pairs = (*FAN_OUT, *BROKERS)) -> Scenario:
    """Return the case that all peers are made for."""
    some = cases(pairs, Plan(), 500, note={"clients": 500})
    # Beside core, since a page that uses the library speaks v1.
    v1 = tuple(
        Case(
            label=f"bridge {transport} v1",
            peer="bridge",
            job=Job(plan=Plan(), transport=transport, v1=True),
            clients=500,
            measure=measure.steady,
        )
        for transport in ("sse", "ws")
    )
    tokens = tuple(replace(case, note={}) for case in with_tokens(some))
    return Scenario(
        name="fan_out",
        title="One query, 500 clients, 20 frames/s of 340 B",
        rounds=3,
        cases=(*some, *v1, *tokens),
    )


def few() -> Scenario:
    """Return an audience that a fixed cost weighs on."""
    return Scenario(
        name="few",
        title="One query, 10 clients, 20 frames/s",
        rounds=3,  # of two hundred frames a second
        cases=cases(FAN_OUT, Plan(), 10, note={"clients": 10}),
    )


def thousand() -> Scenario:
    """Return an audience that leaves nothing but sending, and Envoy far behind."""
    pairs = only("bridge", "compiled", "sendloop", "nchan")
    return Scenario(
        name="thousand",
        title="One query, 1,000 clients, 20 frames/s",
        cases=cases(pairs, Plan(), 1000, note={"clients": 1000}),
    )


def burst() -> Scenario:
    """Return batches of many deltas."""
    return Scenario(
        name="burst",
        title="One query, 500 clients, 50 deltas in one batch, once a second",
        cases=cases(only("bridge", "nchan"), Plan(rate=1, burst=50, batch=50), 500),
    )


def stalled() -> Scenario:
    """Return clients that read nothing beside others that do."""
    plan = Plan(size=4096)
    return Scenario(
        name="stalled",
        title="500 clients, 20 frames/s of 4 KiB, 100 of them stalled (never cut)",
        cases=tuple(
            Case(
                label=f"bridge {transport}, {stalled} stalled",
                peer="bridge",
                job=Job(plan=plan, transport=transport, bridge_options=_STALL),
                # As many who read, with and without.
                clients=400 + stalled,
                stalled=stalled,
                warm=_STALL_WARM,
                measure=measure.steady,
            )
            for transport in ("sse", "ws")
            for stalled in (0, 100)
        ),
        rounds=4,  # of one p99 against another
    )


def rows() -> Scenario:
    """Return growing windows."""
    return _growth(
        "rows",
        "100 clients, 20 frames/s: larger windows",
        {size: Plan(rows=size) for size in (10, 100, 1000)},
        (("bridge", "sse"),),
    )


def rate() -> Scenario:
    """Return changes that come faster."""
    return _growth(
        "rate",
        "100 clients: more frames/s",
        {size: Plan(rate=size) for size in (5, 50, 200)},
        (("bridge", "sse"), ("sendloop", "sse"), ("nchan", "sse"), ("bridge", "ws")),
    )


def _growth(name: str, title: str, plans: dict[int, Plan], pairs: Pairs) -> Scenario:
    grown = (
        replace(case, label=f"{case.label} {size}")
        for size, plan in plans.items()
        for case in cases(pairs, plan, 100, note={name: size})
    )
    return Scenario(name=name, title=title, rounds=1, cases=tuple(grown))
