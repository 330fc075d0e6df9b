"""What a worker measures of its own work: counted a batch at a time, when the batch is committed.

Plain lists and dicts, each written by one thread, so no lock; nothing is done for a record but a count in bulk. Names
and bounds of all distributions stand here, and nowhere else.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from app.record import Output, Record
from app.stream.answers import Noted
from app.stream.observe import Step


class Measure(StrEnum):
    """A distribution. The value is the metric's name, less its prefix."""

    BATCH = "batch_records"
    LOAD = "load_seconds"
    PREPARE = "prepare_seconds"
    SCORE = "score_seconds"
    COMMIT = "commit_seconds"
    FLUSH = "flush_seconds"
    LATENCY = "latency_seconds"


# A batch takes milliseconds, of which the usual bounds (from 5 ms on) would tell nothing.
_SECONDS = (0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
BOUNDS: Mapping[Measure, tuple[float, ...]] = {
    Measure.BATCH: (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000),
    Measure.LOAD: _SECONDS,
    Measure.PREPARE: _SECONDS,
    Measure.SCORE: _SECONDS,
    Measure.COMMIT: (*_SECONDS, 10.0, 20.0),
    Measure.FLUSH: _SECONDS,
    # Whole milliseconds, as Kafka's timestamps are; a backlog is as old as it is.
    Measure.LATENCY: (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0),
}
_LATENCY_MS = np.array([round(bound * 1000) for bound in BOUNDS[Measure.LATENCY]])
_TAKEN = attrgetter("timestamp_ms")

MOST_LABELS = 64  # kinds of one thing; what comes beyond is counted as `other`
OTHER = "other"


class Histogram:
    """How often a value was in each bucket, the last of which has no bound, and the sum of the values."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


@dataclass(frozen=True)
class Facts:
    """What is known of a batch before it is committed. Times are `perf_counter` seconds.

    `refused` is how many dead letters there are; `noted` is None where no event came to the model. `records` are kept
    only for those who draw: a batch in flight that held them would keep their memory out of use for the next.
    """

    records: Sequence[Record]
    refused: int
    noted: Noted | None
    polled: float
    loaded: float
    prepared: float
    count: int = 0
    taken_ms: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # when Kafka took each


@dataclass(frozen=True)
class Times:
    """A committed batch on the clock, for those who draw it. Times are `perf_counter` seconds."""

    facts: Facts
    begun: float
    committed: float


class Meter:
    """The measures of one worker. It is the observer of its steps, which it hands on to `then`."""

    def __init__(self, dead_letters: str, then: Callable[[Step], None]) -> None:
        self.histograms = {measure: Histogram(bounds) for measure, bounds in BOUNDS.items()}
        self.dead: Counter[str] = Counter()  # by stage/code
        self.marks: Counter[str] = Counter()
        self.aborted: Counter[str] = Counter()  # by class of reason
        self.committed = 0  # transactions
        self.predictions = 0
        self.folded = 0  # records that went into the state alone
        self.held: dict[int, tuple[int | None, float]] = {}  # by partition that waits: its offset, and since when
        self.turned = time.monotonic()
        self.drawn: Callable[[Times], None] | None = None
        self._dead_letters = dead_letters
        self._then = then
        self._at: dict[Step, float] = {}
        self._commits: deque[tuple[float, float]] = deque()  # from the transactions' thread to the loop's

    def __call__(self, step: Step) -> None:
        now = time.perf_counter()
        self._at[step] = now
        if step is Step.COMMITTED:
            self._commits.append((self._at[Step.BEGUN], now))
        elif step is Step.FLUSHED:
            self.histograms[Measure.FLUSH].observe(now - self._at[Step.FLUSHING])
        self._then(step)

    def turn(self) -> None:
        """The loop turns."""
        self.turned = time.monotonic()

    def loaded(self, seconds: float) -> None:
        """Redis was asked for what a batch needs."""
        self.histograms[Measure.LOAD].observe(seconds)

    def facts(
        self,
        records: Sequence[Record],
        *,
        refused: int = 0,
        noted: Noted | None = None,
    ) -> Facts:
        """What is to be counted once these records' batch is committed."""
        at = self._at
        kept = records if self.drawn is not None else ()
        taken_ms = np.fromiter(map(_TAKEN, records), np.int64, len(records))
        now = time.perf_counter()
        return Facts(kept, refused, noted, at[Step.POLLED], at[Step.LOADED], now, len(records), taken_ms)

    def confirmed(self, outputs: Sequence[Output], facts: Facts | None) -> None:
        """A batch is committed; batches are confirmed in the order of their commits."""
        begun, committed = self._commits.popleft()
        self.committed += 1
        self.histograms[Measure.COMMIT].observe(committed - begun)
        if facts is None:
            return  # it only said where a partition begins
        self._count(outputs, facts)
        self.histograms[Measure.BATCH].observe(facts.count)
        self.histograms[Measure.PREPARE].observe(facts.prepared - facts.polled)
        if facts.noted is not None:
            self.histograms[Measure.SCORE].observe(facts.noted.ended - facts.noted.began)
        self._latencies(facts.taken_ms)
        if self.drawn is not None:
            self.drawn(Times(facts, begun, committed))

    def failed(self, reason: str) -> None:
        """A transaction did not commit."""
        self.aborted[bounded(self.aborted, reason)] += 1

    def _count(self, outputs: Sequence[Output], facts: Facts) -> None:
        self.predictions += len(outputs) - facts.refused
        self.folded += facts.count - len(outputs)
        for letter in _letters(outputs, self._dead_letters) if facts.refused else ():
            told = dict(letter.headers)  # ours stand behind the record's own
            kind = f"{(told['stage'] or b'').decode()}/{(told['code'] or b'').decode()}"
            self.dead[bounded(self.dead, kind)] += 1
        if facts.noted is not None and facts.noted.marked:
            for mark, times in Counter(chain.from_iterable(facts.noted.marked)).items():
                self.marks[bounded(self.marks, mark)] += times

    def _latencies(self, taken_ms: NDArray[np.int64]) -> None:
        """From when Kafka took each record to now, all of them at once."""
        now_ms = time.time_ns() // 1_000_000
        waited = np.maximum(now_ms - taken_ms, 0)
        found = np.bincount(np.searchsorted(_LATENCY_MS, waited), minlength=len(_LATENCY_MS) + 1).tolist()
        histogram = self.histograms[Measure.LATENCY]
        histogram.counts = [a + b for a, b in zip(histogram.counts, found, strict=True)]
        histogram.sum += float(waited.sum()) / 1000


def _letters(outputs: Sequence[Output], topic: str) -> list[Output]:
    return [output for output in outputs if output.topic == topic]


def bounded(known: Mapping[str, int], kind: str) -> str:
    """The kind, or `other` where there are too many: labels of a metric are a closed list."""
    return kind if kind in known or len(known) < MOST_LABELS else OTHER
