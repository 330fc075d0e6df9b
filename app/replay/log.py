"""The log, read after the fact: where topics start and end, what a group has committed, every visible record between.

Joins no group and commits nothing, so it disturbs no worker. Every wait is bounded; a bound that is reached raises
Unavailable with what was waited for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public, not exported

from app.access.clients import kafka_client
from app.errors import Refused, Unavailable
from app.settings import Settings

BATCH = 10_000  # records at once: what is paid for each call is paid seldom
FEW_BYTES = 1 << 16  # of a partition at once, for who wants a few records
WAIT_S = 0.5  # for the first record of a batch
EARLIEST, LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
FIRST_S = 10.0  # for the first question, whatever the patience is: a Kafka that is away is told soon
AWAY = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT})
# A coordinator that is on its way: on a new broker, or after a broker has gone. The client does not mark them as worth
# another try.
NOT_YET = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._WAIT_COORD,
    }
)


@dataclass(frozen=True)
class Span:
    """The offsets [start, end) of a partition."""

    start: int
    end: int

    def __len__(self) -> int:
        return max(0, self.end - self.start)


class Log:
    """Topics as a read_committed reader sees them, and what `group` has committed of them.

    `patience_s` bounds every wait in which nothing comes forward. With `few` it is for who reads a few records here
    and there, and not a whole log: little more than those is fetched.
    """

    def __init__(self, settings: Settings, group: str, *, patience_s: float, few: bool = False) -> None:
        quiet = logging.Logger("librdkafka")
        quiet.disabled = True  # what matters is raised
        client = kafka_client(settings)
        self.group = group
        self._patience_s = patience_s
        self._admin = AdminClient(client, logger=quiet)
        self._consumer = Consumer(
            client
            | {
                "group.id": group,
                "isolation.level": "read_committed",  # also makes committed offsets wait for open transactions
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",  # the start was deleted meanwhile; the caller compares
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,  # the log is there already: nothing is won by waiting for more of it
                "fetch.queue.backoff.ms": 10,
                "queued.min.messages": 1 if few else 100_000,
                "fetch.message.max.bytes": FEW_BYTES if few else 1 << 20,
                "retry.backoff.ms": 5,  # an offset in an open transaction is asked for again in small steps
                "retry.backoff.max.ms": 50,
            },
            logger=quiet,
        )

    def close(self) -> None:
        self._consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """The topic's partitions. Raises Refused where there is no such topic."""
        return self.identity(topic)[1]

    def identity(self, topic: str) -> tuple[str, list[int]]:
        """The topic's id, which a topic created anew does not share, and its partitions. Raises Refused as above."""
        first_s = min(self._patience_s, FIRST_S)
        answer = self._admin.describe_topics(TopicCollection([topic]), request_timeout=first_s)[topic]
        try:
            described = self._result(answer)
            return str(described.topic_id), sorted(partition.id for partition in described.partitions)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Refused(
                    f"There is no topic {topic}: `streaminfer topics apply` creates what the pipelines need."
                ) from None
            raise _unavailable(error) from error

    def starts(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """The first offset that retention has left of each partition."""
        return self._offsets(topic, dict.fromkeys(partitions, EARLIEST))

    def ends(self, topic: str, partitions: Sequence[int], *, settled: bool) -> dict[int, int]:
        """Each partition's end: the first offset of an open transaction if `settled`, else where the next record goes.

        Every transaction with a record below a settled end has committed or aborted there.
        """
        level = IsolationLevel.READ_COMMITTED if settled else IsolationLevel.READ_UNCOMMITTED
        return self._offsets(topic, dict.fromkeys(partitions, LATEST), level)

    def since(self, topic: str, partitions: Sequence[int], time_ms: int) -> dict[int, int | None]:
        """Each partition's first offset whose record time is `time_ms` or later; None where there is none."""
        found = self._offsets(topic, {p: OffsetSpec.for_timestamp(time_ms) for p in partitions})
        return {p: offset if offset >= 0 else None for p, offset in found.items()}

    def committed(self, topic: str, partitions: Sequence[int]) -> dict[int, int | None]:
        """What the group has committed, None where nothing; waits while a transaction holds an offset open."""
        # One partition at a time: in a busy group some partition is always in a transaction, all of them hardly ever
        # stand still at once.
        return {partition: self._committed(topic, partition) for partition in partitions}

    def _committed(self, topic: str, partition: int) -> int | None:
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                left = max(0.1, deadline - time.monotonic())
                place = self._consumer.committed([TopicPartition(topic, partition)], left)[0]
                if place.error is not None:
                    raise KafkaException(place.error)
                return None if place.offset == OFFSET_INVALID else place.offset
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if not cause.retriable() and cause.code() not in AWAY | NOT_YET:
                    raise _unavailable(error) from error
                if time.monotonic() >= deadline:
                    self.ends(topic, [partition], settled=False)  # says it, if it is Kafka that is away
                    raise Unavailable(
                        f"The offset of {topic}/{partition} that the group {self.group} commits has been in an open "
                        f"transaction for {self._patience_s:.0f} s: the broker ends it after the transaction's "
                        "time-out; run this again then."
                    ) from error
                time.sleep(0.05)

    def scan(self, topic: str, spans: Mapping[int, Span]) -> Iterator[list[Message]]:
        """The visible records within each partition's span, in batches, each partition in order.

        Waits for the transactions that are open below a span's end: what such a one will have committed is looked at
        too. Raises Unavailable where one of them does not end.
        """
        ends = {partition: span.end for partition, span in spans.items() if len(span)}
        self._consumer.assign([TopicPartition(topic, partition, spans[partition].start) for partition in ends])
        self._learn(topic)
        deadline = time.monotonic() + self._patience_s
        try:
            while ends:
                messages = self._consumer.consume(1, WAIT_S)
                if messages:
                    messages += self._consumer.consume(BATCH - 1, 0)
                records, moved = self._within(topic, messages, ends)
                if records:
                    yield records
                if moved:
                    deadline = time.monotonic() + self._patience_s
                elif time.monotonic() > deadline:
                    self._held_open(topic, ends)
        finally:
            self._consumer.unassign()

    def _learn(self, topic: str) -> None:
        """Find the topic's leaders now; by itself the client looks for those of a new topic once a second."""
        try:
            self._consumer.list_topics(topic, self._patience_s)
        except KafkaException as error:
            raise _unavailable(error) from error

    def _within(self, topic: str, messages: list[Message], ends: dict[int, int]) -> tuple[list[Message], bool]:
        """The records before their ends, and whether anything came forward. Partitions at their end leave `ends`.

        The end itself may never come as a record: markers and aborted records are invisible. Past it is whoever has
        been given a later offset, or was told that the log ends there.
        """
        records: list[Message] = []
        moved = False
        for message in messages:
            error = message.error()
            partition, offset = message.partition(), message.offset()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if error.code() not in AWAY:
                    raise Unavailable(f"Kafka does not give the records of {topic} ({error.str()}); run this again.")
                continue
            assert partition is not None, "records of a broker have a place"
            assert offset is not None
            end = ends.get(partition)
            if end is None:
                continue
            moved = True
            if error is None and offset < end:
                records.append(message)
            if offset >= end or (error is None and offset == end - 1):
                del ends[partition]
                self._consumer.incremental_unassign([TopicPartition(topic, partition)])
        return records, moved

    def _held_open(self, topic: str, ends: Mapping[int, int]) -> None:
        for partition, settled in self.ends(topic, list(ends), settled=True).items():
            if settled < ends[partition]:
                raise Unavailable(
                    f"A transaction on {topic}/{partition} has been open at offset {settled} for "
                    f"{self._patience_s:.0f} s: the broker ends it after its time-out; run this again then, and if it "
                    "still hangs, end it with Kafka's kafka-transactions.sh."
                )
        raise Unavailable(f"Kafka has given no record of {topic} for {self._patience_s:.0f} s; run this again.")

    def _offsets(
        self,
        topic: str,
        wanted: Mapping[int, OffsetSpec],
        level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> dict[int, int]:
        places = {TopicPartition(topic, partition): spec for partition, spec in wanted.items()}
        answers = self._admin.list_offsets(places, isolation_level=level, request_timeout=self._patience_s)
        try:
            return {_number(place.partition): _number(self._result(answers[place]).offset) for place in places}
        except KafkaException as error:
            raise _unavailable(error) from error

    def _result(self, future: Future[Any]) -> Any:
        try:
            return future.result(self._patience_s + 1.0)
        except FutureTimeoutError:
            raise Unavailable(f"Kafka has not answered for {self._patience_s:.0f} s; see that it runs.") from None


def _number(value: Any) -> int:
    return int(value)


def _unavailable(error: KafkaException) -> Unavailable:
    return Unavailable(f"Kafka does not say what the log holds ({error.args[0].str()}); see that it runs.")
