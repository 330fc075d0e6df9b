"""The stream's answers beside what is computed offline. Every verdict is over all payments, none is a sample."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.inference.model import Model
from app.settings import PROJECT
from app.simulate.offline import FEATURES, Floats, feature_matrix
from app.simulate.payments import Payments
from models.fraud.evaluation import Measures, measure, split
from tests.parity.answers import Answers

SAMPLE = PROJECT / "tests" / "data" / "fdh-features-sample.csv.gz"
SHARE = 1e-9  # of the value, or of one: what a feature that is no whole number may differ by
MODEL_ROWS = 65_536

Rows = NDArray[np.int64]

# The published file's names for FEATURES, in their order.
PUBLISHED_AS = (
    "TX_AMOUNT",
    "TX_DURING_WEEKEND",
    "TX_DURING_NIGHT",
    *(f"CUSTOMER_ID_{what}_{days}DAY_WINDOW" for days in (1, 7, 30) for what in ("NB_TX", "AVG_AMOUNT")),
    *(f"TERMINAL_ID_{what}_{days}DAY_WINDOW" for days in (1, 7, 30) for what in ("NB_TX", "RISK")),
)


@dataclass(frozen=True)
class Column:
    """One feature over all payments: which rows differ by more than is allowed, and the largest difference.

    `telling`: of how many payments it is not nought. Where it is nought everywhere, no difference means nothing.
    """

    name: str
    exact: bool
    compared: int
    telling: int
    differs: Rows
    largest: float


def is_exact(feature: str) -> bool:
    """Whether it is a whole number, which must be met exactly."""
    return "_count_" in feature or feature in ("weekend", "night")


def differing(feature: str, ours: Floats, theirs: Floats) -> NDArray[np.bool_]:
    """Where two columns of a feature differ by more than is allowed; what is no number differs from everything."""
    allowed = 0.0 if is_exact(feature) else SHARE * np.maximum(1.0, np.abs(theirs))
    found: NDArray[np.bool_] = ~(np.abs(ours - theirs) <= allowed)
    return found


def compare(answers: Answers, offline: Mapping[str, Floats]) -> list[Column]:
    """Every feature of every payment."""
    columns = []
    for place, name in enumerate(FEATURES):
        ours, theirs = answers.features[:, place], offline[name]
        apart = np.abs(ours - theirs)
        answered = answers.times > 0
        columns.append(
            Column(
                name=name,
                exact=is_exact(name),
                compared=int(answered.sum()),
                telling=int(np.count_nonzero(theirs)),
                differs=np.flatnonzero(differing(name, ours, theirs)),
                largest=float(apart[answered].max(initial=0.0)),
            )
        )
    return columns


def in_one_second(payments: Payments) -> Rows:
    """Payments of one customer in the same second as another of theirs, by row, which is the id."""
    keys = payments.customer * 2**32 + payments.seconds
    _, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[places] > 1)


@dataclass(frozen=True)
class Published:
    """The published sample's values, and how many of them the offline side and the stream do not give."""

    rows: int
    values: int
    offline: int
    stream: int


def compare_published(answers: Answers, offline: Mapping[str, Floats]) -> Published:
    """The sample's rows among the payments that were sent."""
    with gzip.open(SAMPLE, "rt") as file:
        lines = [line for line in csv.DictReader(file) if int(line["TRANSACTION_ID"]) < len(answers.times)]
    rows = np.array([int(line["TRANSACTION_ID"]) for line in lines], np.int64)
    counts = {"offline": 0, "stream": 0}
    for place, (ours, theirs) in enumerate(zip(FEATURES, PUBLISHED_AS, strict=True)):
        published = np.array([float(line[theirs]) for line in lines])
        counts["offline"] += int(differing(ours, offline[ours][rows], published).sum())
        counts["stream"] += int(differing(ours, answers.features[rows, place], published).sum())
    return Published(len(rows), len(rows) * len(FEATURES), **counts)


@dataclass(frozen=True)
class Judged:
    """The published test week, scored twice by the same model."""

    payments: int
    offline: Measures
    stream: Measures
    largest: float  # difference between two scores of a payment


def judge(answers: Answers, offline: Mapping[str, Floats], payments: Payments, model: Model) -> Judged:
    """Measure the stream's scores, and those of the model over the offline features."""
    rows = split(payments).test
    parts = [rows[first : first + MODEL_ROWS] for first in range(0, len(rows), MODEL_ROWS)]
    wanted = np.concatenate([model.score(feature_matrix(offline, part)) for part in parts])
    found = answers.scores[rows]
    return Judged(
        len(rows),
        offline=measure(payments, rows, scores=wanted),
        stream=measure(payments, rows, scores=np.nan_to_num(found, nan=0.0)),
        largest=float(np.nan_to_num(np.abs(found - wanted), nan=1.0).max()),
    )


@dataclass(frozen=True)
class Again:
    """A second run beside the first: how many answers bear a mark, and which of the others have other bytes."""

    marked: int
    differs: Rows


def compare_again(first: Answers, second: Answers) -> Again:
    """An answer that is missing in one of them has other bytes; one that is marked there is not asked."""
    asked = ~second.marked & ~first.marked
    return Again(int(second.marked.sum()), np.flatnonzero(asked & (first.digests != second.digests)))
