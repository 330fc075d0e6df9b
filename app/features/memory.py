"""The features of one worker's partitions: loaded in one round trip a batch, folded and read in the log's order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import RecordError, Stage, Unavailable
from app.features.asof import INCOMPLETE
from app.features.held import Flushed, Held
from app.features.pace import Pace
from app.features.reader import Ask, Reader
from app.features.store import Store

if TYPE_CHECKING:
    from app.contracts.admission import Admitted
    from app.pipeline import Pipeline

LATE = "late"  # the mark of an event that came after a newer one of its entity
ROUNDS = 8  # of reading for one batch: what changes more often than that is not waited for


class Features(msgspec.Struct, frozen=True, gc=False):
    """One event's row, in the order of the pipeline's features, and what could not be exact about it."""

    row: tuple[Any, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Loaded:
    """What a load found out: whether Redis was asked, and whose state moved there.

    `held` has for each partition that cannot go on whole the first offset that must wait: because Redis does not
    answer, for which `why` is the sentence, or because something else is not far enough yet. `ahead` has the times of
    those that are next of their partition and wait for its readers.
    """

    asked: bool = False
    moved: frozenset[int] = frozenset()
    held: Mapping[int, int] = field(default_factory=dict)
    ahead: Mapping[int, int] = field(default_factory=dict)
    why: str = ""


@dataclass
class Owned:
    """The folded state of one partition: each view's part, and the first offset that memory has not folded."""

    held: tuple[Held, ...]
    next_offset: int


