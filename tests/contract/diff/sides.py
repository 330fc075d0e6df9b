"""Two sides written by hand: an input topic, old and new answers to it, and their dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # public, not exported

from app.replay.diff import Asked, Difference, compare
from app.replay.diff_join import Join, Pair, Side
from app.replay.log import Span
from app.settings import Settings
from app.stream.topics import Topics

WAIT_S = 20.0
PARTITIONS = 2


class Sides:
    """Answers are written to the partition of their input, unless `at` says another."""

    def __init__(self, kafka: str, home: Path, name: Callable[..., str]) -> None:
        base = name("payments")
        self.settings = Settings(kafka=kafka, redis="redis://127.0.0.1:1/0", home=home)
        self.source, self.old, self.new = base, f"{base}.scored", f"{base}.scored.replay-x"
        self.old_dead, self.new_dead = f"{base}.dead", f"{base}.dead.replay-x"
        self._admin = AdminClient({"bootstrap.servers": kafka})
        self._ids = 0
        config = {"message.timestamp.type": "LogAppendTime"}
        self.make(dict.fromkeys((base, self.old, self.new, self.old_dead, self.new_dead), PARTITIONS), config)
        self._plain = Producer({"bootstrap.servers": kafka, "linger.ms": 0})

    def make(self, topics: dict[str, int], config: dict[str, str]) -> None:
        made = [NewTopic(topic, partitions, 1, config=config) for topic, partitions in topics.items()]
        for future in self._admin.create_topics(made).values():
            future.result(WAIT_S)
        Topics(self.settings).await_leaders(list(topics))

    def inputs(self, count: int, partition: int = 0) -> None:
        for _ in range(count):
            self._plain.produce(self.source, b"{}", partition=partition)
        assert self._plain.flush(WAIT_S) == 0

    def transaction(self) -> Producer:
        self._ids += 1
        ours = f"{self.source}.{self._ids}"
        producer = Producer({"bootstrap.servers": self.settings.kafka, "transactional.id": ours, "linger.ms": 0})
        producer.init_transactions(WAIT_S)
        producer.begin_transaction()
        return producer

    def answer(
        self,
        topic: str,
        values: Iterable[tuple[int, bytes]],
        *,
        partition: int = 0,
        at: int | None = None,
        headers: Iterable[tuple[str, Any]] = (),
        within: Producer | None = None,
    ) -> None:
        """An answer for each offset of an input partition, outside of any transaction but that of `within`."""
        producer = within or self._plain
        for offset, value in values:
            named = [*headers, ("source", f"{self.source}/{partition}/{offset}".encode())]
            to = partition if at is None else at
            producer.produce(topic, value, key=b"596", partition=to, headers=named)
        assert producer.flush(WAIT_S) == 0

    def delete_before(self, topic: str, offset: int, partition: int = 0) -> None:
        """What retention does, at once."""
        place = TopicPartition(topic, partition, offset)
        self._admin.delete_records([place])[place].result(WAIT_S)

    def asked(self, spans: dict[int, Span] | None = None, **sides: Side) -> Asked:
        whole = {partition: Span(0, 10_000) for partition in range(PARTITIONS)}
        both = {"old": Side(self.old, self.old_dead), "new": Side(self.new, self.new_dead), **sides}
        return Asked("fraud", self.source, spans or whole, both["old"], both["new"])

    def pairs(self, spans: dict[int, Span] | None = None, *, held: int = 1_000, **sides: Side) -> list[Pair]:
        asked = self.asked(spans, **sides)
        join = Join(self.settings, self.source, asked.spans, sides=(asked.old, asked.new), held=held, patience_s=WAIT_S)
        return sorted(join.pairs())

    def compared(self, spans: dict[int, Span] | None = None, **sides: Side) -> Difference:
        return compare(self.settings, self.asked(spans, **sides), patience_s=WAIT_S)
