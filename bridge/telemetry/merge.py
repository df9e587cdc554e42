"""Merge: the expositions of several processes as one.

Samples with the same name and labels are summed; where a sum has no meaning, the largest is taken.
A text that is no exposition is left out: its process is ending.
"""

from collections.abc import Iterable
from typing import TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from .families import FAMILIES, PREFIX

_LARGEST = {PREFIX + family.name for family in FAMILIES if family.merge == "max"} | {
    f"{PREFIX}process_start_time_seconds",
    f"{PREFIX}process_max_fds",
}

Samples: TypeAlias = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Values by sample name and labels."""


def merge_expositions(texts: Iterable[str]) -> bytes:
    """Return one exposition of all `texts`, in Prometheus text format 0.0.4."""
    families: dict[str, Metric] = {}
    merged: dict[str, Samples] = {}
    for text in texts:
        try:
            parsed = list(text_string_to_metric_families(text))
        except ValueError:
            continue
        for family in parsed:
            families.setdefault(family.name, family)
            samples = merged.setdefault(family.name, {})
            for sample in family.samples:
                key = sample.name, tuple(sample.labels.items())
                if family.name in _LARGEST:
                    samples[key] = max(samples.get(key, sample.value), sample.value)
                else:
                    samples[key] = samples.get(key, 0.0) + sample.value
    registry = CollectorRegistry()
    registry.register(_Fixed([_with_samples(families[name], merged[name]) for name in families]))
    return generate_latest(registry)


def _with_samples(family: Metric, samples: Samples) -> Metric:
    metric = Metric(family.name, family.documentation, family.type)
    for (name, labels), value in samples.items():
        metric.add_sample(name, dict(labels), value)
    return metric


class _Fixed(Collector):
    """Collects the same metrics always."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics
