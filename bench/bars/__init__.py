"""Bars: what was promised, as data, and whether a run kept it.

Nearly all are ratios against a peer measured in the same run: those mean the same on any machine.
"""

from bench.runner import Results

from .bar import Bar, Verdict
from .compiled import beside_peers
from .pure import PURE


def judge(results: Results) -> list[Verdict]:
    """Hold a run against every bar of the pure build."""
    return _judged(PURE, results)


def judge_both(results: Results) -> list[tuple[Verdict, Verdict]]:
    """Hold both builds against the bars of the compiled one; the compiled build's verdict first."""
    both = (_judged(beside_peers(build), results) for build in ("compiled", "bridge"))
    return list(zip(*both, strict=True))


def _judged(bars: tuple[Bar, ...], results: Results) -> list[Verdict]:
    return [Verdict(bar=bar, measured=bar.value(results)) for bar in bars]


__all__ = ["Bar", "Verdict", "judge", "judge_both"]
