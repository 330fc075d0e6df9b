"""Who may run a replay: the one member of the plan's own group that Kafka gives the plans' partition to.

Membership ends with the process, whatever ends it, after its session; so a plan is never held by the dead, and never
by two, on whichever machines they are.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from app.access.clients import kafka_client
from app.errors import Fenced, Refused, Unavailable
from app.replay.group import Group
from app.replay.plans import TOPIC
from app.settings import Settings, host

SESSION_MS = 6_000
JOIN_S = 20.0
AWAY_S = 600.0  # for a Kafka that is away while the plan runs: nobody else owns it meanwhile
PATIENCE_S = 10.0

Record = tuple[str, bytes]


def fence_of(plan_id: str) -> str:
    """The group that the owner of a plan is the only member of."""
    return f"{TOPIC}.{plan_id}"


def me() -> str:
    """This process, as others are told of it."""
    return f"{host()}/{os.getpid()}"


class Membership:
    """The only member of a group with a partition. Must be polled; raises Fenced once the partition is another's.

    Records are read where it `reads`.
    """

    def __init__(self, settings: Settings, group: str, topic: str, *, strategy: str, reads: bool) -> None:
        self._reads = reads
        self._mine = False
        self._decided = False
        self._since = time.monotonic()  # when it was last undecided
        self._refused = False
        self._joined = False
        quiet = logging.Logger("librdkafka")
        quiet.disabled = True
        options: dict[str, Any] = {
            **kafka_client(settings),
            "client.id": me(),
            "group.id": group,
            "group.protocol": "classic",
            "partition.assignment.strategy": strategy,
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": SESSION_MS // 6,
            "max.poll.interval.ms": 600_000,
            "auto.offset.reset": "latest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
        self._consumer = Consumer(options, logger=quiet)
        self._consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def join(self) -> bool:
        """Whether it is the one. Raises Unavailable where Kafka does not say."""
        while not self._decided and not self._refused:
            self._poll(0.05)
        return self._mine

    def poll(self, wait_s: float = 0.05) -> list[Record]:
        """Records that came meanwhile: key and value. Raises Fenced."""
        found = self._poll(wait_s)
        if self._refused or (self._decided and not self._mine):
            raise Fenced("Another process has taken over, so this one ends.")
        return found

    def close(self) -> None:
        self._consumer.close()

    def _poll(self, wait_s: float) -> list[Record]:
        found = []
        for message in self._consumer.consume(100, wait_s):
            error = message.error()
            if error is None:
                key: Any = message.key()
                value: Any = message.value()
                found.append(((key or b"").decode(errors="replace"), value or b""))
            elif error.code() == KafkaError.INCONSISTENT_GROUP_PROTOCOL:
                self._refused = True
        most = AWAY_S if self._joined else JOIN_S
        if not self._decided and time.monotonic() - self._since > most:
            raise Unavailable(f"Kafka has not let this process into a group for {most:.0f} s; see that it runs.")
        return found

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._decided, self._mine, self._joined = True, bool(places), True
        consumer.assign(places)
        if places and not self._reads:
            consumer.pause(places)

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:  # noqa: ARG002 - the client's
        """Somebody came or went: whose the partition is now is told in a moment."""
        self._decided, self._mine, self._since = False, False, time.monotonic()
        consumer.unassign()


@contextmanager
def held(
    settings: Settings,
    plan_id: str,
    *,
    wait_s: float,
    waiting: Callable[[str], None] = lambda _: None,
    moves: Callable[[], bool] = lambda: False,
) -> Iterator[Membership]:
    """Own the plan for as long as the block runs.

    A process that was killed is a member until its session ends, so one that is there is waited for up to `wait_s`,
    and `waiting` is told who. Then Refused is raised: at once where it `moves` the plan on, for then it lives.
    """
    group = Group(settings, fence_of(plan_id), patience_s=PATIENCE_S)
    try:
        deadline = time.monotonic() + wait_s
        while members := group.members():
            if time.monotonic() >= deadline or moves():
                raise _taken(plan_id, members[0])
            waiting(members[0])
            time.sleep(0.2)
    finally:
        group.close()
    membership = Membership(settings, fence_of(plan_id), TOPIC, strategy="range", reads=True)
    try:
        if not membership.join():
            raise _taken(plan_id, "another process")
        yield membership
    finally:
        membership.close()


def _taken(plan_id: str, who: str) -> Refused:
    return Refused(
        f"The replay {plan_id} runs already, on {who}: one plan is run by one process. `streaminfer replay status "
        f"{plan_id}` tells how it goes; `streaminfer replay pause {plan_id}` ends that process."
    )


def owner_of(settings: Settings, plan_id: str) -> str | None:
    """Who runs it now: host and process; None where nobody does."""
    group = Group(settings, fence_of(plan_id), patience_s=PATIENCE_S)
    try:
        return next(iter(group.members()), None)
    finally:
        group.close()


@contextmanager
def live_group_held(settings: Settings, name: str, topic: str) -> Iterator[Membership]:
    """Keep a live pipeline's workers out for as long as the block runs.

    A member that knows no way of sharing partitions but one that the workers do not know: Kafka lets nobody else into
    the group meanwhile. Raises Refused where somebody is in it already.
    """
    if settings.group_protocol != "classic":
        raise Refused("--into-live goes with group_protocol=classic only: another kind of group keeps nobody out.")
    group = Group(settings, name, patience_s=PATIENCE_S)
    try:
        members = group.members()
    finally:
        group.close()
    if members:
        raise Refused(
            f"The group {name} has members ({', '.join(sorted(members)[:5])}): a replay into its live topic needs it "
            "to stand still. End them first; one that was killed is a member until its session ends."
        )
    try:
        membership = Membership(settings, name, topic, strategy="roundrobin", reads=False)
    except KafkaException as error:
        raise Unavailable(f"Kafka does not let the group {name} be held ({error.args[0].str()}).") from error
    try:
        if not membership.join():
            raise Refused(f"A worker of {name} has started meanwhile; end it first.")
        yield membership
    finally:
        membership.close()
