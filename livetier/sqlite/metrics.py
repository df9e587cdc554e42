"""What a store over SQLite has read again and what it has not, for Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from livetier.engine.shortcuts import Shortcuts

PREFIX = "livequery_tier_"
REASONS = ("gone", "unequal", "outside", "beyond", "merged", "shared")


class ShortcutsCollector(Collector):
    """Collects the counters of one store."""

    def __init__(self, shortcuts: Shortcuts) -> None:
        self._shortcuts = shortcuts

    def collect(self) -> Iterator[Metric]:
        """Yield both families with their present values; other threads may count meanwhile."""
        readings = CounterMetricFamily(
            PREFIX + "readings", "Windows read again, by cause.", labels=["cause"]
        )
        readings.add_metric(["touched"], self._shortcuts.read)
        yield readings
        shortcuts = CounterMetricFamily(
            PREFIX + "shortcuts", "Windows that were not read, by the reason.", labels=["reason"]
        )
        for reason in REASONS:
            shortcuts.add_metric([reason], self._shortcuts.taken[reason])
        yield shortcuts
