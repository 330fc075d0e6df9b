"""The features of one worker's partitions: loaded in one round trip a batch, folded and read in the log's order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import RecordError, Stage, Unavailable
from app.features.held import Flushed, Held
from app.features.lookups import DEFAULTED, Lookup
from app.features.store import Store

if TYPE_CHECKING:
    from app.contracts.admission import Admitted
    from app.pipeline import Pipeline

LATE = "late"  # the mark of an event that came after a newer one of its entity
INCOMPLETE = "incomplete"  # the mark of an event whose windows reach back behind the log that could be folded


class Features(msgspec.Struct, frozen=True, gc=False):
    """One event's row, in the order of the pipeline's features, and what could not be exact about it."""

    row: tuple[float, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Loaded:
    """What a load found out: whether Redis was asked, whose state moved there, and who must wait for it."""

    asked: bool = False
    moved: frozenset[int] = frozenset()
    waiting: frozenset[int] = frozenset()
    why: str = ""


@dataclass
class Owned:
    """The folded state of one partition: each view's part, and the first offset that memory has not folded."""

    held: tuple[Held, ...]
    next_offset: int


@dataclass
class Table:
    """A lookup as far as this worker has read it. `build` is None until a load is found."""

    lookup: Lookup
    build: str | None = None
    rows: dict[str, tuple[float, ...] | None] = field(default_factory=dict)


