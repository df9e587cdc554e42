"""Scenarios: everything that is measured, as tables. In one scenario all take turns."""

from dataclasses import replace

from bench.case import Case, Scenario

from . import alone, newcomers, shared
from .pairs import FAN_OUT, only


def full() -> tuple[Scenario, ...]:
    """Return everything, both builds of the bridge beside their peers."""
    return (
        shared.fan_out(),
        shared.few(),
        shared.thousand(),
        shared.burst(),
        alone.distinct(),
        alone.gateway(),
        alone.intake("bridge", "compiled"),
        newcomers.idle(),
        newcomers.join(),
        newcomers.pace(),
        shared.stalled(),
        newcomers.start(),
        shared.rows(),
        shared.rate(),
    )


def quick() -> tuple[Scenario, ...]:
    """Return what guards one build against regressions within four minutes."""
    some = (
        shared.fan_out(FAN_OUT),
        shared.burst(),
        alone.distinct(),
        newcomers.idle(only("bridge")),
        alone.intake("bridge"),
        newcomers.start(),
    )
    return tuple(replace(each, cases=_of_one_build(each)) for each in some)


def _of_one_build(scenario: Scenario) -> tuple[Case, ...]:
    return tuple(case for case in scenario.cases if case.peer != "compiled")


NAMES = tuple(scenario.name for scenario in full())
"""What `--only` may name."""

__all__ = ["NAMES", "full", "quick"]
