"""Metrics of several processes as those of one: samples of the same name and labels are added.

What a process had counted when it was last asked stays in the sums after its end, so that no
counter ever falls; what it counted since then is lost with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Family = tuple[str, str, str, list[tuple[str, dict[str, str], float]]]
"""Name, documentation, type and samples, as JSON can carry them."""


def families_of(registry: Collector | CollectorRegistry) -> list[Family]:
    """All that a registry holds, but when each was made: such times add up to nothing."""
    return [
        (
            metric.name,
            metric.documentation,
            metric.type,
            [
                (sample.name, dict(sample.labels), sample.value)
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ],
        )
        for metric in registry.collect()
    ]


class Sums(Collector):
    """Sums of families, in the order in which they first came."""

    def __init__(self, families: Iterable[Family] = ()) -> None:
        self._about: dict[str, tuple[str, str]] = {}
        self._values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
        self.add(families)

    def add(self, families: Iterable[Family], *, ended: bool = False) -> None:
        """Add what a process counted; of one that has `ended` there is nothing now, so its gauges
        are left out."""
        for name, documentation, kind, samples in families:
            if ended and kind == "gauge":
                continue
            self._about.setdefault(name, (documentation, kind))
            values = self._values.setdefault(name, {})
            for sample, labels, value in samples:
                key = sample, tuple(sorted(labels.items()))
                values[key] = values.get(key, 0.0) + value

    def families(self) -> list[Family]:
        """The sums."""
        return [
            (name, *about, [(s, dict(labels), v) for (s, labels), v in self._values[name].items()])
            for name, about in self._about.items()
        ]

    def collect(self) -> Iterator[Metric]:
        """The sums, for Prometheus."""
        for name, documentation, kind, samples in self.families():
            metric = Metric(name, documentation, kind)
            for sample in samples:
                metric.add_sample(*sample)
            yield metric