class Memory:
    """What a worker remembers. `entities` and `rows` bound how much of it stays in memory."""

    def __init__(self, pipeline: Pipeline, store: Store, *, entities: int = 200_000, rows: int = 500_000) -> None:
        self.pipeline = pipeline
        self.store = store
        self.owned: dict[int, Owned] = {}
        self.tables = [Table(lookup) for lookup in pipeline.lookups]
        self.entities = entities
        self.rows = rows

    # -- loading ---------------------------------------------------------------------------------------------------

    def load(self, admitted: Sequence[Admitted], *, lookups: bool = True) -> Loaded:
        """Bring what the events need into memory, by one MGET together with each partition's marker.

        Partitions whose marker is not the held one are `moved`; where Redis does not answer, those that need it are
        `waiting` and the others may go on. Nothing is folded here.
        """
        missing = self._missing(admitted)
        wanted = self._wanted_rows(admitted) if lookups else {}
        if not missing and not any(wanted.values()):
            return Loaded()
        try:
            moved = self._fetch(missing, wanted)
            # A load that came to serve in between has emptied a table: the whole batch is read from it.
            while lookups and any((wanted := self._wanted_rows(admitted)).values()):
                self._fetch({}, wanted)
        except Unavailable as error:
            wanted = self._wanted_rows(admitted) if lookups else {}
            return Loaded(asked=True, waiting=self._needing(admitted, self._missing(admitted), wanted), why=str(error))
        return Loaded(asked=True, moved=moved)

    def _missing(self, admitted: Sequence[Admitted]) -> dict[Held, list[bytes]]:
        missing: dict[Held, dict[bytes, None]] = {}
        for event in admitted:
            for held in self.owned[event.partition].held:
                if event.entity not in held.states:
                    missing.setdefault(held, {})[event.entity] = None
        return {held: list(entities) for held, entities in missing.items()}

    def _wanted_rows(self, admitted: Sequence[Admitted]) -> dict[int, list[str]]:
        wanted: dict[int, list[str]] = {}
        for i, table in enumerate(self.tables):
            rows, entity = table.rows, table.lookup.entity
            wanted[i] = list({name: None for event in admitted if (name := entity(event.event)) not in rows})
        return wanted

    def _needing(
        self, admitted: Sequence[Admitted], missing: dict[Held, list[bytes]], wanted: dict[int, list[str]]
    ) -> frozenset[int]:
        waiting = {held.partition for held in missing}
        for i, names in wanted.items():
            absent, entity = set(names), self.tables[i].lookup.entity
            waiting.update(event.partition for event in admitted if entity(event.event) in absent)
        return frozenset(waiting)

    def _fetch(self, missing: dict[Held, list[bytes]], wanted: dict[int, list[str]]) -> frozenset[int]:
        keys: list[str | bytes] = []
        for held, entities in missing.items():
            keys.append(held.marker_key)
            keys.extend(map(held.key, entities))
        for i, names in wanted.items():
            table = self.tables[i]
            keys.append(table.lookup.pointer)
            if table.build is not None:
                keys.extend(table.lookup.row_key(table.build, name) for name in names)
        values = iter(self.store.mget(keys))
        moved = set()
        for held, entities in missing.items():
            mine = held.still_mine(next(values))
            for entity in entities:
                blob = next(values)
                if mine:
                    held.take(entity, blob)
            if not mine:
                moved.add(held.partition)
        for i, names in wanted.items():
            self._take_rows(self.tables[i], names, values)
        return frozenset(moved)

    def _take_rows(self, table: Table, names: list[str], values: Iterator[bytes | None]) -> None:
        """Rows into the table; where another build serves by now, empty the table instead."""
        pointer = next(values)
        blobs = [next(values) for _ in names] if table.build is not None else [None] * len(names)
        if pointer is not None and pointer.decode() != table.build:
            table.build, table.rows = pointer.decode(), {}
            return
        for name, blob in zip(names, blobs, strict=True):
            table.rows[name] = table.lookup.unpack(blob) if blob is not None else None

    def refresh_tables(self) -> None:
        """Between batches: forget the rows of a table where another load serves, or that is beyond its bound.

        Silent where Redis does not answer: what is in memory goes on.
        """
        if not self.tables:
            return
        try:
            pointers = self.store.mget([table.lookup.pointer for table in self.tables])
        except Unavailable:
            return
        for table, pointer in zip(self.tables, pointers, strict=True):
            build = pointer.decode() if pointer is not None else None
            if build != table.build or len(table.rows) > self.rows:
                table.build, table.rows = build, {}

    # -- folding ---------------------------------------------------------------------------------------------------

    def features(self, event: Admitted) -> Features:
        """Fold one loaded event into every view and read the whole row as of its time.

        Raises RecordError where the pipeline's own function of the event fails; the event is folded then too.
        """
        owned = self.owned[event.partition]
        row: tuple[float, ...] = ()
        marks: tuple[str, ...] = ()
        for held in owned.held:
            state, late = held.fold(event.entity, event.event, event.offset, event.time_ms)
            row += held.view.read(state, event.time_ms)
            if late and LATE not in marks:
                marks += (LATE,)
            if held.marker.since and INCOMPLETE not in marks and not held.is_whole(event.time_ms):
                marks += (INCOMPLETE,)
        for table in self.tables:
            values = table.rows[table.lookup.entity(event.event)]
            if values is None:
                values = table.lookup.defaults
                if DEFAULTED not in marks:
                    marks += (DEFAULTED,)
            row += values
        # After the fold: state counts every event that was admitted, as catching up does.
        return Features(self._of(event.event) + row, marks)

    def _of(self, event: Any) -> tuple[float, ...]:
        declared = self.pipeline.event
        try:
            values = tuple(map(float, declared.of(event)))  # whatever kind of number it gave: the answer's bytes
        except Exception as error:  # the pipeline's own code, on an event that it was not written for
            why = f"failed on this event ({type(error).__name__})"
            raise RecordError(Stage.FEATURES, "failed", f"The pipeline's own features {why}.") from error
        if len(values) != len(declared.columns):
            why = f"gave {len(values)} values in place of {len(declared.columns)}"
            raise RecordError(Stage.FEATURES, "failed", f"The pipeline's own features {why}.")
        return values

    def fold_only(self, events: Sequence[Admitted]) -> None:
        """Fold loaded events without reading: the way that state catches up with the log."""
        for event in events:
            for held in self.owned[event.partition].held:
                if event.offset >= held.marker.next:
                    held.fold(event.entity, event.event, event.offset, event.time_ms)

    # -- writing ---------------------------------------------------------------------------------------------------

    def dirty(self, partition: int) -> int:
        owned = self.owned.get(partition)
        return sum(len(held.dirty) for held in owned.held) if owned else 0

    def flushed(self, partition: int) -> bool:
        """Whether Redis has all that memory has folded of this partition."""
        owned = self.owned[partition]
        return all(not held.dirty and held.marker.next == owned.next_offset for held in owned.held)

    def flush(self, partition: int) -> Flushed:
        """Write one partition's state, folded up to its `next_offset`; none of its batches may be in flight.

        Raises Unavailable where Redis does not answer; the states stay dirty and in memory.
        """
        owned = self.owned[partition]
        for held in owned.held:
            if held.flush(owned.next_offset) is Flushed.ASSIGN_AGAIN:
                return Flushed.ASSIGN_AGAIN
            held.shed(self.entities // max(1, len(self.owned) * len(owned.held)))
        return Flushed.DONE
