"""Answers as they go out: what each of them has, whatever the model says, and which kind a model's answers are.

The loop and the processor know no scores and no rankings: they hand over events with features and are given outputs.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice, repeat
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, cast

import msgspec

from app.contracts.admission import Admitted
from app.contracts.compile import compile_contract
from app.errors import RecordError, Refused
from app.features.memory import Features
from app.pipeline import Pipeline
from app.record import Headers, Output, Record
from app.stream.letters import named_source

Refusal = tuple[Record, RecordError]
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
COMMON = ("id", "event_id", "time_ms", "model", "marks")
CONTENT_TYPE = ("content-type", b"application/json")


class Named(Protocol):
    """A model, as far as every answer tells of it."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def ref(self) -> str: ...


class Noted(NamedTuple):
    """What is worth counting of some answers: when the model began and ended, and the marks of those that have any."""

    began: float
    ended: float
    marked: Sequence[Sequence[str]]


class Answers(Protocol):
    """What one kind of model makes of events. `noted` is of the last outputs."""

    noted: Noted | None

    def outputs(
        self, admitted: Sequence[Admitted], features: Sequence[Features], refusals: list[Refusal]
    ) -> list[Output]:
        """One output for each event that the model answers; the others are added to `refusals`."""
        ...


class Envelope:
    """Builds answers column by column: the answer's contract names the columns, `map` makes the rows in C."""

    def __init__(self, pipeline: Pipeline, model: Named, columns: tuple[str, ...]) -> None:
        """`columns` are what the model says. Raises Refused where the contract has other fields."""
        answers = pipeline.answering
        contract = compile_contract(answers.model)
        if not contract.compiled:
            raise Refused(
                f"The contract of {answers.name} uses a type that is not compiled (see the line above); "
                "answers are written by compiled contracts only."
            )
        self._encode: Callable[[Any], bytes] = contract.encode
        self._struct = cast("Any", contract.struct)
        self._order: tuple[str, ...] = self._struct.__struct_fields__
        self.types: dict[str, Any] = {info.name: info.type for info in msgspec.structs.fields(self._struct)}
        given = {*COMMON, *columns, *pipeline.carried}
        if given != set(self._order):
            raise Refused(
                f"The answers on {answers.name} have the fields {', '.join(self._order)}, but the model {model.ref} of "
                f"the pipeline {pipeline.name} answers with {', '.join((*COMMON, *columns))}."
            )
        self._topic = answers.name
        self._source = pipeline.source
        self._carried = {name: attrgetter(name) for name in pipeline.carried}
        self._model = self.types["model"](name=model.name, version=model.version)
        self._ref = ("model", model.ref.encode())
        again = pipeline.again
        of = pipeline.name if again is None else again.of
        self._digest = hashlib.blake2b(f"{of}\0{model.ref}\0".encode(), digest_size=16)
        self._more = list(again.headers) if again is not None else []
        self._relayed = again is not None and again.relayed

    def outputs(
        self, admitted: Sequence[Admitted], marks: Iterable[Sequence[str]], columns: Mapping[str, Iterable[Any]]
    ) -> list[Output]:
        """One output for each event, keyed as the event is. `columns` are what the model said."""
        events = [event.event for event in admitted]
        ids = list(map(attrgetter(self._source.id), events))
        whole: dict[str, Any] = {
            "id": list(map(self._id, ids)),
            "event_id": ids,
            "time_ms": [event.time_ms for event in admitted],
            "model": repeat(self._model),
            "marks": map(list, marks),
            **columns,
        }
        for name, getter in self._carried.items():
            whole[name] = list(map(getter, events))
        values = map(self._encode, map(self._struct, *(whole[name] for name in self._order)))
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
        source = named_source(record.headers) if self._relayed else record.source
        headers: Headers = [CONTENT_TYPE, ("source", source), self._ref, scored_at, *self._more]
        if record.headers:
            headers.extend(islice(filter(_is_trace, record.headers), 1))
        return headers


def _is_trace(header: tuple[str, bytes | None]) -> bool:
    """Whether it is a traceparent as W3C has it. Anything else is not carried on: an answer's size is bounded."""
    return header[0] == "traceparent" and header[1] is not None and bool(TRACEPARENT.fullmatch(header[1]))
