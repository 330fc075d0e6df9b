"""What the loop's tests share: a pipeline with topics of its own, workers as processes, and a plain recount.

The recount reads what a customer of the product would read, and computes features by the definition.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from app.features.asof import AsOf
from app.features.store import connect
from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.settings import Settings
from tests.processes import stands_still

PARTITIONS, MANY = 3, 12
DAY_MS = 86_400_000
ADMITTED = {b"features", b"score", b"deliver"}  # stages at which an event is folded, though its answer is a letter
NOT_YET = {KafkaError.INVALID_REPLICATION_FACTOR, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT}
START_MS = 1_522_540_831_000


def labels_of(tag: str) -> Pipeline:
    """The pipeline of outcomes on a topic and a group of its own."""
    source = replace(FRAUD_LABELS.source, name=f"labels-{tag}")
    return replace(FRAUD_LABELS, name=f"fraud-labels-{tag}", source=source, partitions=PARTITIONS)


def pipeline_of(tag: str) -> Pipeline:
    """The fraud pipeline on topics and a group of its own; as the tag begins, that of its labels, or a wide one."""
    if tag.startswith("labels-"):
        labels = replace(FRAUD_LABELS.source, name=f"payments-{tag}")
        return replace(FRAUD_LABELS, name=f"fraud-{tag}", source=labels, partitions=PARTITIONS)
    return replace(
        FRAUD,
        name=f"fraud-{tag}",
        source=replace(FRAUD.source, name=f"payments-{tag}"),
        answers=replace(FRAUD.answering, name=f"scored-{tag}"),
        lookups=(AsOf(labels_of(tag), "terminal", key="terminal_id"),),
        partitions=MANY if tag.startswith("wide-") else PARTITIONS,
    )


def find_of(tag: str) -> Callable[[str], Pipeline]:
    """Both by name, as a worker's process looks for its own."""
    return {pipeline.name: pipeline for pipeline in (pipeline_of(tag), labels_of(tag))}.__getitem__


