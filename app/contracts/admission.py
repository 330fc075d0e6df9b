"""Which records are events of a pipeline, and why the others are not.

The live loop and the catch-up of state ask the same question here, so that state counts exactly the events that were
admitted, whenever it is folded.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from app.contracts.compile import compile_contract
from app.errors import RecordError, Stage
from app.record import Record

if TYPE_CHECKING:
    from app.pipeline import Pipeline


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """An event with what the loop needs of its record. `entity` is the record's key."""

    record: Record
    event: Any
    partition: int
    offset: int
    entity: bytes
    time_ms: int


class Admission:
    """Decodes a pipeline's records and checks what its contract cannot: the key, and the clock that made the time."""

    def __init__(self, pipeline: Pipeline) -> None:
        source = pipeline.source
        self._contract = compile_contract(source.model)
        self._decode = self._contract.decode
        self._key: Callable[[Any], str] = attrgetter(source.key)
        self._time: Callable[[Any], int] = attrgetter(source.time)
        self._source = source
        self._ahead_ms = pipeline.ahead_ms

    def admit(self, record: Record) -> Admitted | RecordError:
        """The event, or the error that its dead letter will carry. Never raises on any bytes."""
        value = record.value
        if not value:
            return self._contract.refusal(value)
        try:
            event = self._decode(value)
        except (ValueError, RecursionError):
            return self._contract.refusal(value)
        entity, time_ms = record.key, self._time(event)
        if entity is None or entity != self._key(event).encode():
            return RecordError(
                Stage.VALIDATE, "key", f"The record's key is not the {self._source.key} that its value names."
            )
        if time_ms > record.timestamp_ms + self._ahead_ms:
            return RecordError(
                Stage.VALIDATE, "ahead", f"The {self._source.time} lies ahead of the time when Kafka took the record."
            )
        return Admitted(record, event, record.partition, record.offset, entity, time_ms)
