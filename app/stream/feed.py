"""The consumer: records of owned partitions, with the group metadata that belongs to them.

The only file that calls the consumer, from the loop's thread alone: a call from another thread would wait until the
running poll returns. A partition is handed out paused, and nothing of it is read before `start` says from where.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from app.errors import Fatal, Fenced, Unavailable
from app.features.assign import Found
from app.record import Record, record_of

log = logging.getLogger(__name__)

LEAVE_S = 2.0  # for the client to give its partitions back; what is in flight was settled before
AWAY = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE})


class Owner(Protocol):
    """Who is told, inside a poll, that partitions come and go."""

    def assigned(self, partitions: frozenset[int]) -> None: ...
    def revoked(self, partitions: frozenset[int]) -> None: ...
    def lost(self, partitions: frozenset[int]) -> None: ...


@dataclass(frozen=True)
class Polled:
    """What one poll gave.

    `group` is the metadata read right after the records were taken, and belongs to them; None
    where this process is no member of the group.

    `ends` holds the partitions whose end was reached, with the offset that the next record will have. `changed`: the
    group moved on inside the poll, so the records may not be committed with `group` (protocol A2b).
    """

    records: list[Record]
    ends: dict[int, int]
    group: object
    changed: bool
    gone: set[int]  # partitions whose next record the log does not have


class Feed:
    """The records of one input topic, for one member of the pipeline's group."""

    def __init__(self, config: Mapping[str, Any], topic: str, owner: Owner) -> None:
        self.topic = topic
        self._name = str(config["group.id"])
        self._owner = owner
        self._incremental = config.get("group.protocol") == "consumer"
        quiet = logging.Logger("librdkafka")  # what matters comes through error_cb, once
        quiet.addHandler(logging.NullHandler())
        try:
            self._consumer = Consumer({**config, "error_cb": self._error}, logger=quiet)
        except KafkaException as error:
            raise Fatal(f"Kafka's client refuses its settings: {error.args[0].str()}.") from error
        self._admin = AdminClient({k: v for k, v in config.items() if not _of_groups(k)}, logger=quiet)
        self._group: object = None  # the metadata of the last poll
        self.group: object = None  # the same, but None where it is not that of a member
        self._first: dict[int, int] = {}  # each partition's first offset, as far as it was asked for
        self._away = False
        self._kept_out = False

    def subscribe(self) -> None:
        self._consumer.subscribe([self.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._on_lost)

    def poll(self, limit: int, wait_s: float) -> Polled:
        """Up to `limit` records; waits `wait_s` for the first and not at all for the others.

        Raises Fatal where the consumer cannot go on, and Fenced where another process has this member's name.
        """
        before = self._group
        try:
            # consume(N, wait) would wait the whole time unless N come.
            messages = self._consumer.consume(1, wait_s)
            if messages and limit > 1:
                messages += self._consumer.consume(limit - 1, 0)
            group = self._consumer.consumer_group_metadata()
        except KafkaException as error:
            raise _meaning(error.args[0]) from error
        if group != before:
            self._group, self.group = group, group if is_member(group) else None
        records: list[Record] = []
        ends: dict[int, int] = {}
        gone: set[int] = set()
        for message in messages:
            trouble = message.error()
            if trouble is None:
                records.append(record_of(self.topic, message))
            elif trouble.code() == KafkaError._PARTITION_EOF:
                ends[_int(message.partition())] = _int(message.offset())
            elif trouble.code() == KafkaError._AUTO_OFFSET_RESET:
                gone.add(_int(message.partition()))
            else:
                self._event(trouble)
        if self._away and (records or ends):
            self._away = False
            log.info("Kafka answers again.", extra={"event": "kafka-answers"})
        return Polled(records, ends, self.group, changed=before != group, gone=gone)

    # -- partitions ------------------------------------------------------------------------------------------------

    def start(self, partition: int, offset: int) -> bool:
        """Read on from `offset`. False if the consumer is not ready for it yet: try again after a poll."""
        place = TopicPartition(self.topic, partition, offset)
        try:
            self._consumer.seek(place)
            self._consumer.resume([place])
        except KafkaException:
            return False
        return True

    def pause(self, partitions: Iterable[int]) -> None:
        """Read nothing more of these; what is on its way is dropped by the consumer."""
        places = [TopicPartition(self.topic, p) for p in partitions]
        if places:
            self._consumer.pause(places)

    def anew(self) -> None:
        """Take the whole assignment again: the client reads no more of a partition whose next record is gone.

        It does not seek there either. All partitions stand still after this, until each is started. Raises as `poll`.
        """
        try:
            mine = [place.partition for place in self._consumer.assignment()]
            if self._incremental:
                self._consumer.incremental_unassign([TopicPartition(self.topic, partition) for partition in mine])
            self._take(mine)
        except KafkaException as error:
            raise _meaning(error.args[0]) from error

    def _take(self, partitions: Collection[int]) -> None:
        """Paused, at a stand-in until `start` seeks."""
        # Before a pause takes hold something may be read, so it is best if there is something. Not the log's end: a
        # seek is lost where the client is told of that only then.
        places = [TopicPartition(self.topic, partition, self._first.get(partition, 0)) for partition in partitions]
        if self._incremental:
            self._consumer.incremental_assign(places)
        else:
            self._consumer.assign(places)
        self.pause(partitions)

    def found(self, partitions: Sequence[int], timeout_s: float) -> dict[int, Found]:
        """Each partition's committed offset and the log's bounds, the offset only if no transaction holds it open.

        Raises Unavailable where Kafka does not answer in time, or a dead worker's transaction is still open.
        """
        places = [TopicPartition(self.topic, p) for p in partitions]
        try:
            topic_id, width = self._topic(timeout_s)
            committed = {_int(c.partition): c for c in self._consumer.committed(places, timeout_s)}
            found: dict[int, Found] = {}
            for partition, place in committed.items():
                if place.error is not None:
                    raise KafkaException(place.error)
                low, high = self._bounds(partition, timeout_s)
                self._first[partition] = low
                at = None if place.offset == OFFSET_INVALID else place.offset
                found[partition] = Found(self.topic, topic_id, width, partition, at, low, high, self._name)
        except KafkaException as error:
            raise Unavailable(f"Kafka does not tell the committed offsets ({error.args[0].str()}).") from error
        return found

    def _bounds(self, partition: int, timeout_s: float) -> tuple[int, int]:
        place = TopicPartition(self.topic, partition)
        try:
            low, high = self._consumer.get_watermark_offsets(place, timeout_s, cached=False)
        except KafkaException:
            # It asks the leader that this client last heard of, be it dead, or none; any broker names another.
            self._consumer.list_topics(self.topic, timeout_s)
            raise
        return low, high

    def _topic(self, timeout_s: float) -> tuple[str, int]:
        """The topic's id, which a topic created anew does not share, and how many partitions it has."""
        future = self._admin.describe_topics(TopicCollection([self.topic]), request_timeout=timeout_s)[self.topic]
        try:
            described = future.result(timeout_s + 1.0)
        except (KafkaException, TimeoutError) as error:
            # It waits for the broker that this client takes for the controller, be it dead; any other names another.
            self._admin.list_topics(self.topic, timeout_s)
            late = KafkaException(KafkaError(KafkaError._TIMED_OUT))
            raise (error if isinstance(error, KafkaException) else late) from None
        return str(described.topic_id), len(described.partitions)

    def close(self, *, leave: bool = False) -> None:
        """End membership. Others have the partitions at once if it is to `leave`.

        Otherwise those of a static member stay its own until its session ends: it may come back for them.
        """
        if leave:
            # A static member that closes tells the group nothing; one that unsubscribes before does.
            self._consumer.unsubscribe()
            deadline = time.monotonic() + LEAVE_S
            while self._consumer.assignment() and time.monotonic() < deadline:
                self._consumer.poll(0.05)  # the partitions are revoked in here
        self._consumer.close()

    # -- callbacks, inside a poll ------------------------------------------------------------------------------------

    def _assigned(self, _: Consumer, places: list[TopicPartition]) -> None:
        partitions = frozenset(place.partition for place in places)
        self._take(partitions)
        self._owner.assigned(partitions)

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._owner.revoked(frozenset(place.partition for place in places))
        self._release(consumer, places)

    def _on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._owner.lost(frozenset(place.partition for place in places))
        self._release(consumer, places)

    def _release(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if self._incremental:
            consumer.incremental_unassign(places)
        else:
            consumer.unassign()

    def _event(self, error: KafkaError) -> None:
        code = error.code()
        if code in AWAY:
            self._error(error)
        elif code == KafkaError._MAX_POLL_EXCEEDED:
            log.warning(
                "This worker did not poll in time and lost its partitions; it joins again.",
                extra={"event": "partitions-lost"},
            )
        elif code == KafkaError.INCONSISTENT_GROUP_PROTOCOL:
            if not self._kept_out:
                log.warning(
                    "Kafka keeps this worker out of the group %s. A replay answers on this pipeline's topic "
                    "(`streaminfer replay list`), or workers run with another partition.assignment.strategy; "
                    "waiting until they are gone.",
                    self._name,
                    extra={"event": "kept-out"},
                )
            self._kept_out = True
        elif error.fatal() or code in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID):
            raise _meaning(error)
        else:
            log.warning("Kafka says: %s", error.str(), extra={"event": "kafka-says"})

    def _error(self, error: KafkaError) -> None:
        if error.code() in AWAY and not self._away:
            self._away = True
            log.warning("Kafka does not answer (%s); waiting for it.", error.str(), extra={"event": "kafka-away"})


def _int(number: int | None) -> int:
    assert number is not None, "records of a broker have a place"
    return number


def _meaning(error: KafkaError) -> Fatal:
    # A fatal error tells what it is about in its words alone.
    fenced = error.code() == KafkaError._FATAL and "fenced" in error.str()
    if fenced or error.code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED, KafkaError.UNRELEASED_INSTANCE_ID):
        return Fenced(
            "Another process of this group has the same --instance; give each its own, or wait for its session to end."
        )
    return Fatal(f"The consumer cannot go on: {error.str()}.")


def _of_groups(key: str) -> bool:
    return key.startswith(
        ("group.", "enable.", "auto.", "isolation.", "session.", "heartbeat.", "max.poll", "partition.", "fetch.",
         "queued.", "check.")
    )  # fmt: skip


def is_member(group: object) -> bool:
    """Whether a commit with this metadata would be checked by the broker (protocol A2b).

    Without a generation or a member's name it is accepted with no check at all, so such a commit is never made. The
    metadata is librdkafka's own format: `CGMDv2:`, the generation as int32, then group, member and instance, each
    ended by a zero byte.
    """
    raw, head = (group if isinstance(group, bytes) else b""), b"CGMDv2:"
    if not raw.startswith(head) or len(raw) < len(head) + 4:
        return False
    names = raw[len(head) + 4 :].split(b"\0")
    return bool(struct.unpack_from("<i", raw, len(head))[0] >= 0 and len(names) > 1 and names[1])