def wait_for(what: str, ready: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Poll until it is so; an AssertionError names what never came."""
    deadline = time.monotonic() + within_s
    while not ready():
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.02)


class Member:
    """One worker's process and what it says."""

    def __init__(self, rig: Rig, slot: str, fate: tuple[str, int, signal.Signals | Path] | None) -> None:
        argv = [sys.executable, "-m", "tests.contract.loop.watched", rig.tag]
        argv += (
            [fate[0], str(fate[1]), fate[2].name if isinstance(fate[2], signal.Signals) else str(fate[2])]
            if fate
            else []
        )
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        job = {
            "pipeline": rig.pipeline.name,
            "slot": f"{rig.pipeline.name}.{slot}",
            "settings": json.loads(rig.settings.model_dump_json()),
            "ends": rig.ends(),
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._partial = b""
        self._closed = False
        for pipe in (self.process.stdout, self.process.stderr):
            os.set_blocking(pipe.fileno(), False)
        self.log = ""
        self.events: list[dict[str, Any]] = []

    def hear(self) -> list[dict[str, Any]]:
        """All events so far."""
        if self._closed:
            return self.events
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._partial += self.process.stdout.read() or b""
        *lines, self._partial = self._partial.split(b"\n")
        self.events += [json.loads(line) for line in lines]
        self.log += (self.process.stderr.read() or b"").decode()
        return self.events

    @property
    def progress(self) -> dict[str, Any]:
        told = [event for event in self.hear() if event["event"] == "progress"]
        return told[-1] if told else {"partitions": {}, "records": 0, "aborted": 0, "batches": 0}

    @property
    def stands_still(self) -> bool:
        """Whether it was stopped by a signal."""
        return stands_still(self.process.pid)

    @property
    def live(self) -> set[int]:
        return {int(p) for p, phase in self.progress["partitions"].items() if phase == "live"}

    @property
    def fatal(self) -> str:
        return next((event["message"] for event in self.hear() if event["event"] == "fatal"), "")

    def end(self, number: signal.Signals = signal.SIGTERM, *, within_s: float = 40.0) -> int:
        """Signal it and wait. Gives the exit code."""
        self.process.send_signal(number)
        return self.wait(within_s=within_s)

    def wait(self, *, within_s: float = 40.0) -> int:
        try:
            wait_for("a worker's end", self._ended, within_s=within_s)
        except AssertionError as never:
            raise AssertionError(f"{never}; it said:\n{self.log[-3000:]}\n{self.events[-3:]}") from None
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._closed = True
        return self.process.returncode

    def _ended(self) -> bool:
        self.hear()
        return self.process.poll() is not None


@dataclass
class Rig:
    """One pipeline's world on the suite's servers."""

    tag: str
    settings: Settings
    pipeline: Pipeline
    members: list[Member] = field(default_factory=list)
    sent: int = 0
    clock_ms: int = START_MS
    customers: int = 60
    _random: random.Random = field(default_factory=lambda: random.Random(7))

    def make_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.settings.kafka})
        topics = [NewTopic(t.name, t.partitions, 1, config=dict(t.config)) for t in self.pipeline.topics()]
        wait_for("a broker that takes topics", partial(_made, admin, topics))

    def payment(self) -> tuple[str, bytes]:
        """The next payment of one of the `customers`, a few hours after the last at most; key and value."""
        self.clock_ms += self._random.randrange(0, 200_000)
        customer = str(self._random.randrange(self.customers))
        event = {
            "payment_id": str(self.sent),
            "customer_id": customer,
            "terminal_id": str(self._random.randrange(50)),
            "amount_cents": self._random.randrange(1, 40_000),
            "time_ms": self.clock_ms,
        }
        self.sent += 1
        return customer, json.dumps(event, separators=(",", ":")).encode()

    def produce(self, count: int, *, poison: bool = True) -> None:
        """Payments, and one record in fifty that is none."""
        producer = Producer(
            {"bootstrap.servers": self.settings.kafka, "partitioner": "murmur2_random", "enable.idempotence": True}
        )
        for _ in range(count):
            value: bytes | None
            customer, value = self.payment()
            if poison and self._random.random() < 0.02:
                value = self._random.choice([b"{", b"", None, b"\xff\xfe", b'{"payment_id":1}'])
            producer.produce(self.pipeline.source.name, value, customer, on_delivery=delivered)
            producer.poll(0)
        producer.flush(30)

    def member(
        self,
        slot: str = "a-0",
        *,
        step: str | None = None,
        nth: int = 1,
        number: signal.Signals | Path = signal.SIGKILL,
    ) -> Member:
        """Start a worker; with a step, it sends itself a signal the nth time that it comes by.

        With a file in its place, the thread that takes the step stands still for as long as the file is there.
        """
        self.members.append(Member(self, slot, (step, nth, number) if step else None))
        return self.members[-1]

    def ends(self) -> dict[int, int]:
        consumer = Consumer({"bootstrap.servers": self.settings.kafka, "group.id": "ends"})
        topic = self.pipeline.source.name
        width = self.pipeline.partitions
        found = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in range(width)}
        consumer.close()
        return found

    def finish(self, slot: str = "a-0") -> Member:
        """Score all that is there, and leave in good order."""
        member = self.member(slot)
        wait_for("all partitions at their end", lambda: member.process.poll() is not None or _reached(self, member))
        assert member.end() == 0, f"the worker ended: {member.fatal}\n{member.log}"
        return member

    def stop(self) -> None:
        for member in self.members:
            if member.process.poll() is None:
                member.process.send_signal(signal.SIGCONT)
                member.process.kill()
            member.wait()

    # -- what the outside sees -----------------------------------------------------------------------------------------

    def read(self, topic: str, isolation: str = "read_committed") -> Iterator[Any]:
        """Every record of a topic up to what is there now."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka,
                "group.id": "outside",
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.assign([TopicPartition(topic, p, 0) for p in range(self.pipeline.partitions)])
        open_partitions = set(range(self.pipeline.partitions))
        deadline = time.monotonic() + 60
        while open_partitions:
            assert time.monotonic() < deadline, f"{topic} does not end"
            for message in consumer.consume(5000, 0.2):
                if message.error() is None:
                    yield message
                else:
                    open_partitions.discard(message.partition())
        consumer.close()

    def check(self) -> None:
        """Each record answered once, letters byte for byte, features and windows as a plain recount has them."""
        inputs = {(m.partition(), m.offset()): m for m in self.read(self.pipeline.source.name)}
        assert len(inputs) == self.sent
        answers: Counter[tuple[int, int]] = Counter()
        predictions: dict[tuple[int, int], dict[str, Any]] = {}
        for message in self.read(self.pipeline.answering.name):
            answers[source := source_of(message)] += 1
            predictions[source] = json.loads(message.value())
        folded = set(predictions)
        for message in self.read(self.pipeline.dead_letters):
            answers[source := source_of(message)] += 1
            assert (message.value(), message.key()) == (inputs[source].value(), inputs[source].key())
            if dict(message.headers())["stage"] in ADMITTED:
                folded.add(source)
        missing, strange = sorted(set(inputs) - set(answers)), sorted(set(answers) - set(inputs))
        assert not missing, f"{len(missing)} inputs are not answered: {missing[:5]}"
        assert not strange, f"{len(strange)} answers have no input: {strange[:5]}"
        twice = sorted(source for source, count in answers.items() if count > 1)
        assert not twice, f"{len(twice)} inputs are answered more than once: {twice[:5]}"
        windows = self._recount({source: inputs[source] for source in folded}, predictions)
        found = self.states()
        wrong = [customer for customer in windows | found if windows.get(customer) != found.get(customer)]
        assert not wrong, f"in Redis the states of {len(wrong)} customers are not the recount's: {wrong[:5]}"

    def _recount(
        self, inputs: dict[tuple[int, int], Any], predictions: dict[tuple[int, int], dict[str, Any]]
    ) -> dict[str, list[tuple[int, int]]]:
        """Every customer's payments by time; on the way each prediction's windows are compared."""
        windows: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for source in sorted(inputs):
            event = json.loads(inputs[source].value())
            mine = windows[event["customer_id"]]
            mine.append((event["time_ms"], event["amount_cents"]))
            if source not in predictions:
                continue
            features = predictions[source]["features"]
            for days in (1, 7, 30):
                cents = [c for at, c in mine if event["time_ms"] - days * DAY_MS < at <= event["time_ms"]]
                words = f"the features of {source} over {days} days are not the recount's: {features}, {mine[-5:]}"
                assert features[f"customer_count_{days}d"] == len(cents), words
                assert features[f"customer_mean_{days}d"] == sum(cents) / len(cents) / 100, words
        return {customer: _horizon(events) for customer, events in windows.items()}

    def states(self) -> dict[str, list[tuple[int, int]]]:
        """Every customer's payments within the horizon, as Redis has them now."""
        client = connect(self.settings.redis, timeout_s=5.0)
        view = self.pipeline.views[0]
        found: dict[str, list[tuple[int, int]]] = {}
        for partition in range(self.pipeline.partitions):
            tag = f"{{{self.pipeline.name}/{view.name}/{partition}}}"
            marker = json.loads(client.get(f"{tag}/{self.pipeline.digest(view)}/marker") or b"null")
            if marker is None:
                continue
            prefix = f"{tag}/{marker['build']}/".encode()
            for key in client.scan_iter(match=prefix.replace(b"{", b"\\{") + b"*", count=1000):
                state = view.unpack(cast("bytes", client.get(key))[8:])
                found[key.removeprefix(prefix).decode()] = _horizon(list(zip(state.times, state.amounts, strict=True)))
        client.close()
        return found


def _horizon(events: list[tuple[int, int]]) -> list[tuple[int, int]]:
    newest = max(at for at, _ in events)
    return sorted((at, cents) for at, cents in events if at > newest - 30 * DAY_MS)


def source_of(message: Any) -> tuple[int, int]:
    value = [value for name, value in message.headers() if name == "source"][-1]
    _, partition, offset = value.decode().rsplit("/", 2)
    return int(partition), int(offset)


def _made(admin: AdminClient, topics: list[NewTopic]) -> bool:
    """A broker that was stopped for a while is back only when the controller has heard from it."""
    answers = [made.exception(30) for made in admin.create_topics(topics, request_timeout=5.0).values()]
    codes = {answer.args[0].code() for answer in answers if isinstance(answer, KafkaException)}
    assert codes <= NOT_YET | {KafkaError.TOPIC_ALREADY_EXISTS}, answers  # a request that was given up may have made it
    return not codes & NOT_YET


def _reached(rig: Rig, member: Member) -> bool:
    return len([event for event in member.hear() if event["event"] == "reached"]) == rig.pipeline.partitions


def delivered(error: object, _: object) -> None:
    assert error is None, error
