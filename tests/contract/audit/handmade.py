"""A log written by hand: the topics of a small pipeline, with what its workers should have written, or should not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # public, not exported

from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD
from app.replay.audit import AuditResult, audit
from app.settings import Settings

WAIT_S = 20.0


class HandmadeLog:
    """One pipeline's topics with two partitions each, and ways to write them. Answers go where their input was."""

    def __init__(self, kafka: str, home: Path, name: Callable[..., str]) -> None:
        base = name("payments")
        self.pipeline: Pipeline = replace(
            FRAUD,
            name=f"audited-{base.split('.')[1]}",
            source=replace(FRAUD.source, name=base),
            answers=replace(FRAUD.answering, name=f"{base}.scored"),
            partitions=2,
        )
        self.settings = Settings(kafka=kafka, redis="redis://127.0.0.1:1/0", home=home)
        self.source, self.scored, self.dead = base, self.pipeline.answering.name, self.pipeline.dead_letters
        self._admin = AdminClient({"bootstrap.servers": kafka})
        self._plain = Producer({"bootstrap.servers": kafka})
        self._own: Producer | None = None
        self._ids = 0
        topics = [NewTopic(spec.name, spec.partitions, 1, config=dict(spec.config)) for spec in self.pipeline.topics()]
        for future in self._admin.create_topics(topics).values():
            future.result(WAIT_S)

    def inputs(self, count: int, partition: int = 0) -> None:
        """Append inputs, outside of any transaction. What is in them does not matter here."""
        for _ in range(count):
            self._plain.produce(self.source, b"{}", partition=partition)
        assert self._plain.flush(WAIT_S) == 0

    def transaction(self) -> Producer:
        """A producer with an open transaction."""
        self._ids += 1
        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka,
                "transactional.id": f"{self.source}.{self._ids}",
                "transaction.timeout.ms": 60_000,
                "retry.backoff.ms": 5,
                "linger.ms": 0,
            }
        )
        producer.init_transactions(WAIT_S)
        producer.begin_transaction()
        return producer

    def _begun(self) -> Producer:
        """The same one every time, for those who commit at once: a new one takes a while."""
        if self._own is None:
            self._own = self.transaction()
        else:
            self._own.begin_transaction()
        return self._own

    def answer(
        self, offsets: Iterable[int], *, partition: int = 0, topic: str | None = None, within: Producer | None = None
    ) -> None:
        """One answer for each of these inputs, committed, or in the transaction of `within`."""
        producer = within or self._begun()
        for offset in offsets:
            source = f"{self.source}/{partition}/{offset}"
            producer.produce(
                topic or self.scored, b"{}", partition=partition, headers=[("model", b"fraud@1"), ("source", source)]
            )
        assert producer.flush(WAIT_S) == 0
        if within is None:
            producer.commit_transaction(WAIT_S)

    def write(self, headers: Sequence[tuple[str, bytes | None]], *, topic: str | None = None) -> None:
        """One committed answer with these headers."""
        producer = self._begun()
        producer.produce(topic or self.scored, b"{}", partition=0, headers=list(headers))
        producer.commit_transaction(WAIT_S)

    def commit(self, offset: int, *, partition: int = 0, within: Producer | None = None) -> None:
        """The group's next offset, at once, or in the transaction of `within`."""
        group = {"bootstrap.servers": self.settings.kafka, "group.id": self.pipeline.name}
        consumer = Consumer(group)
        place = TopicPartition(self.source, partition, offset)
        if within is None:
            consumer.commit(offsets=[place], asynchronous=False)
        else:
            within.send_offsets_to_transaction([place], consumer.consumer_group_metadata(), WAIT_S)
        consumer.close()

    def delete_before(self, topic: str, offset: int, partition: int = 0) -> None:
        """What retention does, at once."""
        place = TopicPartition(topic, partition, offset)
        self._admin.delete_records([place])[place].result(WAIT_S)


def judged(log: HandmadeLog, patience_s: float = 30.0) -> AuditResult:
    return audit(log.settings, log.pipeline, patience_s=patience_s)


def wrongs(result: AuditResult) -> tuple[int, int, int]:
    return result.missing, result.duplicated, result.unexplained
