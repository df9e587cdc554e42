"""Runner: measures the cases of a scenario in turns, and takes the median of each one's windows."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from .case import Case, Metrics, Pace, Scenario
from .peers import Peer

TRIES = 2
ENOUGH = 0.9
"""Share of the frames due that a window must have delivered, or it is measured again."""
MISSING = "the peer is missing"


@dataclass(slots=True)
class Outcome:
    """What a case came to. `median` is by metric; `failure` says why there is none."""

    case: Case
    windows: list[Metrics] = field(default_factory=list)
    failure: str = ""

    @property
    def broken(self) -> bool:
        """Whether it could have been measured, and was not."""
        return bool(self.failure) and self.failure != MISSING

    @property
    def median(self) -> Metrics:
        """The median of each metric over the windows."""
        names = self.windows[0] if self.windows else {}
        return {name: median(window[name] for window in self.windows) for name in names}


@dataclass(slots=True)
class Results:
    """Outcomes by scenario and label."""

    scenarios: list[Scenario] = field(default_factory=list)
    outcomes: dict[tuple[str, str], Outcome] = field(default_factory=dict)

    def value(self, scenario: str, label: str, metric: str) -> float | None:
        """Return a median, None where it was not measured."""
        outcome = self.outcomes.get((scenario, label))
        return outcome.median.get(metric) if outcome else None


def run(
    scenarios: Iterable[Scenario],
    peers: Mapping[str, Peer],
    pace: Pace,
    after: Callable[[Results], object] = lambda _: None,
) -> Results:
    """Measure everything; a case that fails is named, and the rest goes on.

    `after` is told what is there when a scenario is done: a run that is cut short loses little.
    """
    results = Results()
    for scenario in scenarios:
        began = time.monotonic()
        results.scenarios.append(scenario)
        say(f"\n{scenario.title}")
        _take_turns(scenario, peers, pace, results)
        say(f"  ({time.monotonic() - began:.0f} s)")
        after(results)
    return results


def _take_turns(
    scenario: Scenario, peers: Mapping[str, Peer], pace: Pace, results: Results
) -> None:
    outcomes = {case.label: Outcome(case) for case in scenario.cases}
    results.outcomes.update({(scenario.name, label): o for label, o in outcomes.items()})
    for _ in range(max(round(scenario.rounds * pace.share), 1)):
        for case in scenario.cases:
            outcome = outcomes[case.label]
            if case.peer not in peers and case.peer != "reader":
                outcome.failure = MISSING
            else:
                _measure(case, outcome, peers.get(case.peer), pace)
    for label, outcome in outcomes.items():
        say(f"  {label:<28} {outcome.failure or brief(outcome.median)}")


def _measure(case: Case, outcome: Outcome, peer: Peer | None, pace: Pace) -> None:
    for attempt in range(TRIES):
        try:
            window = case.measure(case, peer, pace)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other cases go on
            if attempt + 1 == TRIES and not outcome.windows:
                outcome.failure = f"{type(error).__name__}: {error}"
            time.sleep(1)
        else:
            outcome.failure = ""
            # Frames that did not come tell of a core that others had, or of a peer out of its
            # depth: the second time it is the peer.
            if window.get("delivered", 1) >= ENOUGH or attempt + 1 == TRIES:
                outcome.windows.append(window)
                return


def brief(metrics: Metrics) -> str:
    """Print metrics on one line."""
    return "  ".join(f"{name} {value:.3g}" for name, value in metrics.items())


def say(text: str) -> None:
    """Tell who waits how far it is."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
