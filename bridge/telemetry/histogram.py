"""Histogram: how often a number fell into which range, counted in plain integers."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence


class Histogram:
    """Counts by upper bound, the bound included; the last count is of what is above all bounds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one number."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add_since(self, now: float, times: Iterable[float]) -> None:
        """Count how long ago each of some times was; one ahead of the clock is 0 ago."""
        bounds, counts = self.bounds, self.counts
        for time in times:
            ago = now - time if time < now else 0.0
            counts[bisect_left(bounds, ago)] += 1
            self.sum += ago

    def buckets(self) -> list[tuple[str, float]]:
        """Return Prometheus' cumulative buckets: (`le`, count), the last one `+Inf`."""
        total = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, total))
        return found
