"""Histogram: counts of numbers by range, in plain integers."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """Counts by upper bound, bound included. The last count is of numbers above all bounds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count one number."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add_since(self, now: float, times: list[tuple[float, int]]) -> None:
        """Count ages in seconds: times, each with how often; a time after `now` has age 0."""
        bounds, counts = self.bounds, self.counts
        for time, count in times:
            age = now - time if time < now else 0.0
            at = 0  # most are below one of the first bounds
            while at < len(bounds) and bounds[at] < age:
                at += 1
            counts[at] += count
            self.sum += age * count

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative buckets as Prometheus has them: (`le`, count), the last is `+Inf`."""
        total = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, total))
        return found
