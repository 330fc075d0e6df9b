"""What the services say now: Kafka and Redis, each asked again and again on a thread of its own.

Truth is told by age: an answer that is too old is no answer, whatever became of the thread that waits for the next.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public, not exported

from app.access.clients import kafka_client
from app.errors import Unavailable
from app.features.store import connected, unavailable
from app.pipeline import Pipeline
from app.replay.group import Owners, answered, owners_in
from app.replay.wanted import ARRIVED_S, arriving_per_s, workers_wanted
from app.settings import Settings
from app.telemetry.masking import mask

EVERY_S = 2.0
PATIENCE_S = 3.0  # for Kafka's answers
COMMITTED_S = 1.0  # for the group's offsets, without which all else is told
GRACE_S = 2.0  # how much older than that an answer may be before it counts for none
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]
EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]

T = TypeVar("T")


@dataclass(frozen=True)
class Topic:
    """The input as Kafka has it: each partition's settled end, who owns it, and how many workers that takes.

    `workers_wanted` is None where the group's offsets are not told just now.
    """

    ends: dict[int, int]
    owners: Owners
    workers_wanted: int | None = None


@dataclass(frozen=True)
class Answer(Generic[T]):
    """The last answer, and None where there is none that still counts; then `why` says so in a sentence."""

    value: T | None
    took_s: float
    why: str


class Question(Generic[T]):
    """Asks every `every_s` seconds. `ask` raises Unavailable where there is no answer."""

    def __init__(
        self,
        what: str,
        ask: Callable[[], T],
        *,
        patience_s: float = PATIENCE_S,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._ask = ask
        self._every_s = every_s
        self._old_s = every_s + patience_s + GRACE_S
        self._clock = clock
        self._began = clock()
        self._ended = threading.Event()
        # Together, so that a reader never sees one answer's value with another's time.
        self._last: tuple[T | None, float | None, float, str] = (None, None, 0.0, "")

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"asks {self._what}", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def once(self) -> None:
        """Ask now."""
        began = self._clock()
        try:
            value = self._ask()
        except Unavailable as error:
            self._last = (None, self._last[1], 0.0, mask(str(error)))
        except Exception as error:  # whatever a client raises: the next question may be answered
            why = f"{self._what} could not be asked ({type(error).__name__}: {error})."
            self._last = (None, self._last[1], 0.0, mask(why))
        else:
            self._last = (value, self._clock(), self._clock() - began, "")

    @property
    def answer(self) -> Answer[T]:
        value, at, took_s, why = self._last
        if value is not None and at is not None and self._clock() - at > self._old_s:
            value, why = None, f"{self._what} has not answered for {self._clock() - at:.0f} s."
        if value is None and not why:
            waited_s = self._clock() - self._began
            why = f"{self._what} has not answered yet." if waited_s < self._old_s else (
                f"{self._what} has not answered for {waited_s:.0f} s."
            )  # fmt: skip
        return Answer(value, took_s, why)

    def _run(self) -> None:
        while not self._ended.is_set():
            self.once()
            self._ended.wait(self._every_s)


def ask_redis(settings: Settings) -> Callable[[], bool]:
    """A question: does Redis answer a PING?"""
    client = connected(settings)

    def ask() -> bool:
        try:
            return bool(client.ping())
        except Exception as error:  # whatever it is, Redis cannot be used
            raise unavailable(error) from error

    return ask


def ask_kafka(settings: Settings, pipeline: Pipeline) -> Callable[[], Topic]:
    """A question: where does the input end, who owns it, and how many workers does it take?"""
    made: list[_Input] = []  # by the first question: who never asks opens no connection

    def ask() -> Topic:
        if not made:
            made.append(_Input(settings, pipeline))
        return made[0].ask()

    return ask


class _Input:
    """A pipeline's input and its group, from outside."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        quiet = logging.Logger("librdkafka")
        quiet.disabled = True  # what matters is raised
        self._settings = settings
        self._topic, self._group = pipeline.source.name, pipeline.name
        options = kafka_client(settings)
        self._admin = AdminClient(options, logger=quiet)
        # It never joins. What an open transaction is about to commit does not count yet, and is not waited for.
        latest = {"group.id": pipeline.name, "isolation.level": "read_uncommitted"}
        self._consumer = Consumer(options | latest, logger=quiet)

    def ask(self) -> Topic:
        described = answered(
            lambda left: self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=left)[self._topic],
            group=self._group,
            patience_s=PATIENCE_S,
        )
        partitions = [partition.id for partition in described.partitions]
        ends = self._offsets(partitions, LATEST)
        owners = owners_in(self._admin, self._group, self._topic, patience_s=PATIENCE_S)
        return Topic(ends, owners, self._wanted(ends))

    def _wanted(self, ends: dict[int, int]) -> int | None:
        places = [TopicPartition(self._topic, partition) for partition in ends]
        try:
            found = self._consumer.committed(places, COMMITTED_S)
        except KafkaException:
            return None  # the coordinator is on its way: the next question tells
        if any(place.error is not None for place in found):
            return None
        committed = {place.partition: place.offset for place in found}
        starts = self._offsets(list(ends), EARLIEST)
        since = self._offsets(list(ends), OffsetSpec.for_timestamp(int((time.time() - ARRIVED_S) * 1000)))
        lag = sum(max(0, end - max(committed[p], starts[p])) for p, end in ends.items())
        arriving = arriving_per_s({p: None if at < 0 else at for p, at in since.items()}, ends)
        return workers_wanted(self._settings, lag=lag, arriving=arriving, partitions=len(ends))

    def _offsets(self, partitions: Sequence[int], which: OffsetSpec) -> dict[int, int]:
        wanted = {TopicPartition(self._topic, partition): which for partition in partitions}
        level = IsolationLevel.READ_COMMITTED
        futures = self._admin.list_offsets(wanted, isolation_level=level, request_timeout=PATIENCE_S)
        try:
            return {place.partition: future.result(PATIENCE_S + 1.0).offset for place, future in futures.items()}
        except (KafkaException, TimeoutError) as error:
            raise Unavailable(f"Kafka does not tell the offsets of {self._topic} ({error}).") from error
