"""A pipeline of outcomes in the suite's Redis, written as its owner would, and read by another pipeline."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

import redis
from confluent_kafka import murmur2

from app.contracts.admission import Admission, Admitted
from app.features.asof import AsOf, AsOfReader, Behind
from app.features.held import Held
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.features.outcomes import Outcomes
from app.features.pace import Pace
from app.features.store import Store
from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.record import Record
from tests.payments import DAY_MS, NOON_MS

WIDTH = 2
DECLARED = cast("Outcomes", FRAUD_LABELS.views[0])


def label(
    name: str, terminal: str, *, offset: int, known_ms: int, fraud: bool = True, delay_ms: int = 7 * DAY_MS
) -> Admitted:
    """An admitted outcome of a payment that was made `delay_ms` before it was known."""
    value = {
        "payment_id": name, "terminal_id": terminal, "payment_time_ms": known_ms - delay_ms, "known_at_ms": known_ms,
        "fraud": fraud,
    }  # fmt: skip
    key = terminal.encode()
    record = Record("labels", murmur2(key, WIDTH), offset, known_ms, key, json.dumps(value).encode(), None)
    admitted = Admission(FRAUD_LABELS).admit(record)
    assert isinstance(admitted, Admitted), admitted
    return admitted


class Labels:
    """The owner of both partitions of a pipeline of outcomes."""

    def __init__(self, client: redis.Redis, name: str, *, keep_ms: int | None = 0, pace_ms: int | None = None) -> None:
        view = replace(DECLARED, keep_ms=keep_ms)
        self.pipeline: Pipeline = replace(FRAUD_LABELS, name=f"{name}-labels", views=(view,), partitions=WIDTH)
        self.digest = self.pipeline.digest(view)
        self.store = Store(client, self.pipeline.name)
        pace = Pace(self.store, [view.name], pace_ms)
        self.memory = Memory(self.pipeline, self.store, pace=pace)
        for partition in range(WIDTH):
            self.own(partition, Marker("topic", WIDTH, f"build{partition}", self.digest, since=0, next=0))

    def own(self, partition: int, marker: Marker) -> None:
        key = self.store.marker_key("terminal", partition, self.digest)
        self.store.client.delete(key)
        self.store.write(key, None, marker, [])
        (view,) = self.pipeline.views
        self.memory.owned[partition] = Owned((Held(view, partition, self.store, marker),), marker.next)

    def fold(self, *events: Admitted) -> None:
        """Fold and flush."""
        self.memory.load(events)
        self.memory.fold_only(events)
        for event in events:
            self.memory.owned[event.partition].next_offset = event.offset + 1
        self.flush()

    def flush(self) -> None:
        for partition in self.memory.owned:
            self.memory.flush(partition)

    def reader(self, *, behind: Behind = "mark", wait_s: float = 60.0) -> AsOfReader:
        return AsOfReader(self.lookup, self.scores, behind=behind, wait_s=wait_s)

    @property
    def lookup(self) -> AsOf:
        return AsOf(self.pipeline, "terminal", key="terminal_id")

    @property
    def scores(self) -> Store:
        """Of the pipeline that reads."""
        return Store(self.store.client, self.pipeline.name.removesuffix("-labels"))

    def scoring(self, reader: AsOfReader) -> Memory:
        """What a worker of the reading pipeline remembers."""
        pipeline = replace(FRAUD, name=self.scores.pipeline, views=(), lookups=(self.lookup,))
        memory = Memory(pipeline, self.scores, readers=[reader])
        for partition in range(6):
            memory.owned[partition] = Owned((), 0)
        return memory


def row_of(memory: Memory, event: Admitted) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """The terminal's six features, and the marks."""
    features = memory.features(event)
    return features.row[3:], features.marks


__all__ = ["NOON_MS", "WIDTH", "Labels", "label", "row_of"]
