"""Dead letters tried again: the original bytes by today's contract, features as of the event, today's model.

It is the loop of every pipeline over another topic: records are the letters, and what answers them looks up first
whether anybody has answered before. Folded states are read and never written; an event that no state has is folded
into a copy of its own, once (protocol E1).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from app.contracts.admission import Admission, Admitted
from app.errors import Fatal, RecordError, Stage, Unavailable
from app.features.asof import INCOMPLETE
from app.features.held import Held
from app.features.lookups import Written
from app.features.marker import Marker, decode_marker
from app.features.memory import LATE, Features, Loaded, Memory
from app.features.reader import Ask, Reader
from app.features.store import Store
from app.features.views import View
from app.inference.model import Model
from app.inference.ranker import Ranker
from app.pipeline import Pipeline
from app.record import Headers, Output, Record
from app.replay.answered import Answered
from app.replay.letters import Letter, parted, read_letter
from app.stream.answers import Answers, Refusal
from app.stream.guard import Guard
from app.stream.letters import dead_letter, signature, source_of
from app.stream.processor import Processor

REDRIVEN = "redriven"  # the mark of features from a state that has gone on since the event
FOLDED = frozenset({Stage.FEATURES, Stage.SCORE, Stage.ENCODE, Stage.DELIVER})  # where its event was in the state
ROUNDS = 8  # of reading one batch's states: what is replaced more often than that is not waited for


class Original(Record, frozen=True, gc=False):
    """The record that a letter is of, as it lay on its topic, and what the letter says of the last try."""

    attempt: int
    stage: str
    contract: str


class Selection(msgspec.Struct, frozen=True):
    """Which letters are tried again: by words of their headers, and not those that were written before `since_ms`."""

    code: str | None = None
    reason: str | None = None
    stage: str | None = None
    since_ms: int | None = None

    def takes(self, letter: Letter) -> bool:
        return (
            (self.code is None or letter.code == self.code)
            and (self.reason is None or self.reason in letter.reason)
            and (self.stage is None or letter.stage == self.stage)
            and (self.since_ms is None or letter.at_ms >= self.since_ms)
        )


class Recollection(Memory):
    """States as of events that lie behind. Nothing is held between batches, and nothing is ever written."""

    def __init__(self, pipeline: Pipeline, store: Store, *, topic_id: str, readers: Sequence[Reader]) -> None:
        # The loop owns partitions of the letters, which have no state.
        super().__init__(replace(pipeline, views=()), store, readers=readers)
        self._whole = pipeline
        self._topic_id = topic_id
        self._digests = [(view, pipeline.digest(view)) for view in pipeline.views]
        self._own = len(pipeline.event.columns) if pipeline.event is not None else 0
        self._written = any(isinstance(lookup, Written) for lookup in pipeline.lookups)
        self._builds: dict[tuple[str, int], str] = {}
        self._found: dict[tuple[str, int, bytes], tuple[Marker, bytes | None]] = {}

    def load(self, admitted: Sequence[Admitted], *, lookups: bool = True) -> Loaded:
        """Bring the events' states and lookups here. Raises Fatal where nothing is folded as views are declared now."""
        self._found.clear()
        try:
            for view, digest in self._digests:
                self._read(view, digest, admitted)
        except Unavailable as error:
            first: dict[int, int] = {}
            for event in admitted:
                first.setdefault(event.partition, event.offset)
            return Loaded(asked=True, held=first, why=str(error))
        return super().load(admitted, lookups=lookups)

    def _read(self, view: View, digest: str, admitted: Sequence[Admitted]) -> None:
        wanted: dict[int, dict[bytes, None]] = {}
        for event in admitted:
            wanted.setdefault(event.record.partition, {})[event.entity] = None
        for _ in range(ROUNDS):
            if not wanted:
                return
            asks = [Ask(self._keys(view, partition, digest, entities)) for partition, entities in wanted.items()]
            for (partition, entities), (raw, *blobs) in zip(list(wanted.items()), self.store.read(asks), strict=True):
                marker = self._marker(view, partition, raw)
                if marker.build == self._builds.get((view.name, partition)):
                    self._found |= {
                        (view.name, partition, entity): (marker, blob)
                        for entity, blob in zip(entities, blobs, strict=True)
                    }
                    del wanted[partition]
                self._builds[view.name, partition] = marker.build  # and ask again: the keys were those of another
        if wanted:
            raise Unavailable(f"The state of {view.name} keeps being replaced.")

    def _keys(self, view: View, partition: int, digest: str, entities: Mapping[bytes, None]) -> list[str | bytes]:
        marker = self.store.marker_key(view.name, partition, digest)
        build = self._builds.get((view.name, partition))
        if build is None:
            return [marker]
        prefix = self.store.blob_key(view.name, partition, build).encode()
        return [marker, *(prefix + entity for entity in entities)]

    def _marker(self, view: View, partition: int, raw: bytes | None) -> Marker:
        marker = decode_marker(raw) if raw is not None else None
        if marker is None or marker.topic_id != self._topic_id:
            raise Fatal(
                f"Nothing of {self._whole.source.name}/{partition} is folded into {view.name} as it is declared now: "
                f"run {self._whole.name} first (`streaminfer run`), or `streaminfer features rebuild {view.name}`."
            )
        return marker

    def features(self, event: Admitted) -> Features:
        """The row as of the event, and what could not be exact. Raises RecordError as the live pipeline does."""
        base = super().features(event)
        row: tuple[Any, ...] = ()
        marks = dict.fromkeys(base.marks)
        for view, _ in self._digests:
            values, more = self._as_of(view, event)
            row += values
            marks |= dict.fromkeys(more)
        if self._written:  # what others write is what it is now
            marks[REDRIVEN] = None
        return Features(base.row[: self._own] + row + base.row[self._own :], tuple(marks))

    def _as_of(self, view: View, event: Admitted) -> tuple[tuple[Any, ...], list[str]]:
        original, time_ms = event.record, event.time_ms
        assert isinstance(original, Original)
        marker, blob = self._found[view.name, original.partition, event.entity]
        held = Held(view, original.partition, self.store, marker)
        held.take(event.entity, blob)
        state = held.states[event.entity]
        newest = view.describe(state).get("newest_ms")
        behind = isinstance(newest, int) and time_ms < newest
        # Refused by rules that no contract names, and taken by those of today: nobody can tell by which of them the
        # state was folded.
        unsaid = original.stage not in FOLDED and original.contract == self._whole.contract
        if state.next_offset <= original.offset:  # the state ends before it
            exact, counted = marker.next >= original.offset, False
        else:
            exact = state.next_offset == original.offset + 1
            counted = exact or not unsaid
        exact = exact and not unsaid
        if not counted:
            view.fold(state, event.event, time_ms)
        marks: list[str] = [] if exact else [REDRIVEN]
        if behind and exact:
            marks.append(LATE)
        pruned = isinstance(newest, int) and time_ms < newest - view.lateness_ms
        if pruned or (marker.since and not held.is_whole(time_ms)):
            marks.append(INCOMPLETE)
        return view.read(state, time_ms), marks


