"""Score a list of events without Kafka and Redis: in a test, in a notebook, before a start.

The code is the loop's own, from the bytes of an event to the bytes of its answer: the same events in the same order
give the same answers as a topic of as many partitions. State lives as long as the call.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import murmur2
from numpy.typing import NDArray

from app.contracts import lines
from app.contracts.admission import Admission
from app.errors import RecordError, Refused
from app.features.asof import AsOf
from app.features.held import Held
from app.features.kept import Kept
from app.features.lookups import HashLookup, JsonLookup, Keyed, Lookup
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.features.store import Store
from app.inference.load import load
from app.inference.serving import serving
from app.pipeline import Pipeline
from app.pipelines import models_beside, pipeline_named
from app.record import Output, Record
from app.settings import Settings, load_settings
from app.stream.build import build_memory, keeping
from app.stream.letters import source_of
from app.stream.processor import Processor

BATCH = 512
NOWHERE = "offline"  # stands for a server, a topic's id and a build
MOST = 10_000  # events whose features are looked at for a model's golden rows

Event = Mapping[str, Any] | bytes | str
Rows = Mapping[str, Mapping[str, float] | Sequence[float]]
Known = Rows | Iterable[Event]


def score(
    pipeline: Pipeline | str,
    events: Iterable[Event],
    *,
    models: Path | None = None,
    lookups: Mapping[str, Known] | None = None,
    now_ms: int | None = None,
) -> list[dict[str, Any]]:
    """The answer to each event, in their order: a prediction as its topic has it, or what a dead letter's headers say.

    `pipeline` is one, or the name of one. An event is a dictionary, or a line of JSON as it came. `lookups` has by name
    what a lookup knows: rows by entity, or the events of the pipeline whose view it reads; of what is not given an
    answer bears the mark that it would bear in the loop. `models` is the folder of models, by default the one beside
    the pipeline's file, or this project's. `now_ms` is when Kafka would have taken the events; by default now.

    Raises Refused where the pipeline cannot be scored with; an event never raises.
    """
    chosen = pipeline_named(pipeline) if isinstance(pipeline, str) else pipeline
    beside = models_beside(pipeline) if isinstance(pipeline, str) else None
    chosen.answering  # noqa: B018 - raises where there is none
    offline = Offline(chosen, models=models or beside, lookups=lookups)
    return [_shown(chosen, output) for output in offline.answer(records(chosen, events, now_ms=now_ms))]


def trial(pipeline: Pipeline, models: Path, versions: Mapping[str, int] | None = None) -> None:
    """Raises Refused or Fatal where the model, the features and the answers' contract do not fit each other."""
    Offline(pipeline, models=models, versions=versions)


def records(pipeline: Pipeline, events: Iterable[Event], *, now_ms: int | None = None) -> Iterator[Record]:
    """The events as the pipeline's topic would hold them, keyed by its contract."""
    taken_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    source, offsets = pipeline.source, Counter[int]()
    for _, key, value in lines.raw(map(_line, events), source):
        assert isinstance(value, bytes)
        partition = murmur2(key or b"", pipeline.partitions)
        yield Record(source.name, partition, offsets[partition], taken_ms, key, value, None)
        offsets[partition] += 1


def rows_of(pipeline: Pipeline, events: Iterable[Event]) -> NDArray[np.float32]:
    """A row for each event that has features, as the pipeline's model is given them; of the first 10,000 events.

    Raises Refused where there is none.
    """
    memory, admit = _memory(_settings(), pipeline, Kept()), Admission(pipeline).admit
    rows: list[tuple[float, ...]] = []
    refusal: RecordError | None = None
    for record in records(pipeline, islice(events, MOST)):
        event = admit(record)
        try:
            if isinstance(event, RecordError):
                raise event
            memory.load([event])
            rows.append(memory.features(event).row)
        except RecordError as error:
            refusal = refusal or error
    if not rows:
        why = f" ({refusal.reason.rstrip('.')})" if refusal else ""
        raise Refused(f"There is no event of {pipeline.source.name} among them{why}.", exit_code=2)
    if not all(isinstance(value, (int, float)) for row in rows for value in row):
        raise Refused(
            f"The features of {pipeline.name} are not all numbers: its model is written by a training of its own.",
            exit_code=2,
        )
    return np.array(rows, np.float32)


