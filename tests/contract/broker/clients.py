"""Clients of the suite's broker, opened as a test needs them, and what readers find there."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition


class Clients:
    """Makes clients and closes them all. Options are librdkafka's, with underscores for dots."""

    def __init__(self, kafka: str, topic: Callable[..., str], name: Callable[..., str]) -> None:
        self.kafka = kafka
        self.topic = topic
        self.name = name
        self._opened = ExitStack()

    def close(self) -> None:
        self._opened.close()

    def producer(self, transactional_id: str | None = None, **options: Any) -> Producer:
        """A transactional producer, with an id of its own unless it is told one, ready to begin."""
        config = self._config(transactional_id=transactional_id or self.name("id"), retry_backoff_ms=10, **options)
        made = Producer(config)
        self._opened.callback(made.purge)
        made.init_transactions(30)
        return made

    def member(self, group: str, topic: str, **options: Any) -> Consumer:
        """A member of a group; `settle` it."""
        config = self._config(group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, **options)
        made = Consumer(config)
        self._opened.callback(made.close)
        made.subscribe([topic])
        return made

    def seen(self, topic: str, isolation: str = "read_committed") -> list[bytes | None]:
        """What a reader finds between the start and the end that it is shown."""
        config = self._config(group_id="reader", isolation_level=isolation, enable_partition_eof=True)
        values = []
        with closing(Consumer(config)) as reader:
            reader.assign([TopicPartition(topic, 0, 0)])
            while True:
                message = reader.poll(30)
                assert message is not None
                error = message.error()
                if error is None:
                    values.append(message.value())
                elif error.code() == KafkaError._PARTITION_EOF:
                    return values
                else:
                    raise KafkaException(error)

    def ends(self, topic: str) -> tuple[int, int]:
        """The last stable offset and the high watermark."""
        found = []
        for isolation in ("read_committed", "read_uncommitted"):
            with closing(Consumer(self._config(group_id="reader", isolation_level=isolation))) as reader:
                found.append(reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)[1])
        return found[0], found[1]

    def committed(self, group: str, topic: str, *, partition: int = 0, timeout_s: float = 30.0) -> int:
        """The group's offset, which is not told as long as a transaction might change it."""
        with closing(Consumer(self._config(group_id=group, isolation_level="read_committed"))) as reader:
            return reader.committed([TopicPartition(topic, partition)], timeout=timeout_s)[0].offset

    def _config(self, **options: Any) -> dict[str, Any]:
        given = {name.replace("_", "."): value for name, value in options.items()}
        return {"bootstrap.servers": self.kafka, "log_level": 0, **given}


def settle(*members: Consumer) -> None:
    """Polls until every member has a partition."""
    deadline = time.monotonic() + 30
    while not all(one.assignment() for one in members):
        assert time.monotonic() < deadline, "the group did not settle"
        for one in members:
            one.poll(0.05)
