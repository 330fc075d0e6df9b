"""Quality: joined by id in any order, weighted back, and no number where there is nothing to divide by."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from app.monitor.counts import DAYS, Answers
from app.monitor.quality import Outcomes, Predictions, Quality, average_precision, chosen
from app.record import Record
from tests.unit.monitor.made import DAY_MS, FRAUD_WATCHED, TIME_MS, answer, outcome


class Joined:
    """Answers and outcomes as the monitor wires them."""

    def __init__(self, share: float) -> None:
        assert FRAUD_WATCHED.labelled is not None
        self.answers = Answers(FRAUD_WATCHED, lambda _: 0)
        self.predictions = Predictions(self.answers.topic, share)
        self.outcomes = Outcomes(FRAUD_WATCHED.labelled, self.predictions, lambda: self.answers.newest_event_ms)
        self.answers.also += [self.predictions.see, self.outcomes.meet]
        self.quality = Quality(self.predictions, self.outcomes)

    def seen(self) -> Any:
        return self.quality.days(), self.quality.labels()

    def see(self, records: Sequence[Record]) -> None:
        for topic, own in groupby(records, lambda record: record.topic):
            (self.outcomes if topic == "payments.labels" else self.answers).see(list(own))


ANSWERS = [answer(number, score=0.9 if number % 10 == 0 else 0.001 * (number % 400)) for number in range(2000)]
OUTCOMES = [outcome(number, offset=number, fraud=number % 25 == 0) for number in range(2000)]


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_which_comes_first_does_not_matter(share: float) -> None:
    """Not even with a share: an outcome waits until its prediction says whether it was an alert."""
    found = []
    for seed in range(4):
        joined, chance = Joined(share), random.Random(seed)
        left = [list(reversed(ANSWERS)), list(reversed(OUTCOMES))]
        if seed == 0:
            joined.see(ANSWERS)
            joined.see(OUTCOMES)
            left = []
        while any(left):
            side = chance.choice([side for side in left if side])
            joined.see([side.pop() for _ in range(min(len(side), chance.randint(1, 300)))])
        joined.quality.days()
        found.append(joined.seen())
    assert found[0][0]
    assert all(one == found[0] for one in found[1:])


def test_quality_is_that_of_all_where_all_are_kept() -> None:
    joined = Joined(1.0)
    joined.see([*ANSWERS, *OUTCOMES])
    day = joined.seen()[0][0]
    numbers = [number for number in range(2000) if number % 4 == 0]
    scores = [0.9 if number % 10 == 0 else 0.001 * (number % 400) for number in numbers]
    fraud = [number % 25 == 0 for number in numbers]
    hit = sum(f and s >= 0.5 for f, s in zip(fraud, scores, strict=True))
    assert day.labelled == len(numbers)
    assert day.precision == pytest.approx(hit / sum(s >= 0.5 for s in scores))
    assert day.recall == pytest.approx(hit / sum(fraud))
    assert day.average_precision == pytest.approx(average_precision_score(fraud, scores))
    assert sum(part.weight for part in day.calibration) == pytest.approx(len(numbers))


def test_a_share_is_weighted_back_to_what_all_would_tell() -> None:
    joined = Joined(0.3)
    joined.see([*ANSWERS, *OUTCOMES])
    days = joined.seen()[0]
    assert len(joined.predictions.kept.of) == pytest.approx(200 + 1800 * 0.3, rel=0.1)
    assert sum(day.positives for day in days) == pytest.approx(80, rel=0.25)
    assert sum(part.weight for day in days for part in day.calibration) == pytest.approx(2000, rel=0.1)


def test_ties_are_taken_together_and_weights_are_as_good_as_copies() -> None:
    random_ = np.random.default_rng(1)
    score = random_.integers(0, 6, 300) / 5
    positive, weight = random_.random(300) < score / 2, random_.integers(1, 5, 300)
    copied = average_precision_score(np.repeat(positive, weight), np.repeat(score, weight))
    assert average_precision(score, positive, weight.astype(float)) == pytest.approx(copied)
    assert average_precision(score, np.zeros(300, bool), weight.astype(float)) is None


def test_an_outcome_twice_without_prediction_or_weeks_late_is_counted_as_such() -> None:
    joined = Joined(1.0)
    joined.see(ANSWERS[:10])
    joined.see([outcome(1, offset=0), outcome(1, offset=1, fraud=True), outcome(1, offset=0)])
    joined.see([outcome(99_999, offset=2), outcome(2, offset=3, days=DAYS + 1), outcome(3, offset=4, days=3650)])
    joined.see([Record("payments.labels", 0, 5, TIME_MS, b"1", b"{}", None)])
    joined.quality.days()
    labels = joined.quality.labels()
    told = (labels.read, labels.joined, labels.twice, labels.without_prediction, labels.too_late, labels.malformed)
    assert told == (6, 1, 1, 1, 2, 1)
    assert not joined.outcomes.known.of["1"].positive  # the first one stands


def test_days_are_forgotten_with_their_predictions() -> None:
    joined = Joined(1.0)
    for day in range(DAYS + 10):
        joined.see([answer(0, offset=day, event_id=str(day), time_ms=TIME_MS - (60 - day) * DAY_MS)])
    assert len(joined.predictions.kept.of) == len(joined.quality.days()) == DAYS


def test_undecided_outcomes_are_read_again_after_a_restart() -> None:
    joined, share = Joined(0.01), 0.01
    number = next(n for n in range(10, 1000, 10) if not chosen(str(n), share))
    joined.see([outcome(number, offset=7, fraud=True), outcome(number + 1, offset=8)])
    written = dict(joined.outcomes.totals.changes()) | dict(joined.outcomes.changes())
    again = Joined(share)
    for key, value in written.items():
        assert value is not None
        assert again.outcomes.restore(key.decode(), value)
    assert again.outcomes.goes_on("0") == 7
    again.see([outcome(number, offset=7, fraud=True), outcome(number + 1, offset=8)])
    again.see([answer(number, score=0.9)])
    again.quality.days()
    assert (again.quality.labels().read, again.quality.labels().joined) == (2, 1)
