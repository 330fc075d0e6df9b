"""A consumer group from outside: what it has committed, and who owns which partition.

Joins nothing, and commits nothing but what it is told to `set`. Every wait is bounded; a bound that is reached raises
Unavailable.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from app.access.clients import kafka_client
from app.errors import Refused, Unavailable
from app.replay.log import AWAY, NOT_YET
from app.settings import Settings

SETTLE_S = 2.0  # a commit is answered before its marker is written; what takes longer is an open transaction
LEAST_S = 0.2  # for each partition, also after another one that was waited for in vain
AGAIN_S = 0.02
AT_REST = frozenset({ConsumerGroupState.STABLE, ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD})


@dataclass(frozen=True)
class Owner:
    """A member of the group, as it names itself, and the host it came from."""

    client_id: str
    member_id: str
    host: str


@dataclass(frozen=True)
class Owners:
    """Who owns which partition. While `rebalancing`, partitions without an owner may be on their way to one."""

    of: dict[int, Owner]
    rebalancing: bool


class Group:
    """One group on one Kafka. `patience_s` bounds every question."""

    def __init__(self, settings: Settings, name: str, *, patience_s: float) -> None:
        self.name = name
        self._patience_s = patience_s
        options = kafka_client(settings)
        self._admin = AdminClient(options, logger=_quiet())
        # Consumers that never join. The admin has a question of the same kind, but asking it kills the process where
        # the coordinator is still loading: librdkafka 2.16 looks for a membership that an admin has not.
        options |= {"group.id": name, "retry.backoff.ms": 5, "retry.backoff.max.ms": 50}
        self._settled = Consumer(options | {"isolation.level": "read_committed"}, logger=_quiet())
        self._latest = Consumer(options | {"isolation.level": "read_uncommitted"}, logger=_quiet())

    def close(self) -> None:
        self._settled.close()
        self._latest.close()

    def committed(self, topic: str, partitions: Sequence[int], *, settle_s: float = SETTLE_S) -> dict[int, int | None]:
        """What the group has committed, None where nothing.

        An offset that is in an open transaction is waited for up to `settle_s`; then the one before it counts, for
        nobody knows yet whether the transaction will commit. So a worker that hangs does not hide its lag.
        """
        deadline = time.monotonic() + settle_s
        return {p: self._committed(TopicPartition(topic, p), deadline) for p in partitions}

    def _committed(self, place: TopicPartition, settled_by: float) -> int | None:
        # Each partition by itself: one that is in a transaction would keep the others waiting.
        try:
            return _offset(self._settled, place, max(settled_by, time.monotonic() + LEAST_S))
        except KafkaException:
            pass  # why does not matter: if it is more than a transaction, it is met again now
        try:
            return _offset(self._latest, place, time.monotonic() + self._patience_s)
        except KafkaException as error:
            raise _unavailable(self.name, error.args[0]) from error

    def owners(self, topic: str) -> Owners:
        """Who owns the topic's partitions now. A group that never was has no owners."""
        return owners_in(self._admin, self.name, topic, patience_s=self._patience_s)

    def members(self) -> list[str]:
        """How its members name themselves. A group that never was has none."""
        group = self._ask(lambda **wait: self._admin.describe_consumer_groups([self.name], **wait))
        return [member.client_id for member in group.members]

    def set(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Commit these offsets for the group. Raises Refused where it has members by now."""
        places = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
        if not places:
            return
        wanted = [ConsumerGroupTopicPartitions(self.name, places)]
        done = self._ask(lambda **wait: self._admin.alter_consumer_group_offsets(wanted, **wait))
        for place in done.topic_partitions:
            if place.error is not None:
                raise Refused(f"Kafka refuses to set {topic}/{place.partition}: {place.error.str()}.")

    def delete(self, *, wait_s: float) -> None:
        """Remove the group and its offsets; one that never was is as good.

        A static member that has left is a member until its session ends, which is waited for up to `wait_s`; then
        Unavailable is raised.
        """
        deadline = time.monotonic() + wait_s
        while True:
            try:
                answer = self._admin.delete_consumer_groups([self.name], request_timeout=self._patience_s)[self.name]
                answer.result(self._patience_s + 1.0)
                return
            except FutureTimeoutError:
                raise Unavailable(f"Kafka has not answered for {self._patience_s:.0f} s; see that it runs.") from None
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if cause.code() == KafkaError.GROUP_ID_NOT_FOUND:
                    return
                if cause.code() not in NOT_YET | {KafkaError.NON_EMPTY_GROUP} or time.monotonic() > deadline:
                    raise _unavailable(self.name, cause) from error
            time.sleep(0.1)

    def _ask(self, question: Callable[..., dict[str, Future[Any]]]) -> Any:
        return answered(
            lambda left: question(request_timeout=left)[self.name], group=self.name, patience_s=self._patience_s
        )


def owners_in(admin: AdminClient, name: str, topic: str, *, patience_s: float) -> Owners:
    """Who owns the topic's partitions in the group `name`. Raises Unavailable where Kafka does not tell in time."""
    group = answered(
        lambda left: admin.describe_consumer_groups([name], request_timeout=left)[name],
        group=name,
        patience_s=patience_s,
    )
    of = {
        place.partition: Owner(member.client_id, member.member_id, member.host.removeprefix("/"))
        for member in group.members
        for place in member.assignment.topic_partitions
        if place.topic == topic
    }
    return Owners(of, rebalancing=group.state not in AT_REST)


def answered(question: Callable[[float], Future[Any]], *, group: str, patience_s: float) -> Any:
    """The answer to a question, which is given the seconds that it may take.

    It is asked again while the group's coordinator is on its way: on a new broker, or after a broker has gone.
    """
    deadline = time.monotonic() + patience_s
    while True:
        left = max(0.1, deadline - time.monotonic())
        try:
            return question(left).result(left + 1.0)
        except FutureTimeoutError:
            raise Unavailable(f"Kafka has not answered for {patience_s:.0f} s; see that it runs.") from None
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if cause.code() not in NOT_YET or time.monotonic() >= deadline:
                raise _unavailable(group, cause) from error
            time.sleep(AGAIN_S)


def _offset(consumer: Consumer, place: TopicPartition, deadline: float) -> int | None:
    """The committed offset, None where there is none. Raises KafkaException where it is not told by the deadline."""
    while True:
        try:
            found = consumer.committed([place], max(0.1, deadline - time.monotonic()))[0]
            if found.error is not None:
                raise KafkaException(found.error)
            return found.offset if found.offset >= 0 else None
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            passing = cause.retriable() or cause.code() in AWAY or cause.code() in NOT_YET
            if not passing or time.monotonic() >= deadline:
                raise
            time.sleep(AGAIN_S)


def _quiet() -> logging.Logger:
    logger = logging.Logger("librdkafka")
    logger.disabled = True  # what matters is raised
    return logger


def _unavailable(group: str, error: KafkaError) -> Unavailable:
    return Unavailable(f"Kafka does not tell about the group {group} ({error.str()}); see that it runs.")
