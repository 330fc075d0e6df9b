"""True lag: how many committed records of its input a pipeline has not scored yet, and how old they are.

Offsets do not tell: markers of transactions and aborted records have offsets too, and a group that has scored
everything stands before them for ever. So the records are counted by reading them as a worker would. Reading is
bounded by offsets and by time; what lies beyond a bound is counted by its offsets, and the lag is said to be no more
than that (`exact` is false).
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message

from app.contracts.admission import Admission
from app.errors import RecordError
from app.pipeline import Pipeline
from app.record import record_of
from app.replay.group import Group, Owner
from app.replay.held import since_ms
from app.replay.log import Log, Span
from app.replay.wanted import ARRIVED_S, arriving_per_s, workers_wanted
from app.settings import Settings

PATIENCE_S = 10.0
COUNTED = 100_000  # offsets of a partition that are read at most
COUNT_S = 5.0  # how long all partitions are read at most; one more batch may be under way
NEWEST = 100  # offsets at a partition's end that are searched for its newest event, if it was not read to its end
LOOKED_AT = 100  # records of a batch that are decoded at most to find one with an event time


@dataclass(frozen=True)
class PartitionLag:
    """One partition. Offsets: `committed` by the group (None: never), `end` the last stable one.

    `seconds_behind_event`: from the first unscored event's time to the newest visible one's; 0.0 when caught up,
    None where no event was found. `seconds_behind_append`: since Kafka took the first unscored record.
    `held`: offsets beyond `end`, kept back by a transaction that has been open for `held_seconds`.
    """

    partition: int
    committed: int | None
    end: int
    lag: int
    exact: bool
    seconds_behind_event: float | None
    seconds_behind_append: float | None
    owner: Owner | None
    held: int
    held_seconds: float | None


@dataclass(frozen=True)
class PipelineLag:
    """All partitions of a pipeline's input. Seconds are those of the partition that is furthest behind.

    `arriving`: records a second, over the last minute. `workers_wanted`: what app/replay/wanted.py makes of it.
    """

    pipeline: str
    topic: str
    rebalancing: bool
    partitions: tuple[PartitionLag, ...]
    arriving: float
    workers_wanted: int

    @property
    def lag(self) -> int:
        return sum(partition.lag for partition in self.partitions)

    @property
    def exact(self) -> bool:
        return all(partition.exact for partition in self.partitions)

    @property
    def seconds_behind_event(self) -> float | None:
        return _worst([(partition.lag, partition.seconds_behind_event) for partition in self.partitions])

    @property
    def seconds_behind_append(self) -> float | None:
        return _worst([(partition.lag, partition.seconds_behind_append) for partition in self.partitions])

    @property
    def unowned(self) -> tuple[int, ...]:
        return tuple(partition.partition for partition in self.partitions if partition.owner is None)


def _worst(lags: Sequence[tuple[int, float | None]]) -> float | None:
    known = [seconds for lag, seconds in lags if lag and seconds is not None]
    if not known and any(lag for lag, _ in lags):
        return None
    return max(known, default=0.0)


def lag_of(
    settings: Settings, pipeline: Pipeline, *, patience_s: float = PATIENCE_S, count_s: float | None = None
) -> PipelineLag:
    """The pipeline's lag now. Workers may run meanwhile: what they score while it is measured is no lag.

    Reads for `count_s` at most, by default COUNT_S; what is left then is counted by its offsets.

    Raises Unavailable where Kafka does not answer within `patience_s`, Refused where the input topic is not there.
    """
    topic = pipeline.source.name
    with (
        contextlib.closing(Group(settings, pipeline.name, patience_s=patience_s)) as group,
        contextlib.closing(Log(settings, pipeline.name, patience_s=patience_s)) as log,
    ):
        partitions = log.partitions(topic)
        very_ends = log.ends(topic, partitions, settled=False)
        ends = log.ends(topic, partitions, settled=True)
        committed = group.committed(topic, partitions)  # after the ends, or a record scored between would be lag
        starts = log.starts(topic, partitions)
        # What retention has deleted can be scored no more. An offset beyond the end, set by hand, is an empty span.
        spans = {p: Span(max(committed[p] or 0, starts[p]), ends[p]) for p in partitions}
        arriving = arriving_per_s(log.since(topic, partitions, _a_while_ago_ms()), ends)
        counts = _Counting(log, pipeline, spans, count_s=COUNT_S if count_s is None else count_s).result()
        owners = group.owners(topic)
    held = {p: max(0, very_ends[p] - ends[p]) for p in partitions}
    opened_ms = since_ms(settings, topic, {p: ends[p] for p in partitions if held[p]})
    now_ms = time.time() * 1000
    return PipelineLag(
        pipeline.name,
        topic,
        owners.rebalancing,
        tuple(
            PartitionLag(
                p,
                committed[p],
                ends[p],
                counts[p].lag,
                counts[p].exact,
                seconds_behind_event=counts[p].seconds_behind_event,
                seconds_behind_append=counts[p].seconds_behind_append(now_ms),
                owner=owners.of.get(p),
                held=held[p],
                held_seconds=max(0.0, now_ms - opened_ms[p]) / 1000 if p in opened_ms else None,
            )
            for p in partitions
        ),
        arriving,
        workers_wanted(
            settings, lag=sum(count.lag for count in counts.values()), arriving=arriving, partitions=len(partitions)
        ),
    )


def _a_while_ago_ms() -> int:
    return int((time.time() - ARRIVED_S) * 1000)


class _Count:
    """What was seen of one partition so far, in the order of its records."""

    def __init__(self, span: Span, admission: Admission) -> None:
        self.span = span
        self.reached = span.start
        self._admission = admission
        self._visible = 0
        self._first_append_ms: int | None = None
        self._first_event_ms: int | None = None
        self._newest_event_ms: int | None = None

    @property
    def exact(self) -> bool:
        return self.reached >= self.span.end

    @property
    def lag(self) -> int:
        return self._visible + len(Span(self.reached, self.span.end))

    @property
    def seconds_behind_event(self) -> float | None:
        if not self.lag:
            return 0.0
        if self._first_event_ms is None or self._newest_event_ms is None:
            return None
        return max(0, self._newest_event_ms - self._first_event_ms) / 1000  # events may come in any order

    def seconds_behind_append(self, now_ms: float) -> float | None:
        if not self.lag:
            return 0.0
        if self._first_append_ms is None:
            return None
        return max(0.0, now_ms - self._first_append_ms) / 1000  # Kafka's clock may be ahead of ours

    def see(self, records: Sequence[Message]) -> None:
        """Count these; they follow those before."""
        self._visible += len(records)
        self.reached = (records[-1].offset() or 0) + 1
        if self._first_append_ms is None:
            self._first_append_ms = records[0].timestamp()[1]
        if self._first_event_ms is None:
            self._first_event_ms = self._time_of_any(records[:LOOKED_AT])
        self.see_end(records)

    def see_end(self, records: Sequence[Message]) -> None:
        """Only look for the newest event. Records that are none have no event time: they become dead letters."""
        newest = self._time_of_any(records[: -LOOKED_AT - 1 : -1])
        self._newest_event_ms = self._newest_event_ms if newest is None else newest

    def forget_newest(self) -> None:
        self._newest_event_ms = None

    def _time_of_any(self, records: Iterable[Message]) -> int | None:
        for record in records:
            event = self._admission.admit(record_of(record.topic() or "", record))
            if not isinstance(event, RecordError):
                return event.time_ms
        return None


class _Counting:
    """Reads the spans from their start, then the ends of those that are too long."""

    def __init__(self, log: Log, pipeline: Pipeline, spans: dict[int, Span], *, count_s: float) -> None:
        self._log = log
        self._count_s = count_s
        self._topic = pipeline.source.name
        admission = Admission(pipeline)
        self._counts = {p: _Count(span, admission) for p, span in spans.items()}

    def result(self) -> dict[int, _Count]:
        first = {p: Span(c.span.start, min(c.span.end, c.span.start + COUNTED)) for p, c in self._counts.items()}
        if self._read(first, _Count.see):
            for partition, span in first.items():
                self._counts[partition].reached = span.end  # what is left of it are markers and aborted records
        rest = {p: c for p, c in self._counts.items() if not c.exact}
        for count in rest.values():
            count.forget_newest()  # it was the newest of those that were read
        self._read({p: Span(max(c.reached, c.span.end - NEWEST), c.span.end) for p, c in rest.items()}, _Count.see_end)
        return self._counts

    def _read(self, spans: dict[int, Span], see: Any) -> bool:
        """Show each count its records. Gives whether all were read in time."""
        if not any(map(len, spans.values())):
            return True
        deadline = time.monotonic() + self._count_s
        for records in self._log.scan(self._topic, spans):
            of: defaultdict[int, list[Message]] = defaultdict(list)
            for record in records:
                of[record.partition() or 0].append(record)
            for partition, own in of.items():
                see(self._counts[partition], own)
            if time.monotonic() > deadline:
                return False
        return True
