"""Telemetry: what is counted (Prometheus, prefix `livequery_bridge_`) and how lines are logged.

Counting is an addition to a plain integer; the exposition is made when it is asked for.
"""

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from bridge.live.observer import Observer, Reason

PREFIX = "livequery_bridge_"


def bridge_version() -> str:
    """Return the version of the installed wheel, or of a checkout."""
    try:
        return version("livequery-bridge")
    except PackageNotFoundError:
        return "0+checkout"


class Metrics(Observer, Collector):
    """Counts what the live floor tells; `gauges` are asked for their value at each scrape."""

    def __init__(self) -> None:
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._upstream = 0
        self._viewers = 0
        self._frames = 0
        self._bytes = 0
        self._conflations = 0
        self._ends: Counter[str] = Counter({reason.value: 0 for reason in Reason})
        self._repairs: Counter[str] = Counter()
        self._resubscribes: Counter[str] = Counter()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(namespace=PREFIX.rstrip("_"), registry=self._registry)

    def subscribed(self) -> None:
        """Count an upstream subscription."""
        self._upstream += 1

    def unsubscribed(self) -> None:
        """Count an upstream subscription less."""
        self._upstream -= 1

    def attached(self) -> None:
        """Count a viewer."""
        self._viewers += 1

    def detached(self, reason: Reason) -> None:
        """Count a viewer less, and why."""
        self._viewers -= 1
        self._ends[reason.value] += 1

    def sent(self, frames: int, size: int) -> None:
        """Count frames and bytes handed to a socket."""
        self._frames += frames
        self._bytes += size

    def conflated(self) -> None:
        """Count a slow viewer's backlog that became a diff."""
        self._conflations += 1

    def repaired(self, cause: str) -> None:
        """Count a repair of the guard's."""
        self._repairs[cause] += 1

    def resubscribed(self, cause: str) -> None:
        """Count an upstream call given up for another."""
        self._resubscribes[cause] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; called by the registry at each scrape."""
        build = GaugeMetricFamily(
            f"{PREFIX}build_info", "Always 1; the version is a label.", labels=["version"]
        )
        build.add_metric([bridge_version()], 1)
        yield build
        for name, value, text in (
            (
                "upstream_subscriptions",
                self._upstream,
                "Subscribe calls the tier has started.",
            ),
            ("viewers", self._viewers, "Clients shown a window."),
        ):
            yield GaugeMetricFamily(PREFIX + name, text, value=value)
        for name, (text, read) in self.gauges.items():
            yield GaugeMetricFamily(PREFIX + name, text, value=read())
        for name, value, text in (
            ("frames", self._frames, "Frames handed to sockets."),
            ("bytes", self._bytes, "Bytes of frames handed to sockets."),
            ("conflations", self._conflations, "Backlogs of slow viewers that became a diff."),
        ):
            yield CounterMetricFamily(PREFIX + name, text, value=value)
        for name, label, counts, about in (
            ("streams_ended", "reason", self._ends, "Client streams that ended, by reason."),
            ("repairs", "cause", self._repairs, "What the guard mended in the tier's groups."),
            ("resubscribes", "cause", self._resubscribes, "Upstream calls given up for another."),
        ):
            family = CounterMetricFamily(PREFIX + name, about, labels=[label])
            for cause, number in counts.items():
                family.add_metric([cause], number)
            yield family

    def exposition(self) -> bytes:
        """Print every metric in Prometheus text format 0.0.4."""
        return generate_latest(self._registry)


class _Text(logging.Formatter):
    """One line per record, whatever is in it; only a traceback has more."""

    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return _one_line(super().formatMessage(record))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def _one_line(text: str) -> str:
    """Keep foreign text from forging lines: control characters are printed as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def set_up_logging(*, form: str, level: str) -> None:
    """Log to stderr; called once, by the root."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
