"""Records to outputs: decode, features, score, encode. Knows no Kafka and no offsets but those in the headers.

Works a batch at a time and a column at a time where the interpreter would cost more than the work. A record that
cannot be answered with a prediction is answered with a dead letter; nothing is dropped.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from itertools import islice, repeat
from operator import attrgetter
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.contracts.admission import Admission, Admitted
from app.contracts.compile import compile_contract
from app.errors import RecordError, Refused, Stage
from app.features.memory import Features, Memory
from app.inference.model import Model
from app.pipeline import Pipeline
from app.record import Headers, Output, Record

Refusal = tuple[Record, RecordError]
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
CONTENT_TYPE = ("content-type", b"application/json")


class Processor:
    """Answers the records of one pipeline with one model."""

    def __init__(self, pipeline: Pipeline, model: Model, memory: Memory) -> None:
        self.pipeline = pipeline
        self.model = model
        self.memory = memory
        self._admit = Admission(pipeline).admit
        self._build = Answers(pipeline, model)

    def admit(self, records: Sequence[Record]) -> tuple[list[Admitted], list[Refusal]]:
        """Which records are events, in order, and why the others are not. No effect."""
        admitted: list[Admitted] = []
        refused: list[Refusal] = []
        for record in records:
            event = self._admit(record)
            if isinstance(event, RecordError):
                refused.append((record, event))
            else:
                admitted.append(event)
        return admitted, refused

    def answer(self, admitted: Sequence[Admitted], refused: Sequence[Refusal]) -> list[Output]:
        """One output for each record. Folds the events into memory, where their states must have been loaded."""
        refusals = list(refused)
        outputs: list[Output] = []
        known: list[Admitted] = []
        features: list[Features] = []
        for event in admitted:
            try:
                features.append(self.memory.features(event))
            except RecordError as error:
                refusals.append((event.record, error))
            else:
                known.append(event)
        if known:
            kept, scores = self._score(known, features, refusals)
            outputs = self._build.predictions([known[i] for i in kept], [features[i] for i in kept], scores)
        outputs.extend(dead_letter(self.pipeline.dead_letters, record, error) for record, error in refusals)
        return outputs

    def _score(
        self, admitted: Sequence[Admitted], features: Sequence[Features], refusals: list[Refusal]
    ) -> tuple[list[int], list[float]]:
        """The places of the events that have a score, and the scores. The others are added to `refusals`."""
        with np.errstate(over="ignore"):  # what the model's narrower type cannot hold is not finite there
            matrix = np.array([f.row for f in features], dtype=np.float64).astype(np.float32)
        finite = np.isfinite(matrix).all(axis=1)
        places = np.flatnonzero(finite)
        for i in np.flatnonzero(~finite).tolist():
            error = RecordError(Stage.FEATURES, "not-finite", "A feature of this event is not a finite number.")
            refusals.append((admitted[i].record, error))
        scores = self._run(matrix[places])
        good = np.isfinite(scores)
        for i in places[~good].tolist():
            error = RecordError(Stage.SCORE, "no-score", "The model gave no finite score for this event.")
            refusals.append((admitted[i].record, error))
        return places[good].tolist(), scores[good].tolist()

    def _run(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """The model's scores; not-a-number where it fails. Halves the batch until the failing event stands alone."""
        if not len(matrix):
            return np.empty(0)
        try:
            return self.model.score(matrix)
        except Exception:  # whatever a model raises: the event is dead-lettered and the stream goes on
            if len(matrix) == 1:
                return np.full(1, np.nan)
            half = len(matrix) // 2
            return np.concatenate([self._run(matrix[:half]), self._run(matrix[half:])])


class Answers:
    """Builds predictions column by column: the answer's contract names the columns, `map` makes the rows in C."""

    def __init__(self, pipeline: Pipeline, model: Model) -> None:
        contract = compile_contract(pipeline.answers.model)
        if not contract.compiled:
            raise Refused(
                f"The contract of {pipeline.answers.name} uses a type that is not compiled (see the line above); "
                "answers are written by compiled contracts only."
            )
        self._encode: Callable[[Any], bytes] = contract.encode
        self._struct = cast("Any", contract.struct)
        self._order: tuple[str, ...] = self._struct.__struct_fields__
        nested: dict[str, Any] = {info.name: info.type for info in msgspec.structs.fields(self._struct)}
        self._features: Callable[..., Any] = nested["features"]
        listed: tuple[str, ...] = nested["features"].__struct_fields__
        if listed != pipeline.features:
            raise Refused(
                f"The answers on {pipeline.answers.name} list the features {', '.join(listed)}, "
                f"but the pipeline {pipeline.name} computes {', '.join(pipeline.features)}."
            )
        self._topic = pipeline.answers.name
        self._source = pipeline.source
        self._carried = {name: attrgetter(name) for name in pipeline.carried}
        self._model = nested["model"](name=model.name, version=model.version)
        self._threshold = model.threshold
        self._ref = ("model", model.ref.encode())
        self._digest = hashlib.blake2b(f"{pipeline.name}\0{model.ref}\0".encode(), digest_size=16)

    def predictions(
        self, admitted: Sequence[Admitted], features: Sequence[Features], scores: Sequence[float]
    ) -> list[Output]:
        """One output for each event, keyed as the event is."""
        events = [event.event for event in admitted]
        ids = list(map(attrgetter(self._source.id), events))
        columns: dict[str, Any] = {
            "id": list(map(self._id, ids)),
            "event_id": ids,
            "time_ms": [event.time_ms for event in admitted],
            "score": scores,
            "threshold": repeat(self._threshold),
            "decision": ["alert" if score >= self._threshold else "pass" for score in scores],
            "model": repeat(self._model),
            "features": [self._features(*f.row) for f in features],
            "marks": [list(f.marks) for f in features],
        }
        for name, getter in self._carried.items():
            columns[name] = list(map(getter, events))
        values = map(self._encode, map(self._struct, *(columns[name] for name in self._order)))
        scored_at = ("scored-at", str(time.time_ns() // 1_000_000).encode())
        return [
            Output(self._topic, event.record.key, value, self._headers(event.record, scored_at))
            for event, value in zip(admitted, values, strict=True)
        ]

    def _id(self, event_id: str) -> str:
        """The same for the same event and model, whenever and wherever it is scored (protocol D2)."""
        digest = self._digest.copy()
        digest.update(event_id.encode())
        return digest.hexdigest()

    def _headers(self, record: Record, scored_at: tuple[str, bytes]) -> Headers:
        headers: Headers = [CONTENT_TYPE, ("source", record.source), self._ref, scored_at]
        if record.headers:
            headers.extend(islice(filter(_is_trace, record.headers), 1))
        return headers


def _is_trace(header: tuple[str, bytes | None]) -> bool:
    """Whether it is a traceparent as W3C has it. Anything else is not carried on: an answer's size is bounded."""
    return header[0] == "traceparent" and header[1] is not None and bool(TRACEPARENT.fullmatch(header[1]))


def dead_letter(topic: str, record: Record, error: RecordError) -> Output:
    """The record as it came, with where from and why behind its own headers. The reason quotes no payload."""
    headers: Headers = [
        *(record.headers or []),
        ("source", record.source),
        ("__streams.errors.exception", type(error).__name__.encode()),
        ("__streams.errors.message", error.reason.encode()),
        ("__streams.errors.topic", record.topic.encode()),
        ("__streams.errors.partition", b"%d" % record.partition),
        ("__streams.errors.offset", b"%d" % record.offset),
        ("stage", error.stage.value.encode()),
        ("code", error.code.encode()),
        ("reason", error.reason.encode()),
        ("attempt", b"1"),
    ]
    return Output(topic, record.key, record.value, headers)
