"""A run's metrics in Prometheus' form. Every name, its help and its labels stand in this file and nowhere else.

Labels are closed lists: pipeline, partition, phase, stage, code, mark, reason. Never an entity, never free text.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from app.stream.measures import BOUNDS, Measure
from app.stream.report import REASONS, Spread
from app.stream.shares import Phase
from app.telemetry.fleet import Fleet
from app.telemetry.watch import Answer, Topic

HELP = {
    Measure.BATCH: "Records answered by a transaction.",
    Measure.LOAD: "One read from Redis of the states and rows that a batch needs and memory has not.",
    Measure.PREPARE: "From polled to ready to be committed: decoding, features, scoring, encoding.",
    Measure.SCORE: "The model's part of a batch.",
    Measure.COMMIT: "From beginning a transaction to the broker's word that it is committed.",
    Measure.FLUSH: "Writing one partition's state to Redis.",
    Measure.LATENCY: "From the record's Kafka timestamp to its committed answer; append time on LogAppendTime topics.",
}
PREFIX = "streaminfer_"

Labels = tuple[str, ...]
Values = Mapping[Any, float]  # by Labels, those behind the pipeline; Any, for a tuple of a length is another key


class Exposition:
    """Collects when it is asked. `ready` gives the present verdict."""

    def __init__(self, pipeline: str, fleet: Fleet) -> None:
        self._pipeline = pipeline
        self._fleet = fleet
        self._build = {"version": _version(), "python": platform.python_version()}

    def text(self, *, ready: bool, kafka: Answer[Topic], redis: Answer[bool]) -> bytes:
        """The whole of /metrics."""
        families = [*self._of_work(), *self._of_state(), *self._of_services(ready=ready, kafka=kafka, redis=redis)]
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Given(families))
        return generate_latest(registry)

    # -- what was done -------------------------------------------------------------------------------------------------

    def _of_work(self) -> Iterator[Metric]:
        sums = self._fleet.sums
        dead = {_kind(kind): count for kind, count in sums.dead.items()}
        yield self._counters("records", "Records answered in committed transactions.", ("result",), {
            ("prediction",): sums.predictions, ("dead_letter",): sum(dead.values()), ("folded",): sums.folded,
        })  # fmt: skip
        yield self._counters("dead_letters", "Dead letters committed.", ("stage", "code"), dead)
        yield self._counters("marks", "Predictions that bear a mark.", ("mark",), _single(sums.marks))
        yield self._counters("transactions", "Transactions committed.", (), {(): sums.committed})
        yield self._counters(
            "transactions_aborted",
            "Transactions that did not commit.",
            ("reason",),
            _single(dict.fromkeys(REASONS, 0) | sums.aborted),
        )
        yield self._counters("worker_cpu_seconds", "CPU time of the workers.", (), {(): sums.cpu_s})
        yield self._counters("worker_starts", "Worker processes started.", (), {(): self._fleet.starts})
        deaths = self._fleet.deaths
        yield self._counters("worker_deaths", "Workers that ended unasked.", ("how",), _single(deaths))
        for measure, bounds in BOUNDS.items():
            if spread := sums.spreads.get(measure.value):
                yield self._histogram(measure, bounds, spread)

    def _histogram(self, measure: Measure, bounds: Iterable[float], spread: Spread) -> Metric:
        family = HistogramMetricFamily(PREFIX + measure.value, HELP[measure], labels=("pipeline",))
        below, buckets = 0, []
        for bound, count in zip([*map(str, map(float, bounds)), "+Inf"], spread.counts, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric((self._pipeline,), buckets, spread.sum)
        return family

    # -- how it stands -------------------------------------------------------------------------------------------------

    def _of_state(self) -> Iterator[Metric]:
        members = [member for member in self._fleet.members if member.alive]
        reports = [member.report for member in members]
        yield self._gauges("workers", "Worker processes that live.", (), {(): len(members)})
        phases: Counter[str] = Counter()
        for _, place in self._fleet.places.values():
            phases["waiting" if place.waiting else place.phase.replace(" ", "-")] += 1
        named = [phase.value.replace(" ", "-") for phase in Phase]
        yield self._gauges("partitions", "Owned partitions by what is done with them.", ("phase",), {
            (phase,): phases[phase] for phase in (*named, "waiting")
        })  # fmt: skip
        for name, words, count in (
            ("state_entities", "Entities whose state is in memory.", sum(r.entities for r in reports)),
            ("state_dirty_entities", "Entities whose state Redis does not have yet.", sum(r.dirty for r in reports)),
            ("lookup_rows", "Rows of lookups in memory.", sum(r.rows for r in reports)),
            ("worker_resident_memory_bytes", "Memory of all workers.", sum(r.rss_bytes for r in reports)),
        ):
            yield self._gauges(name, words, (), {(): count})
        skipped: Counter[str] = Counter()
        for report in reports:
            skipped.update(report.skipped)
        yield self._gauges(
            "state_skipped_events", "Events in no state, of the partitions owned now.", ("reason",), _single(skipped)
        )
        models = {report.model for report in reports if report.model}
        info = InfoMetricFamily(PREFIX + "model", "The model that scores.", labels=("pipeline",))
        for model in sorted(models):
            name, _, version = model.rpartition("@")
            info.add_metric((self._pipeline,), {"model": name, "version": version})
        yield info
        build = InfoMetricFamily(PREFIX + "build", "What runs.")
        build.add_metric((), self._build)
        yield build

    # -- what the services say -----------------------------------------------------------------------------------------

    def _of_services(self, *, ready: bool, kafka: Answer[Topic], redis: Answer[bool]) -> Iterator[Metric]:
        yield self._gauges("ready", "1 where /readyz says so.", (), {(): ready})
        yield self._gauges("kafka_up", "1 where Kafka answers.", (), {(): kafka.value is not None})
        yield self._gauges("redis_up", "1 where Redis answers.", (), {(): redis.value is not None})
        if redis.value is not None:
            yield self._gauges("redis_ping_seconds", "Round trip of the last PING.", (), {(): redis.took_s})
        places = {p: place for p, (_, place) in self._fleet.places.items()}
        committed = {(str(p),): place.committed for p, place in places.items() if place.committed is not None}
        yield self._gauges(
            "partition_committed_offset", "Next offset to score, as committed.", ("partition",), committed
        )
        if kafka.value is None:
            return  # a number that is not known is not there
        ends = kafka.value.ends
        lags = {(str(p),): _lag(place.committed, place.end, ends[p], read=place.read)
                for p, place in places.items() if p in ends and place.committed is not None}  # fmt: skip
        yield self._gauges(
            "partition_lag_records", "Committed records not scored, at most; 0 when caught up.", ("partition",), lags
        )
        unowned = len(set(ends) - set(kafka.value.owners.of))
        yield self._gauges("partitions_unowned", "Partitions of the input that nobody owns.", (), {(): unowned})
        if (wanted := kafka.value.workers_wanted) is not None:
            words = "Workers that drain the lag within drain_s and keep up, of all runs together; for an autoscaler."
            yield self._gauges("workers_wanted", words, (), {(): wanted})

    def _counters(self, name: str, words: str, labels: Labels, values: Values) -> Metric:
        family = CounterMetricFamily(PREFIX + name, words, labels=("pipeline", *labels))
        for kind, value in sorted(values.items()):
            family.add_metric((self._pipeline, *kind), value)
        return family

    def _gauges(self, name: str, words: str, labels: Labels, values: Values) -> Metric:
        family = GaugeMetricFamily(PREFIX + name, words, labels=("pipeline", *labels))
        for kind, value in sorted(values.items()):
            family.add_metric((self._pipeline, *kind), float(value))
        return family


class _Given:
    """Families as the library wants to collect them."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _lag(committed: int | None, read_end: int, end: int, *, read: bool) -> int:
    """Offsets between, less those that a worker has read over to the end: markers and aborted records are no lag."""
    if committed is None or (read and read_end >= end):
        return 0
    return max(0, end - committed)


def _kind(kind: str) -> tuple[str, str]:
    stage, _, code = kind.partition("/")
    return stage, code or stage


def _single(counts: Mapping[str, int]) -> Values:
    return {(kind,): count for kind, count in counts.items()}


def _version() -> str:
    try:
        return metadata.version("streaminfer")
    except metadata.PackageNotFoundError:
        return "unknown"  # run from its folder, as the image does
