"""Lookups that others write, as far as a worker has read them: packed tables of a load, and rows by key."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from app.errors import Unavailable
from app.features.lookups import Answer, Keyed, Lookup, Stored, Values, Written, loaded_ms
from app.features.oddities import Oddities
from app.features.reader import Ask, Found, Reader
from app.features.store import Store

if TYPE_CHECKING:
    from app.contracts.admission import Admitted

AWAY_S = 1.0  # for so long nothing that can be gone without is asked of a Redis that did not answer


def reader_of(lookup: Written, store: Store, *, most: int = 500_000) -> Reader:
    """The reader that a layout needs; `most` rows stay in memory."""
    if isinstance(lookup, Lookup):
        return Table(lookup, store, most=most)
    if isinstance(lookup, Keyed):
        return Rows(lookup, most=most)
    raise TypeError(f"{type(lookup).__name__} is no layout of a lookup")


class Table:
    """A lookup's rows in memory, `most` of them. `build` is None until a load is found."""

    def __init__(self, lookup: Lookup, store: Store, *, most: int = 500_000) -> None:
        self.lookup = lookup
        self.columns = lookup.columns
        self.build: str | None = None
        self.rows: dict[str, Values | None] = {}
        self.oddities = Oddities(lookup.name)
        self._store = store
        self._most = most
        self._asked: list[str] = []
        self._quiet_until = 0.0
        self._loaded_ms: float = -math.inf

    @property
    def held(self) -> int:
        return len(self.rows)

    def begin(self) -> None:
        """A row that is in memory stays as it is until the next refresh."""

    def asks(self, admitted: Sequence[Admitted]) -> list[Ask]:
        """The rows that are missing, with the pointer that says which build serves."""
        rows, entity = self.rows, self.lookup.entity
        self._asked = list({name: None for event in admitted if (name := entity(event.event)) not in rows})
        if not self._asked or time.monotonic() < self._quiet_until:
            return []
        names = self._asked if self.build is not None else []
        return [Ask([self.lookup.pointer, *(self.lookup.row_key(self.build or "", name) for name in names)])]

    def take(self, found: Sequence[Found]) -> None:
        """Rows into the table; where another build serves by now, empty the table instead, and ask again."""
        ((pointer, *blobs),) = found
        if pointer is not None and pointer.decode(errors="replace") != self.build:
            self._turn(pointer)
            return
        for name, blob in zip(self._asked, blobs or [None] * len(self._asked), strict=True):
            if blob is None:
                self.oddities.note("no-row", "")
            self.rows[name] = self.lookup.unpack(blob, self.oddities.note) if blob is not None else None

    def _turn(self, pointer: bytes | None) -> None:
        self.build, self.rows = pointer.decode(errors="replace") if pointer is not None else None, {}
        loaded = loaded_ms(self.build) if self.build is not None else None
        self._loaded_ms = -math.inf if loaded is None else loaded

    def unread(self, admitted: Sequence[Admitted]) -> Iterable[Admitted]:
        """Redis did not answer: those who cannot go without, unless the declaration says that all can."""
        if self.lookup.degrades:
            self._quiet_until = time.monotonic() + AWAY_S
            return ()
        return (event for event in admitted if self.lookup.entity(event.event) not in self.rows)

    def hold(self, admitted: Sequence[Admitted]) -> dict[int, int]:  # noqa: ARG002 - a table makes nobody wait
        return {}

    def read(self, event: Admitted) -> Answer:
        values = self.rows.get(self.lookup.entity(event.event))
        age_ms = event.record.timestamp_ms - self._loaded_ms
        return _answer(self.lookup, self.oddities, values, age_ms)

    def refresh(self, partitions: Iterable[int]) -> None:  # noqa: ARG002 - a table knows no partitions
        """Forget the rows where another load serves, or where there are more than fit."""
        try:
            (pointer,) = self._store.mget([self.lookup.pointer])
        except Unavailable:
            return
        build = pointer.decode(errors="replace") if pointer is not None else None
        if build != self.build or len(self.rows) > self._most:
            self._turn(pointer)


class _Row(msgspec.Struct, frozen=True, gc=False):
    """A row in memory, and since when."""

    stored: Stored
    read_at: float


class Rows:
    """Rows that others change where they lie, in memory, `most` of them."""

    def __init__(self, lookup: Keyed, *, most: int = 500_000) -> None:
        self.lookup = lookup
        self.columns = lookup.columns
        self.rows: dict[str, _Row] = {}
        self.oddities = Oddities(lookup.name)
        self._most = most
        self._asked: list[str] = []
        self._fresh_from = 0.0
        self._quiet_until = 0.0

    @property
    def held(self) -> int:
        return len(self.rows)

    def begin(self) -> None:
        """What this batch reads is fresh to its end, and what was read before it for as long as is declared."""
        self._fresh_from = time.monotonic() - self.lookup.keep_s

    def asks(self, admitted: Sequence[Admitted]) -> list[Ask]:
        """The rows that are missing, and of a Redis that answers those that have been here for long."""
        rows, entity, fresh_from = self.rows, self.lookup.entity, self._fresh_from
        if time.monotonic() < self._quiet_until:
            if self.lookup.degrades:
                return []
            fresh_from = -math.inf
        wanted: dict[str, None] = {}
        for event in admitted:
            name = entity(event.event)
            row = rows.get(name)
            if row is None or row.read_at < fresh_from:
                wanted[name] = None
        self._asked = list(wanted)
        return [self.lookup.ask(self._asked)] if self._asked else []

    def take(self, found: Sequence[Found]) -> None:
        (answers,) = found
        now, parse, note = time.monotonic(), self.lookup.parse, self.oddities.note
        for name, answer in zip(self._asked, answers, strict=True):
            self.rows[name] = _Row(parse(answer, note), now)

    def unread(self, admitted: Sequence[Admitted]) -> Iterable[Admitted]:
        """Redis did not answer: rows that are in memory serve on, however long they have been there."""
        self._quiet_until = time.monotonic() + AWAY_S
        if self.lookup.degrades:
            return ()
        return (event for event in admitted if self.lookup.entity(event.event) not in self.rows)

    def hold(self, admitted: Sequence[Admitted]) -> dict[int, int]:  # noqa: ARG002 - a table makes nobody wait
        return {}

    def read(self, event: Admitted) -> Answer:
        row = self.rows.get(self.lookup.entity(event.event))
        if row is None:
            return _answer(self.lookup, self.oddities, None, math.inf)
        stored = row.stored
        age_ms = math.inf if stored.written_ms is None else event.record.timestamp_ms - stored.written_ms
        return _answer(self.lookup, self.oddities, stored.values, age_ms)

    def refresh(self, partitions: Iterable[int]) -> None:  # noqa: ARG002 - rows know no partitions
        if len(self.rows) > self._most:
            self.rows.clear()


def _answer(lookup: Written, oddities: Oddities, values: Values | None, age_ms: float) -> Answer:
    fresh_ms = lookup.fresh_ms
    if fresh_ms is not None and age_ms > fresh_ms and values is not None:
        oddities.note("too-old", "")
    elif values is not None and None not in values:
        return values, ()  # type: ignore[return-value]  # none of them is None
    return lookup.answer(values, age_ms)
