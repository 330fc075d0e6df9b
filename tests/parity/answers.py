"""What came out of the stream, as a customer of the topic reads it, one row a payment."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

from app.errors import Fatal
from app.pipeline import Pipeline
from app.replay.log import Log, Span
from app.settings import Settings
from app.simulate.offline import FEATURES, Floats

PATIENCE_S = 30.0

_Features = msgspec.defstruct("_Features", [(name, float) for name in FEATURES], forbid_unknown_fields=True, gc=False)


class _Prediction(msgspec.Struct, gc=False):
    """The fields of an answer that are looked at."""

    event_id: str
    score: float
    features: _Features  # type: ignore[valid-type]  # made from the offline features' names
    marks: tuple[str, ...]


@dataclass
class Answers:
    """By payment: how often it was answered, and the last answer's features, score, marks and digest of its bytes."""

    times: NDArray[np.int32]
    features: Floats  # (payments, features), in the order of FEATURES
    scores: Floats
    marked: NDArray[np.bool_]
    digests: NDArray[np.uint64]
    marks: Counter[str] = field(default_factory=Counter)  # by mark, how many predictions bear it
    read: int = 0
    dead_letters: int = 0

    @classmethod
    def of(cls, payments: int) -> Answers:
        return cls(
            times=np.zeros(payments, np.int32),
            features=np.full((payments, len(FEATURES)), np.nan),
            scores=np.full(payments, np.nan),
            marked=np.zeros(payments, np.bool_),
            digests=np.zeros(payments, np.uint64),
        )

    def take(self, messages: list[Message]) -> None:
        """A batch of predictions. Raises Fatal for one that is no answer to a payment."""
        decode = msgspec.json.Decoder(_Prediction).decode
        values: list[Any] = [message.value() for message in messages]
        predictions = [decode(value) for value in values]
        rows = np.array([int(prediction.event_id) for prediction in predictions])
        if rows.min() < 0 or rows.max() >= len(self.times):
            raise Fatal("The answers hold one to a payment that was never sent.")
        np.add.at(self.times, rows, 1)
        self.features[rows] = [msgspec.structs.astuple(prediction.features) for prediction in predictions]
        self.scores[rows] = [prediction.score for prediction in predictions]
        self.marked[rows] = [bool(prediction.marks) for prediction in predictions]
        self.digests[rows] = [_digest(value) for value in values]
        self.marks.update(mark for prediction in predictions for mark in prediction.marks)
        self.read += len(messages)


def _digest(value: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little")


def read_answers(settings: Settings, pipeline: Pipeline, payments: int, tell: Callable[[int], None]) -> Answers:
    """All that is committed on the topic of answers; `tell` hears how many have been read."""
    answers = Answers.of(payments)
    with contextlib.closing(Log(settings, "parity", patience_s=PATIENCE_S)) as log:
        for messages in everything(log, pipeline.answering.name):
            answers.take(messages)
            tell(answers.read)
        answers.dead_letters = sum(map(len, everything(log, pipeline.dead_letters)))
    return answers


def everything(log: Log, topic: str) -> Iterator[list[Message]]:
    """All the records that are committed on a topic now."""
    partitions = log.partitions(topic)
    starts, ends = log.starts(topic, partitions), log.ends(topic, partitions, settled=False)
    return log.scan(topic, {p: Span(starts[p], ends[p]) for p in partitions})
