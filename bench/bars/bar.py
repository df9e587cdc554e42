"""Bar: one promise as data, and whether a run kept it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from bench.runner import Results

Value: TypeAlias = Callable[[Results], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """`value` must not exceed `limit`. `guard` is what a quick run allows; 0: it does not look.

    A guard leaves room for the noise of short windows on a shared machine, and holds a bar that
    is not met yet to what the last full run saw.
    """

    promise: str
    limit: float
    value: Value
    unit: str = "times"
    guard: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A bar and what was measured; None where a side of it is missing."""

    bar: Bar
    measured: float | None

    @property
    def met(self) -> bool | None:
        """Whether the promise was kept."""
        return None if self.measured is None else self.measured <= self.bar.limit

    @property
    def guarded(self) -> bool:
        """Whether a quick run may pass: what is not measured or not guarded does not fail it."""
        return not self.bar.guard or self.measured is None or self.measured <= self.bar.guard


def ratio(scenario: str, metric: str, mine: str, theirs: str) -> Value:
    """Return what finds a metric of one case against another's."""

    def value(results: Results) -> float | None:
        ours, other = (results.value(scenario, label, metric) for label in (mine, theirs))
        return ours / other if ours is not None and other else None

    return value


def plain(scenario: str, metric: str, label: str) -> Value:
    """Return what finds a metric of a case."""
    return lambda results: results.value(scenario, label, metric)
