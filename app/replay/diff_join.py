"""Two topics of answers to the same inputs, joined by the input that each answer names.

Both are read side by side, partition by partition: whoever has fewer answers waiting for their other half is read next.
Answers come in the order of their inputs, so a batch of each side is all that waits, wherever both topics have as many
partitions. Where they have not, or somebody wrote out of order, more waits: a bounded part of it in memory, the rest in
a temporary file. Two bytes an input are kept beside, to know whose answer came already.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from app.errors import Unavailable
from app.record import headers_of, last_header
from app.replay.audit import DIGITS, source_of
from app.replay.diff_held import Held, Place
from app.replay.log import Log, Span
from app.settings import Settings

GROUP = "streaminfer-diff"  # a consumer must name one; nothing is ever committed for it
PATIENCE_S = 60.0
SKEW_MS = 60_000  # two brokers' clocks, at most: an answer is never stamped earlier than so long before its input
HELD = 100_000  # answers of one side that wait in memory

OLD, NEW = 0, 1
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Side:
    """Where one side's answers are, and its dead letters.

    `replay`: only answers whose header of that name says so, "" for those that have none; any where it is None.
    """

    answers: str
    letters: str | None = None
    replay: str | None = None


class Pair(NamedTuple):
    """What became of one input on each side: a prediction, a dead letter's code, or neither of them."""

    place: Place
    old: bytes | None = None
    new: bytes | None = None
    old_letter: str | None = None
    new_letter: str | None = None
    key: bytes | None = None


@dataclass
class Gone:
    """What the join cannot tell by pairs: answers that came again, and whether a topic's oldest are deleted."""

    duplicated: list[int]
    deleted: list[bool]


