"""What is counted of answers and of dead letters: in all, by ten seconds of Kafka's clock, by day of event time.

One reader for each topic. It takes records in the order of each partition, any of them any number of times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from app.contracts.compile import compile_contract
from app.monitor.bins import Floats, Spread, counted
from app.monitor.cells import Cell, Cells, Changes, fresh
from app.monitor.watched import Watched
from app.record import Headers, Record

TEN_MS = 10_000
TENS = 180  # half an hour
DAY_MS = 86_400_000
DAYS = 35  # of event time: whole months, and outcomes that take weeks
AHEAD_MS = DAY_MS  # an answer for the far future would make all other days old
REASONS = 100  # of dead letters: strangers may write any
MARKS = 100
OTHER = "other"

Pairs = list[tuple[Record, Any]]


class Total(Cell):
    """All records of a partition."""

    read: int = 0
    malformed: int = 0
    newest_ms: int = 0
    event_ms: int = 0
    models: dict[str, int] = msgspec.field(default_factory=dict)
    marks: dict[str, int] = msgspec.field(default_factory=dict)


class Ten(Cell):
    """Records that Kafka took within ten seconds; how late they were, as counts of Spread's bins by their number."""

    count: int = 0
    inexact: int = 0
    late: dict[int, int] = msgspec.field(default_factory=dict)
    scored: dict[int, int] = msgspec.field(default_factory=dict)


class Day(Cell):
    """Answers to events of one day: counts of each feature's bins and of the score's, last; sums of their values."""

    count: int = 0
    alerts: int = 0
    bins: list[list[int]] = msgspec.field(default_factory=list)
    sums: list[float] = msgspec.field(default_factory=list)


class Letters(Cell):
    """Dead letters of a partition by `stage|code`: how many, when the newest came, its reason and its source."""

    read: int = 0
    newest_ms: int = 0
    reasons: dict[str, tuple[int, int, str, str]] = msgspec.field(default_factory=dict)


class Reader(Protocol):
    """What one topic is read for. `totals` say how far; `changes` are those of all other cells.

    `goes_on` is where a partition is read on after a restart.
    """

    topic: str
    totals: Cells[Any]

    def see(self, records: Sequence[Record]) -> None: ...
    def goes_on(self, partition: str) -> int: ...
    def changes(self) -> Changes: ...
    def restore(self, key: str, value: bytes) -> bool: ...