class Memory:
    """What a worker remembers. `entities` bounds how much folded state stays in memory."""

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        *,
        readers: Sequence[Reader] = (),
        pace: Pace | None = None,
        entities: int = 200_000,
    ) -> None:
        self.pipeline = pipeline
        self.store = store
        self.owned: dict[int, Owned] = {}
        self.readers = tuple(readers)
        self.pace = pace
        self.entities = entities

    # -- loading ---------------------------------------------------------------------------------------------------

    def load(self, admitted: Sequence[Admitted], *, lookups: bool = True) -> Loaded:
        """Bring what the events need into memory, by one round trip, each partition's states with its marker.

        Partitions whose marker is not the held one are `moved`; what must wait is `held`. Nothing is folded here.
        """
        readers = self.readers if lookups else ()
        for reader in readers:
            reader.begin()
        asked, moved = False, set[int]()
        try:
            for _ in range(ROUNDS):
                missing = self._missing(admitted) if not asked else {}
                asks = [reader.asks(admitted) for reader in readers]
                if not missing and not any(asks):
                    break
                asked = True
                moved |= self._fetch(missing, readers, asks)
            else:
                raise Unavailable("What is looked up in Redis keeps changing.")
        except Unavailable as error:
            return Loaded(asked=True, moved=frozenset(moved), held=self._stopped(admitted, readers), why=str(error))
        if not lookups:
            return Loaded(asked, frozenset(moved))
        held: dict[int, int] = {}
        for reader in readers:
            for partition, offset in reader.hold(admitted).items():
                held[partition] = min(offset, held.get(partition, offset))
        ahead = self._ahead(admitted, held)
        return Loaded(asked, frozenset(moved), held, ahead)

    def _missing(self, admitted: Sequence[Admitted]) -> dict[Held, list[bytes]]:
        missing: dict[Held, dict[bytes, None]] = {}
        for event in admitted:
            for held in self.owned[event.partition].held:
                if event.entity not in held.states:
                    missing.setdefault(held, {})[event.entity] = None
        return {held: list(entities) for held, entities in missing.items()}

    def _fetch(
        self, missing: Mapping[Held, list[bytes]], readers: Sequence[Reader], asks: Sequence[Sequence[Ask]]
    ) -> set[int]:
        mine = [Ask([held.marker_key, *map(held.key, entities)]) for held, entities in missing.items()]
        found = self.store.read([*mine, *(ask for of_reader in asks for ask in of_reader)])
        moved = set()
        for (held, entities), (marker, *blobs) in zip(missing.items(), found, strict=False):
            if held.still_mine(marker):
                for entity, blob in zip(entities, blobs, strict=True):
                    held.take(entity, blob)
            else:
                moved.add(held.partition)
        place = len(mine)
        for reader, of_reader in zip(readers, asks, strict=True):
            if of_reader:
                reader.take(found[place : place + len(of_reader)])
            place += len(of_reader)
        return moved

    def _stopped(self, admitted: Sequence[Admitted], readers: Sequence[Reader]) -> dict[int, int]:
        """By partition the first event that needs what only Redis has."""
        stopped: dict[int, int] = {}
        for event in admitted:
            if any(event.entity not in held.states for held in self.owned[event.partition].held):
                stopped.setdefault(event.partition, event.offset)
        for reader in readers:
            for event in reader.unread(admitted):
                stopped[event.partition] = min(event.offset, stopped.get(event.partition, event.offset))
        return stopped

    def _ahead(self, admitted: Sequence[Admitted], held: dict[int, int]) -> dict[int, int]:
        """Adds to `held` what lies too far ahead of this pipeline's readers. Gives the times of those that are next."""
        beyond = self.pace.hold(admitted) if self.pace is not None else {}
        first = {event.partition: event for event in reversed(admitted)} if beyond else {}
        ahead: dict[int, int] = {}
        for partition, event in beyond.items():
            held[partition] = event.offset
            if event is first[partition]:
                # Nothing before it is missing: readers that wait for this time need not wait for the event. Where
                # something lies before it, that is folded first, or it would come too late.
                ahead[partition] = event.time_ms
                for view in self.owned[partition].held:
                    view.newest_ms = max(view.newest_ms, event.time_ms)
        return ahead

    def refresh(self) -> None:
        """Between batches: look whether anything serves that was not there, and keep within bounds."""
        for reader in self.readers:
            reader.refresh(self.owned)
        if self.pace is not None:
            self.pace.refresh()

    # -- folding ---------------------------------------------------------------------------------------------------

    def features(self, event: Admitted) -> Features:
        """Fold one loaded event into every view and read the whole row as of its time.

        Raises RecordError where the pipeline's own function of the event fails; the event is folded then too.
        """
        owned = self.owned[event.partition]
        row: tuple[Any, ...] = ()
        marks: tuple[str, ...] = ()
        for held in owned.held:
            state, late = held.fold(event.entity, event.event, event.offset, event.time_ms)
            row += held.view.read(state, event.time_ms)
            if late and LATE not in marks:
                marks += (LATE,)
            if held.marker.since and INCOMPLETE not in marks and not held.is_whole(event.time_ms):
                marks += (INCOMPLETE,)
        for reader in self.readers:
            values, more = reader.read(event)
            row += values
            if more:
                marks += tuple(mark for mark in more if mark not in marks)
        # After the fold: state counts every event that was admitted, as catching up does.
        return Features(self._of(event.event) + row, marks)

    def _of(self, event: Any) -> tuple[float, ...]:
        declared = self.pipeline.event
        if declared is None:
            return ()
        try:
            values = tuple(map(float, declared.of(event)))  # whatever kind of number it gave: the answer's bytes
        except Exception as error:  # the pipeline's own code, on an event that it was not written for
            why = f"failed on this event ({type(error).__name__})"
            raise RecordError(Stage.FEATURES, "failed", f"The pipeline's own features {why}.") from error
        if len(values) != len(declared.columns):
            why = f"gave {len(values)} values in place of {len(declared.columns)}"
            raise RecordError(Stage.FEATURES, "failed", f"The pipeline's own features {why}.")
        return values

    def fold_only(self, events: Iterable[Admitted]) -> None:
        """Fold loaded events without reading: how state catches up, and all that a fold-only pipeline does."""
        for event in events:
            for held in self.owned[event.partition].held:
                if event.offset >= held.marker.next:
                    held.fold(event.entity, event.event, event.offset, event.time_ms)

    @property
    def skipped(self) -> Counter[str]:
        """Events that are in no state, by why; of the partitions that are owned now.

        From copies: another thread may ask while the loop's adds a reason.
        """
        total: Counter[str] = Counter()
        for owned in list(self.owned.values()):
            for held in owned.held:
                total.update(dict(held.skipped))
        return total

    # -- writing ---------------------------------------------------------------------------------------------------

    def dirty(self, partition: int) -> int:
        owned = self.owned.get(partition)
        return sum(len(held.dirty) for held in owned.held) if owned else 0

    def flushed(self, partition: int) -> bool:
        """Whether Redis has all that memory has folded of this partition."""
        owned = self.owned[partition]
        return all(held.is_flushed(owned.next_offset) for held in owned.held)

    def end(self, partition: int) -> None:
        """The partition is folded to its planned end: readers of its views need wait for nothing more."""
        for held in self.owned[partition].held:
            held.ended = True

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
