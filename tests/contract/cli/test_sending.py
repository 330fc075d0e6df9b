"""Sending outside a transaction: where events go, and what becomes of those that cannot."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from confluent_kafka import murmur2

from app.errors import Unavailable
from app.replay.log import Log, Span
from app.settings import Settings
from app.stream.sending import Pace, Sender

pytestmark = pytest.mark.broker
MIB = 1024 * 1024


def found(log: Log, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
    """Partition, key and value of all records, each partition in order."""
    partitions = log.partitions(topic)
    spans = {p: Span(0, end) for p, end in log.ends(topic, partitions, settled=False).items()}
    return [(r.partition() or 0, r.key(), r.value()) for records in log.scan(topic, spans) for r in records]


def test_events_lie_in_the_partition_of_their_key_in_the_order_of_sending(
    settings: Settings, new_topic: Callable[..., str], log: Log
) -> None:
    topic = new_topic(partitions=5)
    sender = Sender(settings, topic, largest=MIB)
    sender.send_all(((i, b"%d" % (i % 40), b"%d" % i, -1) for i in range(3000)), Pace())
    sender.finish()

    records = found(log, topic)
    assert sender.sent == 3000
    assert sorted(int(value or b"") for _, _, value in records) == list(range(3000))
    assert all(partition == murmur2(key or b"", 5) for partition, key, _ in records)
    for wanted in range(5):
        order = [int(value or b"") for partition, _, value in records if partition == wanted]
        assert order == sorted(order)


def test_an_event_that_is_too_large_is_told_by_its_place_and_the_others_arrive(
    settings: Settings, new_topic: Callable[..., str], log: Log
) -> None:
    topic = new_topic(max_message_bytes="10000")
    told: list[tuple[int, str]] = []
    sender = Sender(settings, topic, largest=MIB, batch=10_000, failed=lambda place, why: told.append((place, why)))
    values = {1: b"a", 2: b"x" * 20_000, 3: b"b", 4: b"x" * (2 * MIB), 5: b"c"}
    for place, value in values.items():
        sender.send(b"k", value, place=place)
    sender.finish()

    assert sorted(place for place, _ in told) == [2, 4]
    assert all("too large" in why for _, why in told)
    assert [value for _, _, value in found(log, topic)] == [b"a", b"b", b"c"]
    assert sender.sent == 3


def test_when_nothing_gets_through_everything_is_given_up_in_time(settings: Settings) -> None:
    away = Settings(kafka="127.0.0.1:1", redis=settings.redis)
    sender = Sender(away, "anything", largest=MIB, patience_s=0.5)
    for place in range(10):
        sender.send(None, b"x", place=place)
    started = time.monotonic()

    with pytest.raises(Unavailable, match="10 events are given up, 0 were sent"):
        sender.finish()
    assert time.monotonic() - started < 5


def test_a_queue_that_stays_full_ends_the_sending_too(settings: Settings) -> None:
    away = Settings(kafka="127.0.0.1:1", redis=settings.redis, kafka_options={"queue.buffering.max.messages": "100"})
    sender = Sender(away, "anything", largest=MIB, patience_s=0.5)

    with pytest.raises(Unavailable, match="100 events are given up"):
        sender.send_all(((i, None, b"x", -1) for i in range(101)), Pace())
