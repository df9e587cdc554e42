"""Case: one peer under one load, measured one way; and the pace of a run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from .peers import Job, Peer

Metrics: TypeAlias = dict[str, float]
"""What a window came to. Times per frame in µs, latencies in ms, memory in KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much time a run takes, in seconds; of a scenario's rounds it makes a `share`."""

    warm: float
    window: float
    share: float


FULL = Pace(warm=1.2, window=3, share=1)
QUICK = Pace(warm=0.7, window=1.8, share=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`label` is unique in its scenario. A case is left out where its peer is missing."""

    label: str
    peer: str
    job: Job
    clients: int
    measure: Callable[["Case", Peer, Pace], Metrics]
    stalled: int = 0
    """Of the clients, how many stop to read once they are open."""
    pause: float = 0
    """Seconds between two late joiners."""
    warm: float = 0
    """Seconds before the window; 0: the run's."""
    note: dict[str, float] = field(default_factory=dict)
    """What a plot needs to know of it: the clients, rows or rate it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Cases that are measured in turns, so that what disturbs one disturbs all."""

    name: str
    title: str
    cases: tuple[Case, ...]
    rounds: int = 2
    """How often each case is measured."""
