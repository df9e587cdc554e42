"""Figures of a store for Prometheus, read when they are scraped."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from livetier.postgres.store import PostgresStore

PREFIX = "livequery_tier_"


class StoreCollector(Collector):
    """Collects the figures of one store."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Yield every family with its present values."""
        figures = self._store.figures()
        for name, text, value in (
            ("windows", "Windows that are kept current.", figures.windows),
            ("windows_due", "Windows that lack a transaction, or must be read anew.", figures.due),
            (
                "transactions_kept",
                "Delivered transactions that no snapshot sees yet.",
                figures.kept,
            ),
            ("stream_up", "Whether changes are learnt now.", figures.streaming),
            (
                "stream_lag_bytes",
                "Log that the change stream has not delivered.",
                figures.lag_bytes,
            ),
            (
                "stream_lag_seconds",
                "Age of the newest transaction at delivery.",
                figures.lag_seconds,
            ),
            ("read_pool_used", "Connections of the read pool in use.", figures.pool_used),
            ("read_pool_size", "Connections that the read pool may have.", figures.pool_size),
        ):
            yield GaugeMetricFamily(PREFIX + name, text, value=float(value))
        yield CounterMetricFamily(
            PREFIX + "transactions", "Transactions delivered.", value=figures.transactions
        )
        yield CounterMetricFamily(
            PREFIX + "stream_losses", "Change streams that were lost.", value=figures.losses
        )
        readings = CounterMetricFamily(
            PREFIX + "readings", "Windows read again, by cause.", labels=["cause"]
        )
        for cause, count in figures.readings.items():
            readings.add_metric([cause], count)
        yield readings
        shortcuts = CounterMetricFamily(
            PREFIX + "shortcuts", "Windows that were not touched, by the reason.", labels=["reason"]
        )
        for reason, count in figures.shortcuts.items():
            shortcuts.add_metric([reason], count)
        yield shortcuts
        yield CounterMetricFamily(
            PREFIX + "reading_seconds", "Time that readings took.", value=figures.reading_seconds
        )
