"""A plain consumer: every record of a partition up to its end, committed or not."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

WAIT_S = 60.0  # an abandoned transaction is ended by the broker long before
ASK_S = 10.0


def consumer(kafka: str, isolation: str = "read_committed", group: str = "oracle") -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": group,
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )


def partitions(kafka: str, topic: str) -> list[int]:
    with contextlib.closing(consumer(kafka)) as reader:
        return sorted(reader.list_topics(topic, ASK_S).topics[topic].partitions)


def ends(kafka: str, topic: str, isolation: str = "read_uncommitted") -> dict[int, int]:
    """Where the next record of each partition will go; read_committed: up to where such a reader comes."""
    with contextlib.closing(consumer(kafka, isolation)) as reader:
        there = sorted(reader.list_topics(topic, ASK_S).topics[topic].partitions)
        return {p: reader.get_watermark_offsets(TopicPartition(topic, p), ASK_S)[1] for p in there}


def committed(kafka: str, topic: str, group: str, of: Sequence[int]) -> dict[int, int]:
    """The group's offsets, but for those that nobody has committed."""
    with contextlib.closing(consumer(kafka, group=group)) as reader:
        found = reader.committed([TopicPartition(topic, p) for p in of], ASK_S)
        return {one.partition: one.offset for one in found if one.offset >= 0}


def records(kafka: str, topic: str, partition: int, isolation: str = "read_committed") -> Iterator[Message]:
    """Every record of one partition in order, up to its very end. Raises TimeoutError where that cannot be reached."""
    with contextlib.closing(consumer(kafka, isolation)) as reader:
        end = _end(kafka, topic, partition)
        if end == 0:
            return
        reader.assign([TopicPartition(topic, partition, 0)])
        deadline = time.monotonic() + WAIT_S
        at = 0
        while at < end:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic}/{partition} cannot be read beyond {at}; it ends at {end}")
            for message in reader.consume(5000, 0.2):
                at = max(at, _offset(message))
                if message.error() is None:
                    deadline = time.monotonic() + WAIT_S
                    at += 1
                    yield message


def _end(kafka: str, topic: str, partition: int) -> int:
    with contextlib.closing(consumer(kafka, "read_uncommitted")) as reader:
        for last in (False, False, True):
            try:
                return int(reader.get_watermark_offsets(TopicPartition(topic, partition), ASK_S)[1])
            except KafkaException:
                if last:
                    raise
    raise AssertionError


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None
    return offset


def digest(message: Message) -> bytes:
    """Of all that a reader sees of a record."""
    words: list[Any] = [message.key(), message.value(), message.headers()]
    return hashlib.blake2b(repr(words).encode(), digest_size=8).digest()


def header(message: Message, name: str) -> str | None:
    """The last of that name, as text."""
    headers: Any = message.headers() or ()
    found = [value for key, value in headers if key == name]
    return found[-1].decode("ascii") if found and isinstance(found[-1], bytes) else None


def source(message: Message) -> tuple[str, int, int] | None:
    """Which record this answers, as it says itself: topic, partition, offset."""
    said = (header(message, "source") or "").split("/")
    if len(said) != 3 or not (said[1].isdecimal() and said[2].isdecimal()):
        return None
    return said[0], int(said[1]), int(said[2])
