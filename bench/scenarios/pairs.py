"""Pairs: which peer is measured over which transport, and the cases they make."""

from collections.abc import Iterable

from bench import measure
from bench.case import Case
from bench.peers import Job
from bench.plan import Plan

FAN_OUT = (
    ("bridge", "sse"),
    ("compiled", "sse"),
    ("sendloop", "sse"),
    ("nchan", "sse"),
    ("envoy", "sse"),
    ("bridge", "ws"),
    ("compiled", "ws"),
    ("sendloop", "ws"),
    ("nchan", "ws"),
)
BROKERS = (("centrifugo", "sse"), ("mercure", "sse"), ("centrifugo", "ws"))
"""They do the same work in Go."""
SETTLE = 3.0
"""Seconds until hundreds of subscriptions that were opened at once have caught up."""

Pairs = Iterable[tuple[str, str]]


def only(*peers: str) -> Pairs:
    """Return the pairs of some peers."""
    return tuple(pair for pair in FAN_OUT if pair[0] in peers)


def cases(
    pairs: Pairs,
    plan: Plan,
    clients: int,
    *,
    distinct: bool = False,
    warm: float = 0,
    note: dict[str, float] | None = None,
) -> tuple[Case, ...]:
    """Make a case of each pair: changes at a steady pace."""
    return tuple(
        Case(
            label=f"{peer} {transport}",
            peer=peer,
            job=Job(plan=plan, transport=transport, distinct=distinct),
            clients=clients,
            measure=measure.steady,
            warm=warm,
            note=note or {},
        )
        for peer, transport in pairs
    )
