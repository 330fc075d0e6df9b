"""What readers outside see while the faults are dealt: each answer as it becomes visible, and the groups' offsets."""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tests.faults.oracle import reading
from tests.faults.runs import now_ms

EVERY_S = 0.1
STABLE_S = 10.0  # as long as a dead worker's transaction may be open


class Reached:
    """How far one input partition was done, and when: offsets and milliseconds since 1970, both growing."""

    def __init__(self) -> None:
        self.offsets, self.times_ms = array("q"), array("q")

    def put(self, offset: int) -> None:
        if not self.offsets or offset > self.offsets[-1]:
            self.times_ms.append(now_ms())
            self.offsets.append(offset)

    def when(self, offset: int) -> int | None:
        """When this offset was done, or one behind it."""
        place = bisect_left(self.offsets, offset)
        return self.times_ms[place] if place < len(self.times_ms) else None

    @property
    def last(self) -> int:
        return self.offsets[-1] if self.offsets else -1


class Answers(threading.Thread):
    """A read_committed reader of all topics of answers. `records` by topic and partition, `answered` by input."""

    def __init__(self, kafka: str, topics: Sequence[str], partitions: int) -> None:
        super().__init__(daemon=True)
        self.records: dict[tuple[str, int], list[tuple[int, bytes]]] = {
            (topic, p): [] for topic in topics for p in range(partitions)
        }
        self.answered: dict[tuple[str, int], Reached] = defaultdict(Reached)
        self.at: dict[tuple[str, int], int] = dict.fromkeys(self.records, 0)
        self._consumer = reading.consumer(kafka, group="watching")
        self._consumer.assign([TopicPartition(topic, p, 0) for topic, p in self.records])
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.is_set():
            for message in self._consumer.consume(500, 0.02):
                self._take(message)
        self._consumer.close()

    def _take(self, message: Message) -> None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if topic is None or partition is None or offset is None:
            return
        if message.error() is not None:
            if offset >= 0:
                self.at[topic, partition] = offset  # the end, whatever invisible records lie before it
            return
        self.at[topic, partition] = offset + 1
        self.records[topic, partition].append((offset, reading.digest(message)))
        if (source := reading.source(message)) is not None:
            self.answered[source[0], source[1]].put(source[2])

    def stop(self) -> None:
        self._ending.set()
        self.join(10)


class Offsets(threading.Thread):
    """Asks where groups stand, again and again. `went_back` names each time that an offset did, but for by hand."""

    def __init__(self, kafka: str, groups: dict[str, str], partitions: int) -> None:
        super().__init__(daemon=True)
        self._partitions = partitions
        self._topics = groups
        self._consumers: dict[str, Consumer] = {
            group: reading.consumer(kafka, "read_uncommitted", group) for group in groups
        }
        self._stable = {group: reading.consumer(kafka, "read_committed", group) for group in groups}
        self._by_hand: set[str] = set()
        self._last: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self.went_back: dict[str, list[str]] = defaultdict(list)
        self.stands: dict[tuple[str, int], Reached] = defaultdict(Reached)  # by group and partition

    def run(self) -> None:
        while not self._ending.wait(EVERY_S):
            for group, topic in self._topics.items():
                self._ask(group, topic)
        for consumer in (*self._consumers.values(), *self._stable.values()):
            consumer.close()

    def _ask(self, group: str, topic: str) -> None:
        with self._lock:
            if group in self._by_hand:
                return
            try:
                asked = [TopicPartition(topic, p) for p in range(self._partitions)]
                found = self._consumers[group].committed(asked, 2.0)
            except KafkaException:
                return  # its coordinator is away, or moves
            for one in found:
                self._take(group, one)

    def _take(self, group: str, one: TopicPartition) -> None:
        if one.error is not None:
            return
        place, offset = (group, one.partition), one.offset
        before = self._last.get(place, -1)
        if offset < before:
            if not self._is_behind(group, one, before):
                return
            self.went_back[group].append(f"{one.topic}/{one.partition} from {before} to {offset}")
        if offset >= 0:
            self._last[place] = offset
            self.stands[place].put(offset)

    def _is_behind(self, group: str, one: TopicPartition, before: int) -> bool:
        """Whether the offset did go back. False where nobody says: it is asked for again.

        A coordinator that has just come answers with what it knows its followers to have, which may be less than the
        one before it answered, but for who asks for what is stable, as workers do (KAFKA-14499).
        """
        try:
            (found,) = self._stable[group].committed([TopicPartition(one.topic, one.partition)], STABLE_S)
        except KafkaException:
            return False
        return found.error is None and found.offset < before

    @contextmanager
    def by_hand(self, group: str) -> Iterator[None]:
        """Somebody moves the group's offsets: what it has afterwards is taken as it is."""
        with self._lock:
            self._by_hand.add(group)
        try:
            yield
        finally:
            with self._lock:
                for place in [place for place in self._last if place[0] == group]:
                    del self._last[place]
                self._by_hand.discard(group)

    def stop(self) -> None:
        self._ending.set()
        self.join(10)


def wait_until(ready: object, within_s: float, every_s: float = 0.05) -> bool:
    """Poll a callable until it gives something true."""
    assert callable(ready)
    deadline = time.monotonic() + within_s
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True
