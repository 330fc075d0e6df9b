"""What is on a topic, for people and programs that look at it: from some moment on, to its end or for ever.

Reads what is committed only, joins no group and commits nothing. A topic whose end is no record but a marker or an
aborted batch has an end all the same.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from app.access.clients import kafka_client
from app.errors import Unavailable
from app.record import Record, record_of
from app.replay.log import AWAY, BATCH, WAIT_S, Log, Span
from app.settings import Settings

BEGINNING = "beginning"
END = "end"
GROUP = "streaminfer-tail"  # a consumer must name one; nothing is ever committed for it
PATIENCE_S = 10.0
SETTLE_S = 2.0

Start = str | int  # BEGINNING, END, or the records of a moment and later, in milliseconds since 1970, UTC
Batches = Iterator[list[Record]]


def tail(
    settings: Settings, topic: str, *, start: Start, until_end: bool, away: Callable[[str], None] = lambda _: None
) -> Batches:
    """The topic's records in batches, each partition in order; `until_end`: those that are committed there now.

    Without `until_end` it goes on for ever: a batch may be empty, and while Kafka is away `away` is told so, once.
    Raises Refused where there is no such topic, Unavailable where Kafka does not answer at first.
    """
    with contextlib.closing(Log(settings, GROUP, patience_s=PATIENCE_S)) as log:
        partitions = log.partitions(topic)
        ends = _settled(log, topic, partitions)
        starts = _starts(log, topic, start, ends)
        if until_end:
            spans = {p: Span(starts[p], ends[p]) for p in partitions}
            for messages in log.scan(topic, spans):
                yield [record_of(topic, message) for message in messages]
            return
    yield from _follow(settings, topic, starts, away)


def limited(batches: Batches, limit: int | None) -> Batches:
    """The batches up to `limit` records in all."""
    left = limit
    for records in batches:
        if left is None:
            yield records
            continue
        yield list(islice(records, left))
        left -= len(records)
        if left <= 0:
            return


def _settled(log: Log, topic: str, partitions: list[int]) -> dict[int, int]:
    """Where each partition ends now: what was committed a moment ago is in front of it.

    A commit is answered before its markers are written. A transaction that is still open after `SETTLE_S` is the end.
    """
    now = log.ends(topic, partitions, settled=False)
    deadline = time.monotonic() + SETTLE_S
    while True:
        settled = log.ends(topic, partitions, settled=True)
        if all(settled[p] >= end for p, end in now.items()) or time.monotonic() > deadline:
            return {p: min(settled[p], end) for p, end in now.items()}
        time.sleep(0.02)


def _starts(log: Log, topic: str, start: Start, ends: dict[int, int]) -> dict[int, int]:
    match start:
        case "beginning":
            return log.starts(topic, list(ends))
        case int():
            found = log.since(topic, list(ends), start)
            return {p: end if (first := found[p]) is None else first for p, end in ends.items()}
        case _:
            return ends


def _follow(settings: Settings, topic: str, starts: dict[int, int], away: Callable[[str], None]) -> Batches:
    told = False

    def lost(error: KafkaError) -> None:
        nonlocal told
        if error.code() in AWAY and not told:
            told = True
            away(f"Kafka does not answer ({error.str()}); waiting for it.")

    consumer = _consumer(settings, lost)
    try:
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in starts.items()])
        while True:
            messages = consumer.consume(1, WAIT_S)
            if messages:
                messages += consumer.consume(BATCH - 1, 0)
            records = [message for message in messages if _is_record(topic, message, lost)]
            if records and told:
                told = False
                away("Kafka answers again.")
            yield [record_of(topic, message) for message in records]
    finally:
        consumer.close()


def _is_record(topic: str, message: Message, lost: Callable[[KafkaError], None]) -> bool:
    error = message.error()
    if error is None:
        return True
    if error.code() not in AWAY:
        raise Unavailable(f"Kafka does not give the records of {topic} ({error.str()}); run this again.")
    lost(error)
    return False


def _consumer(settings: Settings, lost: Callable[[KafkaError], None]) -> Consumer:
    quiet = logging.Logger("librdkafka")
    quiet.disabled = True
    options: dict[str, Any] = {
        **kafka_client(settings),
        "group.id": GROUP,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",  # the oldest records were deleted meanwhile
        "fetch.queue.backoff.ms": 10,
        "error_cb": lost,
    }
    return Consumer(options, logger=quiet)
