"""The audit: one final answer for every visible input that the group has committed, and none for anything else.

Of the live run: what a replay has answered into the live topic is neither an answer here nor a second one.
It trusts nothing that the loop says of itself. Inputs are counted by reading them, answers by the `source` header of
each, and where the group stands is Kafka's word.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from confluent_kafka import Message

from app.errors import Refused, Unavailable
from app.pipeline import Pipeline
from app.record import headers_of
from app.replay.letters import attempt_of, is_live, is_of
from app.replay.log import Log, Span
from app.replay.tally import Findings, Tally
from app.settings import Settings
from app.stream.letters import named_source

DIGITS = 19  # of an offset at most: it is an int64

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Looked:
    """Which offsets [start, end) of an input partition were judged: retained, and committed by the group."""

    partition: int
    start: int
    end: int


@dataclass(frozen=True)
class AuditResult:
    """Counts of records, and a few of each kind that should not be.

    `missing`, `duplicated`: inputs with no answer, with more than one. `unexplained`: answers to what is no committed
    input, or of a try whose one before left no letter. A letter that was tried again is no final answer: `dead_letters`
    are the others, `redriven` those that were followed by another try, `parked` those of the last try that is made.
    Examples are `topic/partition/offset`; missing ones are `topic/partition/first-last` where a whole run of inputs
    is; unexplained ones say in words which record it is.
    """

    inputs: int
    predictions: int
    dead_letters: int
    missing: int
    duplicated: int
    unexplained: int
    looked: tuple[Looked, ...]
    redriven: int = 0
    parked: int = 0
    missing_examples: tuple[str, ...] = ()
    duplicated_examples: tuple[str, ...] = ()
    unexplained_examples: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not (self.missing or self.duplicated or self.unexplained)


def audit(
    settings: Settings, pipeline: Pipeline, *, progress: Progress | None = None, patience_s: float = 60.0
) -> AuditResult:
    """Compare the pipeline's answers and dead letters with its inputs, below what the group has committed.

    The pipeline may run meanwhile. `progress` is told offsets read and offsets to read. Raises Unavailable where
    Kafka, or an open transaction, keeps it waiting longer than `patience_s`; Refused where a topic is not there, or
    where too little of the answers is retained to judge, or the pipeline answers nothing.
    """
    with contextlib.closing(Log(settings, pipeline.name, patience_s=patience_s)) as log:
        return _Audit(log, pipeline, progress or _silent).result()


def _silent(done: int, total: int) -> None:
    """For those who do not watch."""


class _Audit:
    """One audit. The order in which ends are read is what makes it exact beside running workers.

    1. The answers' settled ends. Below them every transaction is decided, so the offsets of those that committed are
       in the group already, or are held open there.
    2. The group's offsets, waiting for those that are held open. So an answer below a settled end to an input at or
       beyond the group's offset cannot be work that just happened: it is unexplained. One beyond it can be.
    3. The answers' very ends. The answers to all that the group has committed were written before it did, so they lie
       below, though their transaction's marker may still be on its way: the reading waits until it has passed.
    """

    def __init__(self, log: Log, pipeline: Pipeline, progress: Progress) -> None:
        self._log = log
        self._source = pipeline.source.name
        self._pipeline = pipeline
        self._topics = (pipeline.answering.name, pipeline.dead_letters)
        self._progress = progress
        self._findings = Findings()
        there = {topic: log.partitions(topic) for topic in (self._source, *self._topics)}
        self._starts = {topic: log.starts(topic, partitions) for topic, partitions in there.items()}
        self._settled = {topic: log.ends(topic, there[topic], settled=True) for topic in self._topics}
        committed = log.committed(self._source, there[self._source])
        ends = {topic: log.ends(topic, partitions, settled=False) for topic, partitions in there.items()}
        self._tallies = {p: self._tally(p, committed[p], ends[self._source][p]) for p in there[self._source]}
        self._by_address = {tally.name.encode(): tally for tally in self._tallies.values()}
        self._spans = {
            topic: {p: Span(self._starts[topic][p], end) for p, end in ends[topic].items()} for topic in self._topics
        }
        self._spans[self._source] = {p: tally.span for p, tally in self._tallies.items()}
        self._read = 0
        self._total = sum(len(span) for spans in self._spans.values() for span in spans.values())

    def _tally(self, partition: int, committed: int | None, end: int) -> Tally:
        start = self._starts[self._source][partition]
        # Where nothing is committed nothing is judged, and every answer is one too many. An offset that was set by
        # hand beyond the log's end names inputs that are not there.
        upto = start if committed is None else committed
        span = Span(start, max(start, min(upto, end)))
        letters, attempts = self._pipeline.dead_letters, self._pipeline.attempts
        return Tally(f"{self._source}/{partition}", span, self._topics, letters=letters, attempts=attempts)

    def result(self) -> AuditResult:
        """Read all three topics and judge."""
        for records in self._scan(self._source):
            for partition, offsets in _offsets(records).items():
                self._tallies[partition].see(offsets)
        cuts = [self._read_answers(topic) for topic in self._topics]
        self._refuse_deleted_meanwhile()
        if any(cuts):
            self._judge_since(max(filter(None, cuts)))
        self._progress(self._total, self._total)
        for tally in self._tallies.values():
            tally.report(self._findings)
        found = self._findings
        predictions, letters = (found.answers.get(topic, 0) for topic in self._topics)
        return AuditResult(
            found.inputs,
            predictions,
            letters,
            missing=found.missing.count,
            duplicated=found.duplicated.count,
            unexplained=found.unexplained.count,
            looked=tuple(Looked(p, tally.judged_from, tally.span.end) for p, tally in self._tallies.items()),
            redriven=found.redriven,
            parked=letters if self._pipeline.attempts == 1 else found.parked,
            missing_examples=tuple(found.missing.examples),
            duplicated_examples=tuple(found.duplicated.examples),
            unexplained_examples=tuple(found.unexplained.examples),
        )

    def _scan(self, topic: str) -> Iterator[list[Message]]:
        for records in self._log.scan(topic, self._spans[topic]):
            yield records
            self._read += len(records)
            self._progress(self._read, self._total)

    def _read_answers(self, topic: str) -> int | None:
        """Count a topic's answers by their source. Gives the record time from which on none of them can be deleted.

        That is the latest first record of the partitions whose start is deleted; None where no start is.
        """
        cut = {partition for partition, span in self._spans[topic].items() if span.start > 0}
        oldest_ms: int | None = None
        for records in self._scan(topic):
            for record in records if cut else ():
                if record.partition() in cut:
                    cut.discard(record.partition() or 0)
                    oldest_ms = max(oldest_ms or 0, record.timestamp()[1])
            self._count(topic, records)
        if cut:
            raise Refused(
                f"All records of {topic}/{min(cut)} were deleted, so nobody can tell which inputs they answered: raise "
                "the topic's retention.ms, and run the audit again when the partition has records."
            )
        return oldest_ms

    def _count(self, topic: str, records: Iterable[Message]) -> None:
        settled = self._settled[topic]
        found: defaultdict[bytes, list[int]] = defaultdict(list)
        strays: list[str] = []
        for record in records:
            headers = headers_of(record)
            if topic == self._pipeline.dead_letters and not is_of(self._pipeline, headers):
                continue  # another pipeline on the same source wrote it
            if not is_live(headers):
                continue  # a replay's answer is one of another run
            source = source_of(record)
            address, _, digits = source.rpartition(b"/")
            tally = self._by_address.get(address)
            if tally is None or not digits.isdigit() or len(digits) > DIGITS:
                strays.append(f"{_place(record)} names no input of {self._source}")
                continue
            offset, attempt = int(digits), attempt_of(headers)
            if offset < tally.span.start:
                continue  # the input was deleted: there is nothing to compare with
            if not attempt:
                strays.append(f"{_place(record)} says no number of tries")
            elif offset < tally.span.end and attempt > 1:
                tally.tried_again(topic, offset, attempt)
            elif offset < tally.span.end:
                found[address].append(offset)
            elif (record.offset() or 0) < settled[record.partition() or 0]:
                strays.append(f"{_place(record)} answers {source.decode()}")
        for address, offsets in found.items():
            self._by_address[address].answered(topic, offsets)
        self._findings.unexplained.add(strays, len(strays))

    def _refuse_deleted_meanwhile(self) -> None:
        for topic, before in self._starts.items():
            if self._log.starts(topic, list(before)) != before:
                raise Unavailable(f"The oldest records of {topic} were deleted while they were read; run this again.")

    def _judge_since(self, oldest_ms: int) -> None:
        """Leave out inputs whose answers may be deleted: those that are older than the oldest answers which are left.

        An answer is younger than its input, where the broker stamps both.
        """
        for partition, first in self._log.since(self._source, list(self._tallies), oldest_ms).items():
            tally = self._tallies[partition]
            tally.judge_since(tally.span.end if first is None else first)


def _offsets(records: Iterable[Message]) -> dict[int, list[int]]:
    offsets: defaultdict[int, list[int]] = defaultdict(list)
    for record in records:
        offsets[record.partition() or 0].append(record.offset() or 0)
    return offsets


def source_of(record: Message) -> bytes:
    """The address of the record that this answers."""
    return named_source(headers_of(record))


def _place(record: Message) -> str:
    return f"{record.topic()}/{record.partition()}/{record.offset()}"
