"""Faults by hand: where a group stands is moved, or forgotten, or its topic is made anew."""

from __future__ import annotations

import random
import subprocess
from abc import abstractmethod
from collections.abc import Callable

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.faults.faults import Fault, Void
from tests.faults.oracle import Finding, reading
from tests.faults.runs import Run, now_ms
from tests.faults.seen import wait_until
from tests.faults.servers import pause
from tests.faults.stage import PARTITIONS, PIPELINES, Hurt, Stage, Stuck

BACK = 50
OVER = 20
REFUSED_S = 60.0


class ByHand(Fault):
    """The pipeline is stopped, its offsets are changed, and it is run again. What it says then is looked at."""

    bound_s = 120.0
    pipeline = "fraud"

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        for run in stage.of(self.pipeline):
            stage.stop(run)
        with stage.offsets.by_hand(self.pipeline):
            self._change(stage, draw)
            hurt = Hurt.everything(now_ms(), [self.pipeline])
            stage.run(self.pipeline)
            stage.all_live()
        return hurt

    @abstractmethod
    def _change(self, stage: Stage, draw: random.Random) -> None:
        """What an operator does to the group's offsets, while nobody runs."""

    def _stands(self, stage: Stage) -> dict[int, int]:
        topic = PIPELINES[self.pipeline].source
        return reading.committed(stage.own.kafka, topic, self.pipeline, range(PARTITIONS))

    def _move(self, stage: Stage, to: dict[int, int]) -> None:
        topic = PIPELINES[self.pipeline].source
        group = ConsumerGroupTopicPartitions(self.pipeline, [TopicPartition(topic, p, at) for p, at in to.items()])
        admin = AdminClient({"bootstrap.servers": stage.own.kafka, "log_level": 0})

        def change() -> None:
            for one in admin.alter_consumer_group_offsets([group])[self.pipeline].result(10).topic_partitions:
                if one.error is not None:
                    raise KafkaException(one.error)

        _when_empty(change)


class MovedBack(ByHand):
    """Refused, with the command that mends it; after that command it goes on as if nothing had been."""

    name = "offsets moved back"

    def _change(self, stage: Stage, draw: random.Random) -> None:
        self._before = self._stands(stage)
        partition = draw.choice([p for p, at in self._before.items() if at > BACK])
        self._move(stage, {partition: self._before[partition] - BACK})
        self._said = refused(stage, self.pipeline, "offsets recover")
        recovered(stage, self.pipeline)
        self._after = self._stands(stage)

    def seen(self, stage: Stage) -> str:  # noqa: ARG002 - it was seen while it was dealt
        if self._after != self._before:
            raise Stuck(Finding("offsets", self.pipeline, 1, f"recovered {self._after} instead of {self._before}"))
        return "refused with the command, which put it back"


class Expired(MovedBack):
    """The group is deleted, as Kafka does it with one that nobody used for long."""

    name = "group offsets expired"

    def _change(self, stage: Stage, draw: random.Random) -> None:  # noqa: ARG002 - nothing to be drawn
        self._before = self._stands(stage)
        admin = AdminClient({"bootstrap.servers": stage.own.kafka, "log_level": 0})
        _when_empty(lambda: admin.delete_consumer_groups([self.pipeline])[self.pipeline].result(10))
        self._said = refused(stage, self.pipeline, "offsets recover")
        recovered(stage, self.pipeline)
        self._after = self._stands(stage)


class MovedOn(ByHand):
    """Inputs are skipped: they are folded and not answered, and the audit lists just them."""

    name = "offsets moved forward"
    pipeline = "recommendation"  # another than is recovered: what was skipped by hand, no command can tell

    def _change(self, stage: Stage, draw: random.Random) -> None:
        topic, before = PIPELINES[self.pipeline].source, self._stands(stage)
        partition = draw.randrange(PARTITIONS)

        def waiting() -> bool:
            return reading.ends(stage.own.kafka, topic)[partition] >= before[partition] + OVER

        if not wait_until(waiting, 60, 0.2):
            raise Void(f"no inputs come to {topic}/{partition}")
        self._first, self._last = before[partition], before[partition] + OVER - 1
        self._partition = partition
        self._move(stage, {partition: self._last + 1})
        stage.skipped[self.pipeline] |= {(partition, offset) for offset in range(self._first, self._last + 1)}

    def seen(self, stage: Stage) -> str:
        """The audit names the range, with all that was skipped before."""
        said = stage.command("audit", self.pipeline, "--json").stdout
        missing = len(stage.skipped[self.pipeline])
        if f'"missing": {missing},' not in said:
            raise Stuck(Finding("audit", self.pipeline, 1, f"{missing} were skipped, and the audit says {said}"))
        return f"{OVER} inputs of partition {self._partition} were skipped, and the audit lists just them"


class TopicRecreated(Fault):
    """The last of all: the input topic is deleted and made anew, and the pipeline refuses to go on as if it were it."""

    name = "topic recreated"
    pipeline = "recommendation"

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:  # noqa: ARG002 - nothing to be drawn
        topic = PIPELINES[self.pipeline].source
        admin = AdminClient({"bootstrap.servers": stage.own.kafka, "log_level": 0})
        admin.delete_topics([topic])[topic].result(30)
        if not wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, 30):
            raise Void("the topic is not deleted")
        applied = stage.command("topics", "apply")
        if applied.returncode:
            raise Void(f"the topic is not made anew: {applied.stderr}")
        self._said = refused(stage, self.pipeline, "offsets recover")
        return Hurt(now_ms(), {})

    def seen(self, stage: Stage) -> str:  # noqa: ARG002 - it was seen while it was dealt
        return "refused with the command that mends it"


def refused(stage: Stage, pipeline: str, command: str) -> str:
    """A run of the pipeline ends by itself with 1 and names the command. Raises Stuck where it does not."""
    run = stage.run(pipeline, workers=1)
    run.stopped = True
    stage.runs.remove(run)
    code = _code(run)
    said = run.words()
    if code != 1 or command not in f"{run.fatal} {said}":
        run.process.kill()
        raise Stuck(Finding("offsets", pipeline, 1, f"a run ended with {code}, and not with `{command}`: {said}"))
    return said


def _code(run: Run) -> int | None:
    try:
        return run.wait(REFUSED_S)
    except subprocess.TimeoutExpired:
        return None


def recovered(stage: Stage, pipeline: str) -> None:
    """`offsets recover`, as soon as the group has no members."""
    said: list[str] = []

    def done() -> bool:
        ended = stage.command("offsets", "recover", pipeline)
        said[:] = [ended.stderr]
        return ended.returncode == 0

    if not wait_until(done, 60, 1.0):
        raise Stuck(Finding("offsets", pipeline, 1, f"offsets recover: {said}"))


def _when_empty(change: Callable[[], object]) -> None:
    """A static member that left is one until its session ends. Raises Void where the group never gets empty."""

    def done() -> bool:
        try:
            change()
        except KafkaException:
            pause(0.5)
            return False
        return True

    if not wait_until(done, 60):
        raise Void("the group is never without members")
