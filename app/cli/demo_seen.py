"""What somebody outside sees while the demo runs: answers as they are committed, how long they took, and the lag.

Reads topics as anybody may and asks Kafka about groups; knows nothing of what workers tell.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import StreamInferError, Unavailable
from app.pipeline import Pipeline
from app.record import Record
from app.replay.lag import PipelineLag, lag_of
from app.replay.tail import END, tail
from app.settings import Settings
from schemas.headers import SOURCE

WINDOW_S = 5.0  # over which a speed and what is usual are taken
NEWEST = 20  # answers and alerts that are kept to be shown
LAG_EVERY_S = 0.5
LAG_PATIENCE_S = 5.0
LEAVE_S = 2.0  # for a thread that may be waiting for a Kafka that is gone; it ends with the process

Place = tuple[int, int]  # partition, offset of the input


@dataclass(frozen=True)
class Answer:
    """One answer as it came: of which input, when that one was stamped by Kafka, and when the answer was here."""

    place: Place
    stamped_ms: int
    arrived_ms: float

    @property
    def took_ms(self) -> float:
        return max(0.0, self.arrived_ms - self.stamped_ms)  # one machine, and Kafka's stamp is rounded


class Answers:
    """A pipeline's answers from now on, each with the input that it answers. Two threads read, everybody may ask."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.all: list[Answer] = []
        self.marks: Counter[str] = Counter()
        self.newest: deque[dict[str, Any]] = deque(maxlen=NEWEST)
        self.alerts: deque[dict[str, Any]] = deque(maxlen=NEWEST)
        self.alerted = 0
        self.failure: StreamInferError | None = None
        self._stamps: dict[Place, int] = {}
        self._early: dict[Place, float] = {}  # answers that were read before what they answer
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._reading = [
            _Reading(settings, pipeline.source.name, self._input, self),
            _Reading(settings, pipeline.answering.name, self._answer, self),
        ]

    def start(self) -> None:
        """Returns when both topics are read. Raises what keeps them from being."""
        for reading in self._reading:
            reading.thread.start()
        for reading in self._reading:
            reading.ready.wait()
        self.refuse_failure()

    def stop(self) -> None:
        self._stop.set()
        for reading in self._reading:
            reading.thread.join(LEAVE_S)

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def refuse_failure(self) -> None:
        """Raises what has ended the reading."""
        if self.failure is not None:
            raise self.failure

    def recent(self, window_s: float = WINDOW_S) -> list[Answer]:
        """Those that came within the last seconds."""
        with self._lock:
            since = time.time() * 1000 - window_s * 1000
            first = len(self.all)
            while first and self.all[first - 1].arrived_ms >= since:
                first -= 1
            return self.all[first:]

    def speed(self) -> float:
        """Answers a second, of late."""
        return len(self.recent()) / WINDOW_S

    def behind(self) -> float:
        """The share of all answers that are marked `behind`."""
        return self.marks["behind"] / len(self.all) if self.all else 0.0

    def again_ms(self, partitions: Iterable[int], since_ms: float) -> dict[int, float]:
        """When the first answer to an input of after `since_ms` came, by partition, where it has come."""
        found: dict[int, float] = {}
        wanted = set(partitions)
        with self._lock:
            for answer in reversed(self.all):
                if answer.arrived_ms < since_ms:
                    break
                partition = answer.place[0]
                if partition in wanted and answer.stamped_ms > since_ms:
                    found[partition] = answer.arrived_ms
        return found

    def _input(self, records: Sequence[Record], now_ms: float) -> None:  # noqa: ARG002 - when an input is read is no matter
        with self._lock:
            for record in records:
                place = record.partition, record.offset
                arrived_ms = self._early.pop(place, None)
                if arrived_ms is None:
                    self._stamps[place] = record.timestamp_ms
                else:
                    self.all.append(Answer(place, record.timestamp_ms, arrived_ms))

    def _answer(self, records: Sequence[Record], now_ms: float) -> None:
        with self._lock:
            for record in records:
                place = _source(record)
                stamped_ms = self._stamps.pop(place, None)
                if stamped_ms is None:
                    self._early[place] = now_ms
                else:
                    self.all.append(Answer(place, stamped_ms, now_ms))
                value = json.loads(record.value or b"")
                self.marks.update(value["marks"])
                self.newest.append(value)
                if value.get("decision") == "alert":
                    self.alerts.append(value)
                    self.alerted += 1


class _Reading:
    """One topic, read from its end on, on a thread of its own."""

    def __init__(self, settings: Settings, topic: str, take: Any, answers: Answers) -> None:
        self.ready = threading.Event()
        self._settings = settings
        self._topic = topic
        self._take = take
        self._answers = answers
        self.thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        batches = tail(self._settings, self._topic, start=END, until_end=False)
        try:
            for records in batches:
                if records:
                    self._take(records, time.time() * 1000)
                self.ready.set()
                if self._answers.stopped:
                    return
        except StreamInferError as error:
            self._answers.failure = error
        finally:
            self.ready.set()


class Lags:
    """The lag of some pipelines, measured again and again on a thread of its own."""

    def __init__(self, settings: Settings, pipelines: Sequence[Pipeline]) -> None:
        self.of: dict[str, PipelineLag] = {}
        self.failure: StreamInferError | None = None
        self._settings = settings
        self._pipelines = pipelines
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(LEAVE_S)

    def refuse_failure(self) -> None:
        """Raises what has ended the measuring."""
        if self.failure is not None:
            raise self.failure

    def _measure(self) -> None:
        while not self._stop.is_set():
            for pipeline in self._pipelines:
                try:
                    self.of[pipeline.name] = lag_of(self._settings, pipeline, patience_s=LAG_PATIENCE_S)
                except Unavailable:
                    continue  # what was measured before stands until Kafka answers again
                except StreamInferError as error:
                    self.failure = error
                    return
            self._stop.wait(LAG_EVERY_S)


class Pace:
    """How fast a count grows that is told now and then: from told to told, for between them nobody knows."""

    def __init__(self) -> None:
        self._told: deque[tuple[float, int]] = deque()

    def of(self, count: int, now: float) -> float:
        """A second, over the last WINDOW_S; 0 where it has not grown for so long."""
        told = self._told
        if not told or told[-1][1] != count:
            told.append((now, count))
        while len(told) > 2 and told[1][0] < now - WINDOW_S:
            told.popleft()
        (first, before), (last, after) = told[0], told[-1]
        return (after - before) / (last - first) if last > max(first, now - WINDOW_S) else 0.0


def quantile(sorted_ms: Sequence[float], share: float) -> float | None:
    """The smallest value that so many are not above; None of nothing."""
    return sorted_ms[max(0, math.ceil(share * len(sorted_ms)) - 1)] if sorted_ms else None


def owners(found: PipelineLag | None) -> Mapping[int, str]:
    """By partition, who owns it, by the name that it was started with: `a-0`."""
    if found is None:
        return {}
    return {
        p.partition: p.owner.client_id.removeprefix(f"{found.pipeline}.")
        for p in found.partitions
        if p.owner is not None
    }


def _source(record: Record) -> Place:
    """Which input this answers, by its `source` header."""
    value = next(value for name, value in record.headers or () if name == SOURCE.name)
    _, partition, offset = (value or b"").decode("ascii").rsplit("/", 2)
    return int(partition), int(offset)