class Join:
    """One join of two sides over the inputs `spans` of `source`. `gone` is whole once `pairs` has ended."""

    def __init__(
        self,
        settings: Settings,
        source: str,
        spans: Mapping[int, Span],
        *,
        sides: tuple[Side, Side],
        progress: Progress | None = None,
        patience_s: float = PATIENCE_S,
        held: int = HELD,
    ) -> None:
        self.gone = Gone([0, 0], [False, False])
        self._settings = settings
        self._source = source
        self._spans = spans
        self._sides = sides
        self._progress = progress or (lambda _done, _total: None)
        self._patience_s = patience_s
        self._answered = {p: np.zeros((2, len(span)), np.bool_) for p, span in spans.items()}
        self._addresses = {f"{source}/{p}".encode(): p for p in spans}
        self._waiting = (Held(held), Held(held))
        self._letters = (Held(held), Held(held))
        self._read = 0
        self._total = 0

    def pairs(self) -> Iterator[Pair]:
        """A pair for every input that was answered on either side; those with an answer on both come first.

        Raises Refused where a topic is not there, Unavailable where Kafka keeps it waiting too long or deletes what
        is read.
        """
        with contextlib.ExitStack() as stack:
            logs = [stack.enter_context(contextlib.closing(self._log())) for _ in self._sides]
            for held in (*self._waiting, *self._letters):
                stack.callback(held.close)
            bounds = [self._bounds(log, side.answers) for log, side in zip(logs, self._sides, strict=True)]
            lettered = [
                self._bounds(log, side.letters) if side.letters is not None else {}
                for log, side in zip(logs, self._sides, strict=True)
            ]
            self._total = sum(len(span) for spans in (*bounds, *lettered) for span in spans.values())
            for side in (OLD, NEW):
                self._read_letters(logs[side], lettered[side], side)
            for parts in _together(*bounds):
                yield from self._joined(logs, parts)
            for side in (OLD, NEW):
                self._refuse_deleted_meanwhile(logs[side], bounds[side], side)
            yield from self._halves()
            self._progress(self._total, self._total)

    def _log(self) -> Log:
        return Log(self._settings, GROUP, patience_s=self._patience_s)

    # -- where to read -------------------------------------------------------------------------------------------------

    def _bounds(self, log: Log, topic: str) -> dict[int, Span]:
        """What is to be read of a topic of answers: nothing in it is older than the first of the inputs."""
        partitions = log.partitions(topic)
        ends = log.ends(topic, partitions, settled=False)
        starts = log.starts(topic, partitions)
        since_ms = self._first_ms(log)
        if since_ms is not None:
            found = log.since(topic, partitions, since_ms - SKEW_MS)
            return {p: Span(ends[p] if (first := found[p]) is None else first, ends[p]) for p in partitions}
        return {p: Span(starts[p], ends[p]) for p in partitions}

    def _first_ms(self, log: Log) -> int | None:
        """When Kafka took the first of the inputs; None where its topic does not say, or has deleted it."""
        starts = log.starts(self._source, list(self._spans))
        ends = log.ends(self._source, list(self._spans), settled=True)
        firsts = []
        for partition, span in self._spans.items():
            if not len(span):
                continue
            if starts[partition] > span.start:
                return None
            there = Span(span.start, min(span.end, ends[partition]))
            first = next(iter(log.scan(self._source, {partition: there})), None)
            if first is None:
                continue
            kind, time_ms = first[0].timestamp()
            if kind != TIMESTAMP_LOG_APPEND_TIME:
                return None
            firsts.append(time_ms)
        return min(firsts, default=None)

    def _refuse_deleted_meanwhile(self, log: Log, bounds: Mapping[int, Span], side: int) -> None:
        topic = self._sides[side].answers
        starts = log.starts(topic, list(bounds))
        self.gone.deleted[side] = any(starts.values())
        if any(start > bounds[p].start and len(bounds[p]) for p, start in starts.items()):
            raise Unavailable(f"The oldest records of {topic} were deleted while they were read; run this again.")

    # -- reading -------------------------------------------------------------------------------------------------------

    def _read_letters(self, log: Log, bounds: Mapping[int, Span], side: int) -> None:
        topic = self._sides[side].letters
        for records in log.scan(topic, bounds) if topic is not None else ():
            self._tell(records)
            for record in records:
                place = self._place(record, side)
                if place is not None:
                    self._letters[side].put(place, last_header(headers_of(record), "code"))

    def _joined(self, logs: Sequence[Log], parts: tuple[Mapping[int, Span], Mapping[int, Span]]) -> Iterator[Pair]:
        """The pairs that are whole, of partitions that are read side by side."""
        scans = [iter(log.scan(side.answers, part)) for log, side, part in zip(logs, self._sides, parts, strict=True)]
        left = [OLD, NEW]
        while left:
            side = min(left, key=lambda one: len(self._waiting[one]))
            records = next(scans[side], None)
            if records is None:
                left.remove(side)
                continue
            self._tell(records)
            yield from self._matched(records, side)

    def _matched(self, records: Iterable[Message], side: int) -> Iterator[Pair]:
        mine, others = self._waiting[side], self._waiting[1 - side]
        for record in records:
            place = self._place(record, side)
            if place is None:
                continue
            partition, offset = place
            known = self._answered[partition][side]
            nth = offset - self._spans[partition].start
            if known[nth]:
                self.gone.duplicated[side] += 1
                continue
            known[nth] = True
            value = record.value() or b""
            other = others.pop(place)
            if other is None:
                mine.put(place, value)
                continue
            self._letters[OLD].pop(place)  # a letter that was answered after all is no answer
            self._letters[NEW].pop(place)
            old, new = (other, value) if side == NEW else (value, other)
            yield Pair(place, old, new, key=record.key())

    def _halves(self) -> Iterator[Pair]:
        """Inputs with a prediction on one side at most, after all of both sides were read."""
        for place, old in self._waiting[OLD].items():
            yield Pair(place, old, new_letter=self._letter(NEW, place))
            self._letters[OLD].pop(place)
        for place, new in self._waiting[NEW].items():
            yield Pair(place, None, new, old_letter=self._letter(OLD, place))
            self._letters[NEW].pop(place)
        for place, code in self._letters[OLD].items():
            yield Pair(place, old_letter=code.decode(errors="replace"), new_letter=self._letter(NEW, place))
        for place, code in self._letters[NEW].items():
            yield Pair(place, new_letter=code.decode(errors="replace"))

    def _letter(self, side: int, place: Place) -> str | None:
        code = self._letters[side].pop(place)
        return None if code is None else code.decode(errors="replace")

    def _place(self, record: Message, side: int) -> Place | None:
        """The input that this answers, if it is one of those that are compared."""
        replay = self._sides[side].replay
        if replay is not None and last_header(headers_of(record), "replay") != replay.encode():
            return None
        address, _, digits = source_of(record).rpartition(b"/")
        partition = self._addresses.get(address)
        if partition is None or not digits.isdigit() or len(digits) > DIGITS:
            return None
        offset = int(digits)
        span = self._spans[partition]
        return (partition, offset) if span.start <= offset < span.end else None

    def _tell(self, records: Sequence[Message]) -> None:
        self._read += len(records)
        self._progress(self._read, self._total)


def _together(
    old: Mapping[int, Span], new: Mapping[int, Span]
) -> Iterator[tuple[Mapping[int, Span], Mapping[int, Span]]]:
    """What to read side by side: a partition each where the keys of both are placed alike, else all of both."""
    if len(old) != len(new):
        yield old, new
        return
    for partition in sorted(old):
        yield {partition: old[partition]}, {partition: new[partition]}
