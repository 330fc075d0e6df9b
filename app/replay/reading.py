"""What a replay's bounds mean in offsets, found by reading the log: event times are in the values, in any order.

Record times only help where they are a sound bound: an admitted event's time is never ahead of its record's by more
than the pipeline's `ahead_ms`, so nothing before the first record of that time less `ahead_ms` can be of interest. How
late an event may come nobody declares, so an end by time is looked for up to the log's end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.contracts.admission import Admission
from app.errors import RecordError
from app.pipeline import Pipeline
from app.record import record_of
from app.replay.bounds import Bound
from app.replay.log import Log, Span
from app.replay.plan import Stretch

BEFORE = 2_000  # offsets before a sound bound that are looked at for an event to begin with
EVER_MS = 1 << 53

Told = Callable[[int], None]


@dataclass(frozen=True)
class Reach:
    """Where the state of a partition begins, and the time of the first event there (None: there is none)."""

    fold_from: int
    oldest_ms: int | None


class Reading:
    """One pipeline's input, as the loop admits it. `told` hears how many records were read."""

    def __init__(self, log: Log, pipeline: Pipeline, *, told: Told) -> None:
        self._log = log
        self._pipeline = pipeline
        self._told = told
        self.topic = pipeline.source.name
        self.topic_id, self.partitions = log.identity(self.topic)
        self.starts = log.starts(self.topic, self.partitions)
        self.ends = log.ends(self.topic, self.partitions, settled=True)
        self._admission = Admission(pipeline)
        self._admission.width = len(self.partitions)

    @property
    def horizon_ms(self) -> int:
        """How far the longest view looks back, and how late an event may come for it; 0 where there is no view."""
        return max((view.within_ms + view.lateness_ms for view in self._pipeline.views), default=0)

    # -- where states begin ------------------------------------------------------------------------------------------

    def reach(self, need_ms: int | None) -> dict[int, Reach]:
        """Where to begin, so that a state has all events from `need_ms` on (None: all that there are).

        That is at an event before the first of those, so that the state knows that it is whole.
        """
        found: dict[int, Reach] = {}
        begun = self._not_before(need_ms)
        left = {p: _First(begun[p], need_ms) for p in self.partitions if begun[p] < self.ends[p]}
        for p in set(self.partitions) - set(left):
            found[p] = Reach(self.starts[p], None)
        for partition, offset, time_ms in self._events({p: Span(begun[p], self.ends[p]) for p in left}):
            first = left.get(partition)
            if first is not None and time_ms is not None and first.see(offset, time_ms):
                found[partition] = first.reach(self.starts[partition])
                del left[partition]
                if not left:
                    break
        return found | {p: first.reach(self.starts[p]) for p, first in left.items()}

    def _not_before(self, time_ms: int | None) -> dict[int, int]:
        """An offset before which no event is of `time_ms` or later, and then some."""
        if time_ms is None:
            return self.starts
        since = self._log.since(self.topic, self.partitions, max(0, time_ms - self._pipeline.ahead_ms))
        return {
            p: max(self.starts[p], (self.ends[p] if offset is None else offset) - BEFORE) for p, offset in since.items()
        }

    # -- what is answered --------------------------------------------------------------------------------------------

    def stretches(self, start: Bound, end: Bound, reach: Mapping[int, Reach]) -> dict[int, Stretch]:
        """The offsets that both bounds mean, with what lies there. A partition with nothing in it begins at its end."""
        spans = {p: self._span(p, start, end, reach[p]) for p in self.partitions}
        looks = {p: _Look(start, end, p, span) for p, span in spans.items()}
        for partition, offset, time_ms in self._events(spans):
            looks[partition].see(offset, time_ms)
        return {p: look.stretch(reach[p].fold_from, self.ends[p]) for p, look in looks.items()}

    def _span(self, partition: int, start: Bound, end: Bound, reach: Reach) -> Span:
        if any(bound.offsets is not None and partition not in bound.offsets for bound in (start, end)):
            return Span(self.ends[partition], self.ends[partition])
        upto = self.ends[partition] if end.offsets is None else min(end.offsets[partition], self.ends[partition])
        return Span(reach.fold_from, upto)

    def _events(self, spans: Mapping[int, Span]) -> Iterator[tuple[int, int, int | None]]:
        """Partition, offset and event time of each record; no time where it is no event."""
        admit, topic = self._admission.admit, self.topic
        for messages in self._log.scan(topic, spans):
            for message in messages:
                record = record_of(topic, message)
                event = admit(record)
                yield record.partition, record.offset, None if isinstance(event, RecordError) else event.time_ms
            self._told(len(messages))


class _First:
    """Looks for the first event of a time or later, and for one to begin with."""

    def __init__(self, begun: int, need_ms: int | None) -> None:
        self._begun = begun
        self._need_ms = need_ms
        self._before: tuple[int, int] | None = None
        self._first: tuple[int, int] | None = None

    def see(self, offset: int, time_ms: int) -> bool:
        """Whether it is found."""
        self._first = self._first or (offset, time_ms)
        if self._need_ms is None or time_ms >= self._need_ms:
            return True
        self._before = (offset, time_ms)
        return False

    def reach(self, log_start: int) -> Reach:
        """Without an event to begin with the state begins where the log does."""
        if self._before is not None:
            return Reach(*self._before)
        return Reach(log_start, self._first[1] if self._first is not None and self._begun == log_start else None)


class _Look:
    """One partition's records, from where its state begins."""

    def __init__(self, start: Bound, end: Bound, partition: int, span: Span) -> None:
        self._from_ms = start.time_ms
        self._to_ms = EVER_MS if end.time_ms is None else end.time_ms
        self._by_time = end.time_ms is not None
        self._start: int | None = None
        if start.time_ms is None:
            self._start = span.start if start.offsets is None else start.offsets.get(partition, span.end)
        self._end = span.end
        self._upto = 0
        self._warmup = 0
        self._seen = 0
        self._outside = 0
        self._first_ms: int | None = None
        self._kept = (0, 0)

    def see(self, offset: int, time_ms: int | None) -> None:
        if self._start is None and time_ms is not None and self._from_ms is not None and time_ms >= self._from_ms:
            self._start = offset
        if self._start is None or offset < self._start:
            self._warmup += 1
            return
        self._seen += 1
        if time_ms is None:
            if not self._by_time:
                self._keep(offset)
            return
        within = (self._from_ms is None or time_ms >= self._from_ms) and time_ms < self._to_ms
        self._outside += not within
        if time_ms < self._to_ms:
            self._keep(offset)
            self._first_ms = time_ms if self._first_ms is None else min(self._first_ms, time_ms)

    def _keep(self, offset: int) -> None:
        self._upto, self._kept = offset + 1, (self._seen, self._outside)

    def stretch(self, fold_from: int, log_end: int) -> Stretch:
        if self._start is None or self._upto <= self._start:
            return Stretch(log_end, log_end, log_end)
        events, outside = self._kept
        # By offsets the end is what was said: markers before it count as much as records.
        end = self._upto if self._by_time else self._end
        fold_from = min(fold_from, self._start)
        return Stretch(fold_from, self._start, end, events, outside, self._warmup, self._first_ms)


def gap(stretches: Mapping[int, Stretch], reach: Mapping[int, Reach], need: Mapping[int, int]) -> Sequence[int]:
    """Partitions whose first answers look back on what is not there any more; `need` has back to which time."""
    return [
        p
        for p, stretch in stretches.items()
        if len(Span(stretch.start, stretch.end))
        and reach[p].fold_from > 0
        and p in need
        and ((oldest := reach[p].oldest_ms) is None or oldest > need[p])
    ]
