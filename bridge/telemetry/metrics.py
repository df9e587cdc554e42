"""Metrics: counts of the live floor, and the exposition of every bound metric.

Counting is an addition to a plain integer or list, here or in the class that owns the count. A
family is bound to a function that reads its value; it is called at each scrape.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from bridge.live.change_times import Runs
from bridge.live.observer import Observer
from bridge.live.stream_end import EndReason

from .families import BY_NAME, FAMILIES, PREFIX, Family
from .histogram import Histogram
from .version import bridge_build, bridge_version

Reading: TypeAlias = float | Mapping[tuple[str, ...], float] | Histogram
"""A family's value. With labels: a value by label values, in the order of the family's labels."""

WRITE_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics(Observer, Collector):
    """Counts the events of the live floor; reads all other values at each scrape.

    `process`: whether to add `process_…` and the live floor's counts.
    """

    def __init__(self, *, process: bool = True) -> None:
        self._upstream = 0
        self._viewers = 0
        self._frames = 0
        self._bytes = 0
        self._conflations = 0
        self._ends: Counter[tuple[str, ...]] = Counter({(reason,): 0 for reason in EndReason})
        self._repairs: Counter[tuple[str, ...]] = Counter()
        self._resubscribes: Counter[tuple[str, ...]] = Counter()
        self._resumes: Counter[tuple[str, ...]] = Counter()
        self._resets: Counter[tuple[str, ...]] = Counter()
        self._write_lag = Histogram(WRITE_LAG)
        self._readings: dict[str, Callable[[], Reading]] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        if process:
            ProcessCollector(namespace=PREFIX.rstrip("_"), registry=self._registry)
            self._bind_own()

    def bind(self, name: str, read: Callable[[], Reading]) -> None:
        """Read a family of the table by `read` at each scrape; unbound families are left out."""
        self._readings[BY_NAME[name].name] = read

    def _bind_own(self) -> None:
        self.bind("build_info", lambda: {(bridge_version(), bridge_build()): 1})
        self.bind("upstream_subscriptions", lambda: self._upstream)
        self.bind("viewers", lambda: self._viewers)
        self.bind("frames", lambda: self._frames)
        self.bind("bytes", lambda: self._bytes)
        self.bind("conflations", lambda: self._conflations)
        self.bind("streams_ended", lambda: self._ends)
        self.bind("repairs", lambda: self._repairs)
        self.bind("resubscribes", lambda: self._resubscribes)
        self.bind("resumes", lambda: self._resumes)
        self.bind("resets", lambda: self._resets)
        self.bind("write_lag_seconds", lambda: self._write_lag)

    # ------------------------------------------------------------ events of the live floor

    def subscribed(self) -> None:
        """Count an upstream subscription."""
        self._upstream += 1

    def unsubscribed(self) -> None:
        """Uncount an upstream subscription."""
        self._upstream -= 1

    def attached(self) -> None:
        """Count a viewer."""
        self._viewers += 1

    def detached(self, reason: EndReason) -> None:
        """Uncount a viewer; count the reason its stream ended."""
        self._viewers -= 1
        self._ends[reason,] += 1

    def sent(self, frames: int, size: int) -> None:
        """Count frames and bytes handed to a socket."""
        self._frames += frames
        self._bytes += size

    def written(self, now: float, times: Runs) -> None:
        """Count the age of changes that have just been written to all viewers, by their times."""
        self._write_lag.add_since(now, times)

    def conflated(self) -> None:
        """Count a backlog of a slow viewer that was replaced by a diff."""
        self._conflations += 1

    def repaired(self, cause: str) -> None:
        """Count a repair of the tier's deltas."""
        self._repairs[cause,] += 1

    def resubscribed(self, cause: str) -> None:
        """Count an upstream call that is replaced by another."""
        self._resubscribes[cause,] += 1

    def offered(self, *, granted: bool) -> None:
        """Count a resume position that was offered to the tier, and its answer."""
        self._resumes["granted" if granted else "refused",] += 1

    def replaced(self, cause: str) -> None:
        """Count a whole window received from the tier."""
        self._resets[cause,] += 1

    # ------------------------------------------------------------ scrapes

    def collect(self) -> Iterator[Metric]:
        """Yield every bound family; called by the registry at each scrape."""
        for family in FAMILIES:
            read = self._readings.get(family.name)
            if read is not None:
                yield _metric(family, read())

    def exposition(self) -> bytes:
        """Return every metric in Prometheus text format 0.0.4."""
        return generate_latest(self._registry)


def _metric(family: Family, reading: Reading) -> Metric:
    name = PREFIX + family.name
    if isinstance(reading, Histogram):
        histogram = HistogramMetricFamily(name, family.help)
        histogram.add_metric((), reading.buckets(), reading.sum)
        return histogram
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric: CounterMetricFamily | GaugeMetricFamily = make(name, family.help, labels=family.labels)
    values = reading if isinstance(reading, Mapping) else {(): reading}
    for labels, value in values.items():
        metric.add_metric(labels, value)
    return metric
