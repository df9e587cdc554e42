"""Scenarios: everything that is measured, as tables."""

from collections.abc import Iterable
from dataclasses import replace

from . import measure
from .case import Case, Scenario
from .peers import Job
from .plan import Plan

FAN_OUT = (
    ("bridge", "sse"),
    ("sendloop", "sse"),
    ("nchan", "sse"),
    ("envoy", "sse"),
    ("bridge", "ws"),
    ("sendloop", "ws"),
    ("nchan", "ws"),
)
_STALL = ("--stall-timeout", "120s")
_GATHER = "8ms"
_COLD = 0.055
"""Seconds between two late joiners: long enough for caches to forget the one before."""
_SETTLE = 3.0
"""Seconds until hundreds of subscriptions that were opened at once have caught up."""
_STALL_WARM = 9.0
"""Seconds until what a client does not read fills the kernel's buffers and a viewer's bound."""


def _cases(
    pairs: Iterable[tuple[str, str]],
    plan: Plan,
    clients: int,
    *,
    distinct: bool = False,
    warm: float = 0,
) -> tuple[Case, ...]:
    return tuple(
        Case(
            label=f"{peer} {transport}",
            peer=peer,
            job=Job(plan=plan, transport=transport, distinct=distinct),
            clients=clients,
            measure=measure.steady,
            warm=warm,
        )
        for peer, transport in pairs
    )


def _with_tokens(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """Return the bridge's cases again, with a token of each client."""
    return tuple(
        replace(case, label=f"{case.label}, --auth jwt", job=replace(case.job, tokens=True))
        for case in cases
        if case.peer == "bridge"
    )


def _fan_out() -> Scenario:
    cases = _cases(FAN_OUT, Plan(), 500)
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
    return Scenario(
        name="fan_out",
        title="One query, 500 clients, 20 frames/s of 340 B",
        rounds=3,
        cases=(*cases, *v1, *_with_tokens(cases)),
    )


def _burst() -> Scenario:
    pairs = [pair for pair in FAN_OUT if pair[0] in {"bridge", "nchan"}]
    return Scenario(
        name="burst",
        title="One query, 500 clients, 50 deltas in one batch, once a second",
        cases=_cases(pairs, Plan(rate=1, burst=50, batch=50), 500),
    )


def _distinct() -> Scenario:
    pairs = (("bridge", "sse"), ("envoy", "sse"), ("bridge", "ws"))
    plan = Plan(rows=20, spread=True)
    # For whom a few milliseconds are worth less than a core.
    gathered = Case(
        label=f"bridge sse, --gather {_GATHER}",
        peer="bridge",
        job=Job(plan=plan, distinct=True, bridge_options=("--gather", _GATHER)),
        clients=300,
        measure=measure.steady,
        warm=_SETTLE,
    )
    # What grpc.aio alone would take of it: why the bridge reads by itself.
    floor = Case(
        label="reader", peer="reader", job=Job(plan=plan), clients=300, measure=measure.read
    )
    return Scenario(
        name="distinct",
        title="300 distinct queries, one client and 20 frames/s each",
        cases=(*_cases(pairs, plan, 300, distinct=True, warm=_SETTLE), gathered, floor),
    )


def _idle(pairs: Iterable[tuple[str, str]] = FAN_OUT) -> Scenario:
    plan = Plan(rows=10, rate=0)
    cases = tuple(
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
        cases=cases + _with_tokens(cases),
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


def _join() -> Scenario:
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


def _pace() -> Scenario:
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


def _stalled() -> Scenario:
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


def _intake() -> Scenario:
    cases = []
    for batch in (1, 20):
        plan = Plan(flood=True, burst=batch, batch=batch)
        for peer, how in (
            ("bridge", measure.flood),
            ("envoy", measure.flood),
            ("reader", measure.read),
        ):
            job = Job(plan=plan, distinct=True)
            cases.append(
                Case(
                    label=f"{peer}, batches of {batch}",
                    peer=peer,
                    job=job,
                    clients=50,
                    measure=how,
                    warm=_SETTLE,
                )
            )
    return Scenario(
        name="intake",
        title="50 streams as fast as the tier can, one client each",
        cases=tuple(cases),
    )


def _start() -> Scenario:
    case = Case(
        label="bridge",
        peer="bridge",
        job=Job(plan=Plan()),
        clients=0,
        measure=measure.start,
    )
    return Scenario(name="start", title="From the command to ready", cases=(case,), rounds=5)


def _growth(
    name: str, title: str, sizes: Iterable[int], pairs: Iterable[tuple[str, str]]
) -> Scenario:
    def case(peer: str, transport: str, size: int) -> Case:
        clients = size if name == "clients" else 100
        plan = {
            "clients": Plan(),
            "rows": Plan(rows=size),
            "rate": Plan(rate=size),
        }[name]
        return Case(
            label=f"{peer} {transport} {size}",
            peer=peer,
            job=Job(plan=plan, transport=transport),
            clients=clients,
            measure=measure.steady,
            note={name: size},
        )

    return Scenario(
        name=name,
        title=title,
        rounds=1,
        cases=tuple(case(*pair, size) for size in sizes for pair in pairs),
    )


def full() -> tuple[Scenario, ...]:
    """Return everything."""
    some = tuple(pair for pair in FAN_OUT if pair[0] != "envoy")
    return (
        _fan_out(),
        _burst(),
        _distinct(),
        _idle(),
        _join(),
        _pace(),
        _stalled(),
        _intake(),
        _start(),
        _growth("clients", "One query, 20 frames/s: more clients", (10, 100, 1000), FAN_OUT),
        _growth("rows", "100 clients, 20 frames/s: larger windows", (10, 100, 1000), FAN_OUT[:1]),
        _growth("rate", "100 clients: more frames/s", (5, 50, 200), some),
    )


def quick() -> tuple[Scenario, ...]:
    """Return what guards against regressions within three minutes."""
    bridge = [pair for pair in FAN_OUT if pair[0] == "bridge"]
    return (_fan_out(), _burst(), _distinct(), _idle(bridge), _intake(), _start())