class Redriver(Processor):
    """Answers letters: each that is selected and left, once. `bounds` are the offsets up to which this run goes."""

    def __init__(
        self,
        pipeline: Pipeline,
        model: Model | Ranker | None,
        memory: Recollection,
        answered: Answered,
        *,
        selection: Selection,
        bounds: Mapping[int, int],
        rate: float | None = None,
    ) -> None:
        super().__init__(pipeline, model, memory)
        self.answered = answered
        self.beat: Callable[[], None] = lambda: None
        self.is_stale = True
        self._selection = selection
        self._bounds = bounds
        self._rate = rate
        self._due_at = 0.0
        # Of the letters' records; the loop tells the width of the letters' own topic to another one.
        self.admission.width = len(answered.address.ends)
        self.admission.topic_id = answered.address.topic_id

    def admit(self, records: Sequence[Record]) -> tuple[list[Admitted], list[Refusal]]:
        """Which letters are tried again as events, and which are refused again. The others are left as they are."""
        if self.is_stale:  # whoever wrote before these producers were initialised has written all that he will
            self._look()
        admitted: list[Admitted] = []
        refused: list[Refusal] = []
        for record in records:
            original = self.original(record) if self.is_due(record) else None
            if original is None:
                continue
            event = self.admission.admit(original)
            if isinstance(event, RecordError):
                refused.append((record, event))
            else:
                admitted.append(msgspec.structs.replace(event, partition=record.partition, offset=record.offset))
        return admitted, refused

    def _look(self) -> None:
        try:
            self.answered.look(self.beat)
        except Unavailable as error:
            raise Fatal(f"{error} Then run this again: it goes on where it stands.") from error
        self.is_stale = False

    def is_due(self, record: Record) -> bool:
        """Whether the letter is to be tried now: it is the record's latest, of this run, selected, and not parked."""
        if record.offset >= self._bounds.get(record.partition, 0):
            return False
        letter = read_letter(record, self.answered.address)
        mine = self.answered.latest.get(letter.source)
        if mine is None or (mine.partition, mine.offset) != (record.partition, record.offset):
            return False
        return self.answered.state(mine) == "open" and self._selection.takes(mine)

    def original(self, record: Record) -> Original:
        """The record that the letter carries, where and when it was."""
        letter = read_letter(record, self.answered.address)
        headers: Headers = parted(record.headers or [])[0]
        return Original(
            self.pipeline.source.name,
            letter.of_partition,
            letter.of_offset,
            letter.taken_ms,
            record.key,
            record.value,
            headers or None,
            letter.attempt,
            letter.stage,
            letter.contract,
        )

    def answer(self, admitted: Sequence[Admitted], refused: Sequence[Refusal]) -> list[Output]:
        self._pace(len(admitted) + len(refused))
        return super().answer(admitted, refused)

    def _answered(self, admitted: Sequence[Admitted], refusals: list[Refusal], answers: Answers) -> list[Output]:
        outputs = super()._answered(admitted, refusals, answers)
        attempts = {event.record.source: event.record.attempt for event in admitted}  # type: ignore[attr-defined]
        for output in outputs:
            output.headers.append(("attempt", b"%d" % (attempts[source_of(output)] + 1)))
        return outputs

    def letter(self, record: Record, error: RecordError) -> Output:
        original = record if isinstance(record, Original) else self.original(record)
        attempt = original.attempt + 1
        signed = signature(self.pipeline, self.admission.topic_id, attempt)
        return dead_letter(self.pipeline.dead_letters, original, error, attempt=attempt, signed=signed)

    def _pace(self, count: int) -> None:
        """No more than `rate` a second; batches are no larger than a second's worth."""
        if self._rate is None or not count:
            return
        now = time.monotonic()
        if self._due_at > now:
            time.sleep(self._due_at - now)
        self._due_at = max(now, self._due_at) + count / self._rate


class RedriveGuard(Guard):
    """The guard of a redrive, where the records of a batch are letters and their answers name other records."""

    def __init__(self, redriver: Redriver, **given: Any) -> None:
        super().__init__(redriver, **given)
        self.admission = Admission(redriver.pipeline)  # told of the letters' topic, and never asked
        self._redriver = redriver
        redriver.beat = self.beat

    def records(self, admitted: Sequence[Admitted], refused: Sequence[Refusal]) -> dict[bytes, Record]:
        originals = [event.record for event in admitted] + [self._redriver.original(record) for record, _ in refused]
        return {record.source: record for record in originals}

    def committed(self, offsets: Mapping[int, int]) -> None:
        """What is known of answers stays: they are no more than this run's letters, and name other offsets."""
