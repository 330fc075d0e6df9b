"""The input of a pipeline that nobody scores, written by hand."""

from __future__ import annotations

from dataclasses import replace

from confluent_kafka import Consumer, Producer, TopicPartition

from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD
from app.replay.lag import PartitionLag, PipelineLag, lag_of
from app.settings import Settings
from tests.payments import NOON_MS, payment

WAIT_S = 30.0


class LaggingInput:
    """The input of one pipeline, written inside transactions and outside, and its group's offsets."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.settings = settings
        self.topic = topic
        tag = topic.split(".")[1]
        self.pipeline: Pipeline = replace(FRAUD, name=f"fraud-{tag}", source=replace(FRAUD.source, name=topic))
        self._plain = Producer({"bootstrap.servers": settings.kafka})
        self._within: Producer | None = None

    def write(self, count: int, *, time_ms: int = NOON_MS, partition: int = 0, value: bytes | None = None) -> None:
        for i in range(count):
            self._one(self._plain, time_ms + 1000 * i, partition=partition, value=value)
        assert self._plain.flush(WAIT_S) == 0

    def transact(self, count: int, *, commit: bool | None, partition: int = 0) -> Producer:
        """`commit` None leaves the transaction open."""
        if self._within is None:
            options = {"bootstrap.servers": self.settings.kafka, "transactional.id": self.topic}
            self._within = Producer(options)
            self._within.init_transactions(WAIT_S)
        self._within.begin_transaction()
        for i in range(count):
            self._one(self._within, NOON_MS + 1000 * i, partition=partition)
        self._within.flush(WAIT_S)
        if commit is not None:
            (self._within.commit_transaction if commit else self._within.abort_transaction)(WAIT_S)
        return self._within

    def _one(self, producer: Producer, time_ms: int, *, partition: int, value: bytes | None = None) -> None:
        body = payment(time_ms=time_ms) if value is None else value
        producer.produce(self.topic, body, key=b"596", partition=partition)

    def commit(self, offset: int, *, partition: int = 0, within: Producer | None = None) -> None:
        place = TopicPartition(self.topic, partition, offset)
        consumer = Consumer({"bootstrap.servers": self.settings.kafka, "group.id": self.pipeline.name})
        if within is None:
            consumer.commit(offsets=[place], asynchronous=False)
        else:
            within.send_offsets_to_transaction([place], consumer.consumer_group_metadata(), WAIT_S)
        consumer.close()

    def lag(self) -> PipelineLag:
        return lag_of(self.settings, self.pipeline)

    def first(self) -> PartitionLag:
        return self.lag().partitions[0]
