"""What somebody outside sees of the topics: a plain consumer, which shares no code with the product.

Reads to the very end of a topic, past whatever transactions are open there now.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

WAIT_S = 60.0  # an abandoned transaction is ended by the broker long before

Place = tuple[int, int]  # partition, offset


def _consumer(kafka: str, isolation: str, group: str = "outside") -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": group,
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
        }
    )


def ends(kafka: str, topic: str) -> dict[int, int]:
    """Where the next record of each partition will go, whatever transactions are open."""
    consumer = _consumer(kafka, "read_uncommitted")
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    found = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in partitions}
    consumer.close()
    return found


def committed(kafka: str, topic: str, group: str, partitions: Iterable[int]) -> dict[int, int]:
    """The group's offsets, but for those that a transaction still holds open."""
    consumer = _consumer(kafka, "read_committed", group)
    found: dict[int, int] = {}
    for partition in partitions:
        with contextlib.suppress(KafkaException):
            found[partition] = consumer.committed([TopicPartition(topic, partition)], 5)[0].offset
    consumer.close()
    return found


def records(kafka: str, topic: str, isolation: str = "read_committed") -> Iterator[Message]:
    """Every record of the topic, each partition in order."""
    left = {partition: end for partition, end in ends(kafka, topic).items() if end > 0}
    consumer = _consumer(kafka, isolation)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
    deadline = time.monotonic() + WAIT_S
    while left:
        assert time.monotonic() < deadline, f"{topic} cannot be read to its ends {left} within {WAIT_S:.0f} s"
        for message in consumer.consume(5000, 0.2):
            partition, offset = place(message)
            if message.error() is None:
                yield message
                offset += 1
            if offset >= left.get(partition, offset + 1):
                del left[partition]
    consumer.close()


def place(message: Message) -> Place:
    """Where the record is."""
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset


def source(message: Any) -> Place:
    """Which record of `payments` this answers, by its last `source` header."""
    value = [value for name, value in message.headers() if name == "source"][-1]
    topic, partition, offset = value.decode("ascii").split("/")
    assert topic == "payments"
    return int(partition), int(offset)


def answered(messages: Iterable[Message]) -> Counter[Place]:
    """How often each input was answered."""
    return Counter(map(source, messages))


def aborted_batches(kafka: str, topic: str) -> int:
    """How many transactions left predictions on the topic and did not commit: a lower bound.

    Their records are those that only a read_uncommitted reader sees. A batch is stamped with one time, `scored-at`,
    when it is scored; so the different stamps among them are different transactions, and two that were scored in the
    same millisecond count as one.
    """
    seen = set(map(place, records(kafka, topic)))
    stamps = {
        header[1]
        for message in records(kafka, topic, "read_uncommitted")
        if place(message) not in seen
        for header in message.headers() or ()
        if header[0] == "scored-at"
    }
    return len(stamps)
