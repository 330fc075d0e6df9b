"""A pipeline's input as the loop admits it, read from the log by partition: what every fresh fold is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from confluent_kafka import Message

from app.contracts.admission import Admission, Admitted
from app.errors import RecordError
from app.pipeline import Pipeline
from app.record import record_of
from app.replay.log import Log, Span
from app.settings import Settings


class Read(NamedTuple):
    """Some records further on: the first offset that was not read, and which of the records are events."""

    next_offset: int
    admitted: list[Admitted]


class Events:
    """The events of one pipeline's topic. Joins no group; `log` also tells ends and what the group has committed.

    Raises Refused where there is no such topic, Unavailable where nothing comes forward for `patience_s`.
    """

    def __init__(self, settings: Settings, pipeline: Pipeline, *, patience_s: float) -> None:
        self.topic = pipeline.source.name
        self.log = Log(settings, pipeline.name, patience_s=patience_s)
        self.topic_id, self.partitions = self.log.identity(self.topic)
        self._admission = Admission(pipeline)
        self._admission.width = len(self.partitions)

    def close(self) -> None:
        self.log.close()

    def between(self, partition: int, start: int, end: int) -> Iterator[Read]:
        """The events at [start, end), in order. The last offsets may be markers, which nobody sees."""
        for messages in self.log.scan(self.topic, {partition: Span(start, end)}):
            yield Read((messages[-1].offset() or 0) + 1, self._admitted(messages))

    def first(self, partition: int, start: int, end: int) -> Admitted | None:
        """The first event at [start, end)."""
        for read in self.between(partition, start, end):
            if read.admitted:
                return read.admitted[0]
        return None

    def _admitted(self, messages: Iterable[Message]) -> list[Admitted]:
        admit, topic = self._admission.admit, self.topic
        admitted = []
        for message in messages:
            event = admit(record_of(topic, message))
            if not isinstance(event, RecordError):
                admitted.append(event)
        return admitted
