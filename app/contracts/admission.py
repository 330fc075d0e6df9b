"""Which records are events of a pipeline, and why the others are not.

The live loop and the catch-up of state ask the same question here, so that state counts exactly the events that were
admitted, whenever it is folded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
from confluent_kafka import murmur2

from app.contracts.compile import compile_contract
from app.errors import RecordError, Stage
from app.record import Headers, Record

if TYPE_CHECKING:
    from app.pipeline import Pipeline


# What a content-type header may say, in any case and with any parameters; a record without one is taken for JSON.
JSON_TYPE = re.compile(rb"\s*(application|text)/([a-z0-9.-]+\+)?json\s*(;.*)?", re.IGNORECASE | re.DOTALL)


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """An event with what the loop needs of its record. `entity` is the record's key."""

    record: Record
    event: Any
    partition: int
    offset: int
    entity: bytes
    time_ms: int


class Admission:
    """Decodes a pipeline's records and checks what its contract cannot: the key, its place, the clock of the time.

    `width` is how many partitions the topic has, once somebody knows: an entity that is folded must be in the one
    that its key belongs to, or its state would be split in two and both be wrong (protocol B8). `topic_id` is what
    Kafka calls it.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        source = pipeline.source
        self._contract = compile_contract(source.model)
        self._decode = self._contract.decode
        self._key: Callable[[Any], str] = attrgetter(source.key)
        self._time: Callable[[Any], int] = attrgetter(source.time)
        self._source = source
        self._ahead_ms = pipeline.ahead_ms
        self._folds = bool(pipeline.views)
        self.width: int | None = None
        self.topic_id: str | None = None

    def admit(self, record: Record) -> Admitted | RecordError:
        """The event, or the error that its dead letter will carry. Never raises on any bytes."""
        value = record.value
        if not value:
            return self._contract.refusal(value)
        if record.headers and _is_foreign(record.headers):
            return RecordError(Stage.VALIDATE, "content-type", "The header content-type says that this is not JSON.")
        try:
            event = self._decode(value)
        except (ValueError, RecursionError):
            return self._contract.refusal(value)
        entity, time_ms = record.key, self._time(event)
        if entity is None or entity != self._key(event).encode():
            return RecordError(
                Stage.VALIDATE, "key", f"The record's key is not the {self._source.key} that its value names."
            )
        if self._folds and self.width is not None and murmur2(entity, self.width) != record.partition:
            return RecordError(
                Stage.VALIDATE,
                "partition",
                "The record is not in the partition that its key belongs to: its producer must place keys by murmur2 "
                "(librdkafka: partitioner=murmur2_random).",
            )
        if time_ms > record.timestamp_ms + self._ahead_ms:
            return RecordError(
                Stage.VALIDATE, "ahead", f"The {self._source.time} lies ahead of the time when Kafka took the record."
            )
        return Admitted(record, event, record.partition, record.offset, entity, time_ms)


def _is_foreign(headers: Headers) -> bool:
    """Whether the last content-type header names another format. One without a value says nothing."""
    said = next((value for name, value in reversed(headers) if name.lower() == "content-type"), None)
    return said is not None and JSON_TYPE.fullmatch(said) is None
