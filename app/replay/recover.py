"""Where a group stands, read off what it left: for a group whose offsets expired, were deleted or moved by hand.

A pipeline that answers names the record that each answer is of, so the group stands behind the last answered one. One
that only folds has its markers in Redis, which never lie beyond what was committed, and its dead letters.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from confluent_kafka import Message

from app.errors import Refused
from app.features.store import Store, connected
from app.pipeline import Pipeline
from app.record import headers_of
from app.replay.audit import source_of
from app.replay.group import Group
from app.replay.letters import attempt_of, is_live, is_of
from app.replay.log import Log, Span
from app.settings import Settings

PATIENCE_S = 60.0
LOOK = 20  # of the last answers of a partition: enough to tell that there are any

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Recovered:
    """One partition: the offset that the group had (None: none), and the one that it is to have."""

    partition: int
    before: int | None
    offset: int


def recover(
    settings: Settings,
    pipeline: Pipeline,
    *,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
    patience_s: float = PATIENCE_S,
) -> list[Recovered]:
    """Set the group's offsets to where its answers end. `dry_run`: only find out.

    `progress` is told offsets read and to read. Raises Refused while the group has members, or where an input before
    the last answered one has no answer; Unavailable where Kafka or Redis does not answer.
    """
    with (
        contextlib.closing(Log(settings, pipeline.name, patience_s=patience_s)) as log,
        contextlib.closing(Group(settings, pipeline.name, patience_s=patience_s)) as group,
    ):
        partitions = log.partitions(pipeline.source.name)
        if not dry_run:
            _refuse_members(group)
        before = group.committed(pipeline.source.name, partitions)
        found = _Recovery(log, settings, pipeline, partitions, progress).offsets()
        if not dry_run:
            changed = {p: offset for p, offset in found.items() if offset != before[p]}
            group.set(pipeline.source.name, changed)
        return [Recovered(p, before[p], found[p]) for p in partitions]


def refuse_forgotten(settings: Settings, pipeline: Pipeline, *, patience_s: float) -> None:
    """Raises Refused where the group has no offset of a partition whose inputs have answers: it expired.

    Cheap: ends, and the last few answers. Whoever started all the same would answer everything twice.
    """
    if pipeline.answers is None:
        return
    topic, source = pipeline.answers.name, pipeline.source.name
    with (
        contextlib.closing(Log(settings, pipeline.name, patience_s=patience_s)) as log,
        contextlib.closing(Group(settings, pipeline.name, patience_s=patience_s)) as group,
    ):
        # Ends first: what is answered below a settled end is committed, or about to be, when the group is asked.
        partitions = log.partitions(topic)
        starts, ends = log.starts(topic, partitions), log.ends(topic, partitions, settled=True)
        spans = {p: Span(max(starts[p], ends[p] - LOOK), ends[p]) for p in partitions}
        committed = group.committed(source, log.partitions(source))
        lost = {b"%b/%d" % (source.encode(), p): p for p, at in committed.items() if at is None}
        if not lost or not any(map(len, spans.values())):
            return
        for records in log.scan(topic, spans):
            for record in records:
                partition = lost.get(source_of(record).rpartition(b"/")[0])
                if partition is not None and is_live(headers_of(record)):
                    raise Refused(
                        f"{source}/{partition} has answers on {topic}, but the group {pipeline.name} has no committed "
                        f"offset there: it expired or was deleted. `streaminfer offsets recover {pipeline.name}` sets "
                        "it to where scoring ended; without it everything would be scored twice."
                    )


def _refuse_members(group: Group) -> None:
    members = group.members()
    if members:
        raise Refused(
            f"The group {group.name} has members ({', '.join(sorted(members)[:5])}), which commit its offsets "
            "themselves. End them first; one that was killed is a member until its session ends."
        )


class _Recovery:
    """What the topics of one pipeline say of where its group stands."""

    def __init__(
        self, log: Log, settings: Settings, pipeline: Pipeline, partitions: Sequence[int], progress: Progress
    ) -> None:
        self._log = log
        self._settings = settings
        self._pipeline = pipeline
        self._source = source = pipeline.source.name
        self._progress = progress
        starts, ends = log.starts(source, partitions), log.ends(source, partitions, settled=True)
        self._spans = {p: Span(starts[p], ends[p]) for p in partitions}
        self._by_address = {b"%b/%d" % (source.encode(), p): p for p in partitions}
        self._answered = {p: np.zeros(len(span), np.bool_) for p, span in self._spans.items()}
        self._seen = {p: np.zeros(len(span), np.bool_) for p, span in self._spans.items()}
        self._judged_from = dict.fromkeys(partitions, 0)  # what lies before may have had answers that were deleted
        self._done = self._total = 0

    def offsets(self) -> dict[int, int]:
        self._read_answers(self._pipeline.dead_letters)
        if self._pipeline.answers is None:
            return self._folded()
        self._read_answers(self._pipeline.answers.name)
        for records in self._scan(self._source, self._spans):
            for record in records:
                partition = record.partition() or 0
                self._seen[partition][(record.offset() or 0) - self._spans[partition].start] = True
        return {partition: self._scored(partition) for partition in self._spans}

    def _read_answers(self, topic: str) -> None:
        partitions = self._log.partitions(topic)
        starts, ends = self._log.starts(topic, partitions), self._log.ends(topic, partitions, settled=False)
        first: dict[int, int] = {}
        for records in self._scan(topic, {p: Span(starts[p], ends[p]) for p in partitions}):
            for record in records:
                headers = headers_of(record)
                if not is_of(self._pipeline, headers) or not is_live(headers):
                    continue  # another pipeline's letter, or an answer of a replay
                address, _, digits = source_of(record).rpartition(b"/")
                partition = self._by_address.get(address)
                if partition is not None and digits.isdigit():
                    span, offset = self._spans[partition], int(digits)
                    if span.start <= offset < span.end:
                        self._answered[partition][offset - span.start] = True
                        if attempt_of(headers) == 1:  # a later try comes long after its neighbours' answers
                            first.setdefault(partition, offset - span.start)
        if any(starts.values()):
            for partition, span in self._spans.items():
                since = first.get(partition, len(span))
                self._judged_from[partition] = max(self._judged_from[partition], since)

    def _scan(self, topic: str, spans: dict[int, Span]) -> Iterator[list[Message]]:
        self._total += sum(map(len, spans.values()))
        for records in self._log.scan(topic, spans):
            yield records
            self._done += len(records)
            self._progress(self._done, self._total)

    def _scored(self, partition: int) -> int:
        """Behind the last answered input. Transactions commit in order, so none before it can be without an answer."""
        span, answered = self._spans[partition], self._answered[partition]
        if not answered.any():
            return span.start
        last = int(np.flatnonzero(answered)[-1])
        first = self._judged_from[partition]
        gaps = np.flatnonzero((self._seen[partition] & ~answered)[first:last]) + first
        if len(gaps):
            raise Refused(
                f"{self._source}/{partition} is answered up to offset {span.start + last}, but {len(gaps):,} inputs "
                f"before it are not, the first at {span.start + int(gaps[0])}: the offset was moved by hand. No offset "
                f"answers all of them once. `streaminfer audit {self._pipeline.name}` lists them; set the offset by "
                "Kafka's kafka-consumer-groups.sh."
            )
        return span.start + last + 1

    def _folded(self) -> dict[int, int]:
        """Behind what is folded and what is dead-lettered: both were committed. What lies beyond is folded again."""
        settings, partitions = self._settings, list(self._spans)
        with connected(settings, least_s=5.0) as client:
            store = Store(client, self._pipeline.name)
            views = self._pipeline.views
            found = [store.markers(view.name, partitions, self._pipeline.digest(view)) for view in views]
        offsets: dict[int, int] = {}
        for i, partition in enumerate(partitions):
            span, letters = self._spans[partition], np.flatnonzero(self._answered[partition])
            folded = [marker.next for of_view in found if (marker := of_view[i]) is not None]
            behind = span.start + int(letters[-1]) + 1 if len(letters) else span.start
            offsets[partition] = min(span.end, max([behind, *folded]))
        return offsets
