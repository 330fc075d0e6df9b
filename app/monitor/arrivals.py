"""When Kafka took the events: followed on the input topics, so that an answer's lateness can be told.

An answer names its event by topic, partition and offset, and not when that came. The times of the newest KEPT offsets
of each partition are here; of an older event it is not known how late its answer is, and nothing is counted.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable

import numpy as np
from confluent_kafka import Consumer, KafkaException, TopicPartition
from numpy.typing import NDArray

from app.access.clients import kafka_client
from app.settings import Settings

KEPT = 65_536
BATCH = 10_000
WAIT_S = 0.2
AGAIN_S = 2.0
PATIENCE_S = 5.0


class Arrivals:
    """Follows topics on a thread of its own, which ends with the process. Nothing that Kafka does here is an error."""

    def __init__(self, settings: Settings, topics: Iterable[str]) -> None:
        self._settings = settings
        self._topics = tuple(topics)
        self._times: dict[tuple[str, int], NDArray[np.int64]] = {}
        self._newest: dict[tuple[str, int], int] = {}
        self._stop = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._follow, name="arrivals", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def note(self, topic: str, partition: int, offset: int, time_ms: int) -> None:
        place = (topic, partition)
        times = self._times.get(place)
        if times is None:
            times = self._times[place] = np.zeros(KEPT, np.int64)
        times[offset % KEPT] = time_ms
        self._newest[place] = offset

    def of(self, source: bytes) -> int:
        """When Kafka took the event at `topic/partition/offset`; 0 where that is not known, or no such place."""
        topic, _, rest = source.partition(b"/")
        partition, _, offset = rest.partition(b"/")
        try:
            place, at = (topic.decode("ascii"), int(partition)), int(offset)
        except ValueError:
            return 0
        times = self._times.get(place)
        if times is None or not self._newest[place] - KEPT < at <= self._newest[place]:
            return 0
        return int(times[at % KEPT])

    def _follow(self) -> None:
        quiet = logging.Logger("librdkafka")
        quiet.disabled = True
        options = {
            **kafka_client(self._settings),
            "group.id": "streaminfer-monitor-arrivals",  # must be named; nothing is committed for it
            "enable.auto.commit": False,
            "auto.offset.reset": "latest",
            "error_cb": lambda _: None,
        }
        consumer = Consumer(options, logger=quiet)
        placed: set[tuple[str, int]] = set()
        while not self._stop.is_set():
            if len({topic for topic, _ in placed}) < len(self._topics):
                with contextlib.suppress(KafkaException):
                    self._place(consumer, placed)
            for message in consumer.consume(BATCH, WAIT_S if placed else AGAIN_S):
                if message.error() is None:
                    self.note(message.topic() or "", message.partition() or 0, message.offset() or 0, _time(message))
        consumer.close()

    def _place(self, consumer: Consumer, placed: set[tuple[str, int]]) -> None:
        """Begin with the topics that are there by now, a little before their end."""
        there = consumer.list_topics(timeout=PATIENCE_S).topics
        for topic in self._topics:
            for partition in there[topic].partitions if topic in there else ():
                if (topic, partition) in placed:
                    continue
                place = TopicPartition(topic, partition)
                low, high = consumer.get_watermark_offsets(place, PATIENCE_S)
                consumer.incremental_assign([TopicPartition(topic, partition, max(low, high - KEPT // 4))])
                placed.add((topic, partition))


def _time(message: object) -> int:
    return int(message.timestamp()[1])  # type: ignore[attr-defined]
