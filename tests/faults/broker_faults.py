"""Faults of brokers: killed, restarted, their parts given to others, their disk full."""

from __future__ import annotations

import random
import signal

from confluent_kafka import KafkaException
from confluent_kafka._model import ElectionType
from confluent_kafka.admin import AdminClient

from tests.faults.faults import Fault, Void
from tests.faults.runs import now_ms
from tests.faults.seen import wait_until
from tests.faults.stage import PIPELINES, Hurt, Stage

TRANSACTIONS = "__transaction_state"


class BrokerEnded(Fault):
    """The broker with a part to play is killed, or told to end; it comes back over its data when all answers again."""

    def __init__(self, part: str, number: signal.Signals) -> None:
        how = "killed" if number is signal.SIGKILL else "restarted"
        self.name = f"broker {how}: {part}"
        self._part, self._number = part, number
        self._name = ""

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        self._name = _broker(stage, self._part, draw)
        self._before = stage.servers.pid(self._name)
        at_ms = now_ms()
        stage.servers.send(self._name, self._number)
        return Hurt.everything(at_ms)

    def mend(self, stage: Stage) -> None:
        if not stage.servers.gone(self._name, 60):
            raise Void(f"{self._name} does not end")
        stage.servers.mend()

    def seen(self, stage: Stage) -> str:
        if stage.servers.pid(self._name) == self._before:
            raise Void(f"{self._name} is the same process")
        return f"{self._name} went and came back"


class DiskFull(BrokerEnded):
    """No file of a broker can grow any more: the first write fails, and Kafka gives up a disk that fails.

    By a limit on the size of the process' files, for which nothing need be mounted.
    """

    def __init__(self) -> None:
        super().__init__("leader", signal.SIGKILL)
        self.name = "broker's disk full"

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        self._name = _broker(stage, self._part, draw)
        self._before = stage.servers.pid(self._name)
        at_ms = now_ms()
        stage.servers.refuse_writes(self._name)
        if not stage.servers.gone(self._name, 60):
            raise Void(f"{self._name} lives with a full disk")
        return Hurt.everything(at_ms)


class LeadersMoved(Fault):
    """Leaders go back to the brokers that should have them; before, one broker was restarted if none had strayed."""

    name = "leaders moved"

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        if not self._strayed(stage):
            name = _broker(stage, "leader", draw)
            stage.servers.end(name, signal.SIGTERM)
            stage.servers.mend()
        self._before = stage.servers.leaders("payments.scored") | stage.servers.leaders("__consumer_offsets")
        self._moved = self._strayed(stage)
        at_ms = now_ms()
        admin = AdminClient({"bootstrap.servers": stage.own.kafka, "log_level": 0})
        try:
            admin.elect_leaders(ElectionType.PREFERRED, None).result(30)
        except KafkaException as error:
            raise Void(str(error)) from None
        return Hurt.everything(at_ms)

    def seen(self, stage: Stage) -> str:
        if not self._moved or not wait_until(lambda: not self._strayed(stage), 30):
            raise Void("no leader moved")
        return f"{self._moved} leaders moved"

    @staticmethod
    def _strayed(stage: Stage) -> int:
        admin = AdminClient({"bootstrap.servers": stage.own.kafka, "log_level": 0})
        topics = admin.list_topics(timeout=10).topics.values()
        return sum(p.leader != p.replicas[0] for topic in topics for p in topic.partitions.values())


def _broker(stage: Stage, part: str, draw: random.Random) -> str:
    """The broker that leads answers, or coordinates a group, or its transactions."""
    name = draw.choice(sorted(PIPELINES))
    admin = AdminClient({"bootstrap.servers": stage.own.kafka, "log_level": 0})
    if part == "group":
        group = admin.describe_consumer_groups([name])[name].result(30)
        return f"kafka-{group.coordinator.id}"
    if part == "transactions":
        leaders = stage.servers.leaders(TRANSACTIONS)
        return leaders[_java_hash(f"{name}.rig-0.a") % len(leaders)]
    return draw.choice(sorted(stage.servers.leaders("payments.scored").values()))


def _java_hash(text: str) -> int:
    """By which Kafka finds the coordinator of a transactional id."""
    found = 0
    for sign in text:
        found = (found * 31 + ord(sign)) & 0xFFFFFFFF
    return found & 0x7FFFFFFF
