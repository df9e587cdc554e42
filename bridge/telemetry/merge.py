"""Merge: the expositions of several processes as one.

Samples of the same name and labels become one: summed, or the largest of them where a sum says
nothing. A text that is no exposition (its process is going down) is left out.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from .families import FAMILIES, PREFIX

_LARGEST = {PREFIX + family.name for family in FAMILIES if family.merge == "max"} | {
    f"{PREFIX}process_start_time_seconds",
    f"{PREFIX}process_max_fds",
}


def merge(texts: Iterable[str]) -> bytes:
    """Print one exposition, in Prometheus text format 0.0.4, of all that is in `texts`."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for text in texts:
        try:
            parsed = list(text_string_to_metric_families(text))
        except ValueError:
            continue
        for family in parsed:
            families.setdefault(family.name, family)
            told = values.setdefault(family.name, {})
            for sample in family.samples:
                key = sample.name, tuple(sample.labels.items())
                if family.name in _LARGEST:
                    told[key] = max(told.get(key, sample.value), sample.value)
                else:
                    told[key] = told.get(key, 0.0) + sample.value
    registry = CollectorRegistry()
    registry.register(_Told([_rebuilt(families[name], values[name]) for name in families]))
    return generate_latest(registry)


def _rebuilt(
    family: Metric, values: dict[tuple[str, tuple[tuple[str, str], ...]], float]
) -> Metric:
    metric = Metric(family.name, family.documentation, family.type)
    for (name, labels), value in values.items():
        metric.add_sample(name, dict(labels), value)
    return metric


class _Told(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics
