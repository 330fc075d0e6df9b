"""Whether recommendations hit: was the person's next item among those that were recommended before it?

Of CHOSEN persons at most, by a digest of their ids, the last LAST events and the last LAST answers are kept and
compared: a window, and not a total. Both lists take offsets in order only, so what comes twice changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter

import msgspec

from app.contracts.compile import compile_contract
from app.monitor.cells import Cell, Cells, Changes
from app.monitor.counts import DAY_MS, DAYS, Pairs, by_partition
from app.monitor.quality import chosen
from app.monitor.seen import HitsSeen
from app.monitor.watched import Watched
from app.record import Record

SHARE = 0.5
CHOSEN = 2_000
LAST = 20


class Met(msgspec.Struct):
    """A person's last events, as (event id, item, time), up to an offset."""

    next: int = 0
    events: list[tuple[str, str, int]] = msgspec.field(default_factory=list)


class Told(msgspec.Struct):
    """What a person was recommended last, as (event id, items), up to an offset."""

    next: int = 0
    answers: list[tuple[str, list[str]]] = msgspec.field(default_factory=list)


class Events(Cell):
    """All events of a partition."""

    read: int = 0
    malformed: int = 0
    newest_ms: int = 0


class Hits:
    """The input topic of a ranker, read for the items that its answers should have told; and those answers."""

    def __init__(self, of: Watched) -> None:
        source = of.pipeline.source
        self.topic = source.name
        self._decode = compile_contract(source.model).decode
        assert of.item is not None
        self._person, self._item = attrgetter(source.key), attrgetter(of.item)
        self._id, self._time = attrgetter(source.id), attrgetter(source.time)
        self._answered = attrgetter(of.pipeline.answering.key)
        self.totals = Cells(Events, "hits", self.topic)
        self._met = Cells(Met, "hits", self.topic)
        self._told = Cells(Told, "hits", self.topic)

    def see(self, records: Sequence[Record]) -> None:
        for partition, pairs in by_partition(records).items():
            total = self.totals.changing(str(partition))
            total.newest_ms = max(total.newest_ms, pairs[-1][0].timestamp_ms)
            for record, _ in pairs:
                isnew = record.offset >= total.next
                total.next = max(total.next, record.next_offset)
                total.read += isnew
                try:
                    event = self._decode(record.value)
                except (ValueError, RecursionError):
                    total.malformed += isnew
                    continue
                self._meet(record.offset, event)

    def _meet(self, offset: int, event: object) -> None:
        person = self._person(event)
        if not self._followed(person, self._met):
            return
        met = self._met.changing(person)
        if offset >= met.next:
            met.next = offset + 1
            met.events = [*met.events[-LAST + 1 :], (self._id(event), self._item(event), self._time(event))]

    def tell(self, _: int, events: Pairs) -> None:
        """Answers of the pipeline."""
        for record, answer in events:
            person = self._answered(answer)
            if not self._followed(person, self._told):
                continue
            told = self._told.changing(person)
            if record.offset >= told.next:
                told.next = record.next_offset
                items = [item.item_id for item in answer.items]
                told.answers = [*told.answers[-LAST + 1 :], (answer.event_id, items)]

    def _followed(self, person: str, cells: Cells[Met] | Cells[Told]) -> bool:
        return person in cells.of or (chosen(person, SHARE) and len(cells.of) < CHOSEN)

    def days(self) -> list[HitsSeen]:
        """The oldest first."""
        followed: defaultdict[int, int] = defaultdict(int)
        hits: defaultdict[int, int] = defaultdict(int)
        for person, met in self._met.of.items():
            told = self._told.of.get(person)
            answers = dict(told.answers) if told is not None else {}
            for (event_id, _, at), (_, item, _) in zip(met.events, met.events[1:], strict=False):
                if event_id in answers:
                    followed[at // DAY_MS] += 1
                    hits[at // DAY_MS] += item in answers[event_id]
        return [
            HitsSeen(day=_name(day), followed=followed[day], hits=hits[day], rate=hits[day] / followed[day])
            for day in sorted(followed)[-DAYS:]
        ]

    def goes_on(self, partition: str) -> int:
        return self.totals.of[partition].next

    def changes(self) -> Changes:
        yield from self._met.changes()
        yield from self._told.changes()

    def restore(self, key: str, value: bytes) -> bool:
        return any(cells.restore(key, value) for cells in (self.totals, self._met, self._told))


def _name(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_MS / 1000, UTC).strftime("%Y-%m-%d")