class Offline:
    """One pipeline with its state in this process. `answer` may be called again: it goes on."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        models: Path | None = None,
        versions: Mapping[str, int] | None = None,
        lookups: Mapping[str, Known] | None = None,
    ) -> None:
        settings = _settings()
        self.pipeline = keeping(pipeline, settings)
        model = None
        if pipeline.model is not None:
            told = settings.versions if versions is None else versions
            folder = serving(pipeline, models or settings.models, told)
            model = load(folder, pipeline.features)
        kept = Kept()
        _fill(kept, pipeline, lookups or {})
        self.memory = _memory(settings, self.pipeline, kept)
        self.processor = Processor(self.pipeline, model, self.memory)
        self.processor.admission.width = pipeline.partitions

    def answer(self, records: Iterable[Record]) -> Iterator[Output]:
        """One output for each record, in their order."""
        for batch in _batches(records):
            admitted, refused = self.processor.admit(batch)
            self.memory.load(admitted)
            outputs = {source_of(output): output for output in self.processor.answer(admitted, refused)}
            yield from (outputs[record.source] for record in batch)


def _settings() -> Settings:
    """Whatever a reader would wait for in the loop is whole here before the first event, and stays whole."""
    return load_settings(kafka=NOWHERE, redis=NOWHERE, behind="mark", pace_days=math.inf)


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    remaining = iter(records)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def _memory(settings: Settings, pipeline: Pipeline, kept: Kept) -> Memory:
    """A memory that owns every partition, as they are when nothing of them was ever folded."""
    store = Store(kept.client, pipeline.name)
    memory = build_memory(settings, pipeline, store)
    for partition in range(pipeline.partitions):
        held = []
        for view in pipeline.views:
            marker = Marker(NOWHERE, pipeline.partitions, NOWHERE, pipeline.digest(view), since=0, next=0)
            store.write(store.marker_key(view.name, partition, marker.digest), None, marker, [])
            held.append(Held(view, partition, store, marker))
        memory.owned[partition] = Owned(tuple(held), 0)
    return memory


def _fill(kept: Kept, pipeline: Pipeline, lookups: Mapping[str, Known]) -> None:
    """What the pipeline looks up: rows as a load writes them, another pipeline's views as it folds and flushes them."""
    declared = {lookup.name: lookup for lookup in pipeline.lookups}
    for name, known in lookups.items():
        match declared.get(name):
            case None:
                raise Refused(f"{pipeline.name} has no lookup {name!r}; it has {', '.join(declared) or 'none'}.")
            case AsOf() as lookup:
                _fold(kept, lookup.of, known)
            case Lookup() as lookup if isinstance(known, Mapping):
                kept.set(lookup.pointer, NOWHERE)
                for entity, row in known.items():
                    kept.set(lookup.row_key(NOWHERE, entity), lookup.pack(_row(lookup, entity, row)))
            case HashLookup() as lookup if isinstance(known, Mapping):
                for entity, row in known.items():
                    kept.hset(lookup.row_key(entity), _named(lookup, row))
            case JsonLookup() as lookup if isinstance(known, Mapping):
                for entity, row in known.items():
                    kept.set(lookup.row_key(entity), json.dumps(_named(lookup, row)))
            case _:
                raise Refused(f"The lookup {name} takes rows by entity: a dictionary.")


def _fold(kept: Kept, pipeline: Pipeline, events: Iterable[Event]) -> None:
    """All of the other pipeline's events into its views, to their end: reads of any time are exact then."""
    settings = _settings()
    pipeline = keeping(pipeline, settings)
    memory, admit = _memory(settings, pipeline, kept), Admission(pipeline).admit
    for batch in _batches(records(pipeline, events)):
        admitted = []
        for record in batch:
            event = admit(record)
            if isinstance(event, RecordError):
                raise Refused(f"An event of {pipeline.source.name} is refused: {event.reason}")
            admitted.append(event)
            memory.owned[record.partition].next_offset = record.next_offset
        memory.load(admitted, lookups=False)
        memory.fold_only(admitted)
    for partition in memory.owned:
        memory.end(partition)
        memory.flush(partition)


def _row(lookup: Lookup, entity: str, row: Mapping[str, float] | Sequence[float]) -> tuple[float, ...]:
    given = row if isinstance(row, Mapping) else dict(zip(lookup.columns, row, strict=False))
    if set(given) != set(lookup.columns) or len(row) != len(lookup.columns):
        raise Refused(f"The row of {entity!r} for {lookup.name} must have {', '.join(lookup.columns)}, each once.")
    return tuple(float(given[name]) for name in lookup.columns)


def _named(lookup: Keyed, row: Mapping[str, float] | Sequence[float]) -> dict[str, float]:
    """As whoever writes the rows names what is in them; a row may lack some of it."""
    return dict(row) if isinstance(row, Mapping) else dict(zip(lookup.stored, row, strict=False))


def _line(event: Event) -> bytes:
    if isinstance(event, Mapping):
        return json.dumps(event, separators=(",", ":")).encode()
    return (event.encode() if isinstance(event, str) else event).removesuffix(b"\n")


def _shown(pipeline: Pipeline, output: Output) -> dict[str, Any]:
    if output.topic == pipeline.answering.name:
        answer: dict[str, Any] = json.loads(output.value or b"")
        return answer
    said = {name: (value or b"").decode() for name, value in output.headers}
    return {name: said[name] for name in ("stage", "code", "reason")} | {"value": output.value}