class Answers:
    """The answers of one pipeline. `also` is shown the same events, after they are counted."""

    def __init__(self, of: Watched, arrived: Callable[[bytes], int]) -> None:
        self.topic = of.pipeline.answering.name
        self.watched = of
        self._decode = compile_contract(of.pipeline.answering.model).decode
        self._arrived = arrived
        self.totals = Cells(Total, "answers", self.topic)
        self.tens = Cells(Ten, "answers", self.topic)
        self.days = Cells(Day, "answers", self.topic)
        self.also: list[Callable[[int, Pairs], None]] = []
        known = of.reference.features if of.reference is not None else {}
        self.measured = tuple(name for name in of.features if name in known)
        self._edges = [known[name].edges for name in self.measured]
        if of.kind == "score" and of.reference is not None:
            self._edges.append(of.reference.score.edges)

    def see(self, records: Sequence[Record]) -> None:
        for partition, own in by_partition(records).items():
            total = self.totals.changing(str(partition))
            total.newest_ms = max(total.newest_ms, own[-1][0].timestamp_ms)
            pairs = [(record, self._event(record)) for record, _ in own]
            self._count(total, fresh(total, pairs))
            events = [pair for pair in pairs if pair[1] is not None]
            self._by_ten(partition, events)
            self._by_day(partition, events)
            for see in self.also:
                see(partition, events)

    def _event(self, record: Record) -> Any:
        """The answer, None where it is none: a stranger wrote it."""
        try:
            event: Any = self._decode(record.value)
        except (ValueError, RecursionError):
            return None
        return event if event.time_ms <= record.timestamp_ms + AHEAD_MS else None

    def _count(self, total: Total, pairs: Pairs) -> None:
        total.read += len(pairs)
        for _, event in pairs:
            if event is None:
                total.malformed += 1
                continue
            total.event_ms = max(total.event_ms, event.time_ms)
            _add(total.models, f"{event.model.name}@{event.model.version}", MARKS)
            for mark in event.marks:
                _add(total.marks, mark, MARKS)

    def _by_ten(self, partition: int, events: Pairs) -> None:
        for ten, pairs in _grouped(events, lambda pair: pair[0].timestamp_ms // TEN_MS).items():
            if ten > self.newest_ten - TENS:
                cell = self.tens.changing(f"{partition}.{ten}")
                new = fresh(cell, pairs)
                cell.count += len(new)
                cell.inexact += sum(bool(event.marks) for _, event in new)
                self._lateness(cell, new)
        expire(self.tens, TENS)

    @property
    def newest_event_ms(self) -> int:
        return max((total.event_ms for total in self.totals.of.values()), default=0)

    @property
    def newest_ten(self) -> int:
        return max((total.newest_ms for total in self.totals.of.values()), default=0) // TEN_MS

    def _lateness(self, cell: Ten, pairs: Pairs) -> None:
        late: list[int] = []
        scored: list[int] = []
        for record, _ in pairs:
            source, scored_at = two(record.headers, "source", "scored-at")
            came = self._arrived(source) if source else 0
            if came:
                late.append(record.timestamp_ms - came)
                if scored_at.isdigit() and len(scored_at) < 16:
                    scored.append(int(scored_at) - came)
        for found, counts in ((late, cell.late), (scored, cell.scored)):
            if found:
                for at, count in enumerate(Spread.counts(np.maximum(found, 0)).tolist()):
                    if count:
                        counts[at] = counts.get(at, 0) + count

    def _by_day(self, partition: int, events: Pairs) -> None:
        if not self._edges:
            return
        newest = self.newest_event_ms // DAY_MS
        for day, pairs in _grouped(events, lambda pair: pair[1].time_ms // DAY_MS).items():
            if day > newest - DAYS:
                cell = self.days.changing(f"{partition}.{day}")
                self._distribution(cell, fresh(cell, pairs))
        expire(self.days, DAYS)

    def _distribution(self, cell: Day, pairs: Pairs) -> None:
        if not cell.bins:
            cell.bins = [[0] * (len(edges) + 1) for edges in self._edges]
            cell.sums = [0.0] * len(self._edges)
        if not pairs:
            return
        columns = self._columns([event for _, event in pairs])
        cell.count += len(pairs)
        if self.watched.kind == "score":
            cell.alerts += sum(event.score >= event.threshold for _, event in pairs)
        for at, (column, edges) in enumerate(zip(columns, self._edges, strict=True)):
            mine = cell.bins[at]
            for bin_, more in enumerate(counted(column, edges).tolist()):
                mine[bin_] += more
            cell.sums[at] += float(column.sum())

    def _columns(self, events: list[Any]) -> list[Floats]:
        rows = np.array([msgspec.structs.astuple(event.features) for event in events], np.float64)
        order = {name: at for at, name in enumerate(self.watched.features)}
        columns = [rows[:, order[name]] for name in self.measured]
        if self.watched.kind == "score":
            columns.append(np.array([event.score for event in events]))
        return columns

    def goes_on(self, partition: str) -> int:
        return self.totals.of[partition].next

    def changes(self) -> Changes:
        yield from self.tens.changes()
        yield from self.days.changes()

    def restore(self, key: str, value: bytes) -> bool:
        return any(cells.restore(key, value) for cells in (self.totals, self.tens, self.days))


class DeadLetters:
    """The dead letters of one input topic, by stage and code."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.totals = Cells(Letters, "dead", topic)
        self.tens = Cells(Ten, "dead", topic)

    def see(self, records: Sequence[Record]) -> None:
        for partition, pairs in by_partition(records).items():
            letters = self.totals.changing(str(partition))
            letters.newest_ms = max(letters.newest_ms, pairs[-1][0].timestamp_ms)
            for record, _ in fresh(letters, pairs):
                letters.read += 1
                _note(letters, record)
            for ten, own in _grouped(pairs, lambda pair: pair[0].timestamp_ms // TEN_MS).items():
                if ten > letters.newest_ms // TEN_MS - TENS:
                    cell = self.tens.changing(f"{partition}.{ten}")
                    cell.count += len(fresh(cell, own))
        expire(self.tens, TENS)

    def goes_on(self, partition: str) -> int:
        return self.totals.of[partition].next

    def changes(self) -> Changes:
        yield from self.tens.changes()

    def restore(self, key: str, value: bytes) -> bool:
        return self.totals.restore(key, value) or self.tens.restore(key, value)


def _note(letters: Letters, record: Record) -> None:
    said = {name: value or b"" for name, value in record.headers or ()}
    stage, code, reason, source = (
        said.get(name, b"").decode("utf-8", "replace")[:length]
        for name, length in (("stage", 32), ("code", 64), ("reason", 300), ("source", 300))
    )
    name = f"{stage}|{code}"
    if name not in letters.reasons and len(letters.reasons) >= REASONS:
        name = f"{OTHER}|{OTHER}"
    count = letters.reasons[name][0] if name in letters.reasons else 0
    letters.reasons[name] = (count + 1, record.timestamp_ms, reason, source)


def by_partition(records: Sequence[Record]) -> dict[int, Pairs]:
    """Each partition's records by offset, each once: where Faust seeks back, one batch may hold a record twice."""
    found: defaultdict[int, dict[int, Record]] = defaultdict(dict)
    for record in records:
        found[record.partition][record.offset] = record
    return {partition: [(own[offset], None) for offset in sorted(own)] for partition, own in found.items()}


def two(headers: Headers | None, first: str, second: str) -> tuple[bytes, bytes]:
    """Two headers; empty where they are not there."""
    found = [b"", b""]
    for name, value in headers or ():
        if name == first:
            found[0] = value or b""
        elif name == second:
            found[1] = value or b""
    return found[0], found[1]


def expire(cells: Cells[Any], keep: int) -> None:
    """Drop what is `keep` or more behind the newest; names are `partition.number`."""
    if not cells.of:
        return
    newest = max(map(number, cells.of))
    for name in [name for name in cells.of if number(name) <= newest - keep]:
        cells.drop(name)


def number(name: str) -> int:
    return int(name.partition(".")[2])


def _grouped(pairs: Pairs, by: Callable[[tuple[Record, Any]], int]) -> dict[int, Pairs]:
    found: defaultdict[int, Pairs] = defaultdict(list)
    for pair in pairs:
        found[by(pair)].append(pair)
    return found


def _add(counts: dict[str, int], name: str, most: int) -> None:
    if name not in counts and len(counts) >= most:
        name = OTHER
    counts[name] = counts.get(name, 0) + 1
