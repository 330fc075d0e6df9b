"""How long answers stay away, as a reader outside sees it while inputs keep coming; how often a group was shared out.

Of the product it knows the `source` header alone.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition

OFFSETS = "__consumer_offsets"
GROUP = 2  # the version of a key that names a group
FLEXIBLE = 4  # the version of a value from which on its strings have short lengths


class Sending:
    """Sends `events` at `rate` a second until it is left. Event i is due at i/rate, whoever holds it up."""

    def __init__(self, kafka: str, topic: str, events: Iterator[tuple[bytes | str, bytes]], *, rate: float) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 5,
            }
        )
        self._topic, self._events, self._rate = topic, events, rate
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.stalled_s = 0.0  # the worst that an event was sent late: a pause that is ours and not the workers'
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._producer.flush(30)

    def _run(self) -> None:
        began = time.monotonic()
        for key, value in self._events:
            due = began + self.sent / self._rate
            while (wait_s := due - time.monotonic()) > 0:
                self._producer.poll(0)
                if self._ended.wait(wait_s):
                    return
            if self._ended.is_set():
                return
            self.stalled_s = max(self.stalled_s, -wait_s)
            self._producer.produce(self._topic, value, key)
            self.sent += 1


class Watching:
    """Notes when a committed answer to each input partition came, from the ends of `topics` on."""

    def __init__(self, kafka: str, topics: Sequence[str]) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka,
                "group.id": "outside",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
            }
        )
        known = self._consumer.list_topics(timeout=10).topics
        self._consumer.assign([TopicPartition(t, p, OFFSET_END) for t in topics for p in known[t].partitions])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.came: defaultdict[int, list[float]] = defaultdict(list)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._consumer.close()

    def pauses(self, began: float, ended: float, *, of: Callable[[int], bool] = lambda _: True) -> dict[int, float]:
        """The longest that each partition `of` those was without an answer between two monotonic seconds."""
        return {p: pause(sorted(came), began, ended) for p, came in sorted(self.came.items()) if of(p)}

    def first_after(self, partition: int, began: float) -> float | None:
        """When the partition's first answer from then on came."""
        return next((at for at in self.came[partition] if at >= began), None)

    def _run(self) -> None:
        while not self._ended.is_set():
            for message in self._consumer.consume(1, 0.1) + self._consumer.consume(1000, 0):
                if message.error() is None:
                    self.came[_partition(message)].append(time.monotonic())


def pause(came: Sequence[float], began: float, ended: float) -> float:
    """The longest gap of what came that lies in part between the two."""
    before = max((at for at in came if at < began), default=began)
    after = min((at for at in came if at > ended), default=ended)
    within = [before, *(at for at in came if began <= at <= ended), after]
    return max(later - earlier for earlier, later in pairwise(within))


def generation(kafka: str, group: str) -> int:
    """How often the group has been shared out so far, read from Kafka's own record of it."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "outside",
            "isolation.level": "read_uncommitted",  # workers write offsets in there all the time
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    partitions = consumer.list_topics(OFFSETS, 10).topics[OFFSETS].partitions
    ends = {p: consumer.get_watermark_offsets(TopicPartition(OFFSETS, p), 10)[1] for p in partitions}
    consumer.assign([TopicPartition(OFFSETS, p, 0) for p in partitions])
    newest, deadline = 0, time.monotonic() + 60
    while ends:
        assert time.monotonic() < deadline, f"{OFFSETS} does not end"
        for message in consumer.consume(1, 0.2) + consumer.consume(5000, 0):
            partition = _number(message.partition())
            if message.error() is None and (found := _generation(message, group)) is not None:
                newest = max(newest, found)
            if message.error() is not None or _number(message.offset()) >= ends.get(partition, 0) - 1:
                ends.pop(partition, None)
    consumer.close()
    return newest


def _generation(message: Any, group: str) -> int | None:
    key, value = message.key(), message.value()
    if value is None or key is None or struct.unpack_from(">h", key)[0] != GROUP or key[4:] != group.encode():
        return None
    (version,) = struct.unpack_from(">h", value)
    # Behind the kind of group, a name of less than 127 letters.
    at = 2 + value[2] if version >= FLEXIBLE else 4 + struct.unpack_from(">h", value, 2)[0]
    return int(struct.unpack_from(">i", value, at)[0])


def _partition(message: Any) -> int:
    source = next(value for name, value in message.headers() if name == "source")
    return int(source.decode().rsplit("/", 2)[1])


def _number(value: int | None) -> int:
    assert value is not None, "records of a broker have a place"
    return value
