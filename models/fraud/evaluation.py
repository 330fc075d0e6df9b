"""How a fraud model is judged: the Fraud Detection Handbook's split in time, and its three measures.

Owns who is trained on and who is tested. Promises the published numbers of rows, so that the published measures can
stand beside ours. Imports the simulator and scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from app.simulate.payments import Payments

WEEK = 7
TRAIN_DAY = 115  # 2018-07-25: the published training week starts here
CARDS_A_DAY = 100  # how many cards the investigators can look at

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of payments: weeks to train on, a week without (its outcomes are not known yet), a week to test on."""

    train: Rows
    test: Rows


@dataclass(frozen=True, slots=True)
class Measures:
    """Area under the ROC curve, average precision, and the share of compromised cards among the first 100 a day."""

    auc: float
    average_precision: float
    card_precision_100: float


def split(payments: Payments, train_day: int = TRAIN_DAY, *, weeks: int = 1) -> Split:
    """Split in time, at the training week that starts at `train_day`; by default this is the published split.

    More `weeks` to train on are those before that one; whatever they are, the same rows are tested. A card is left out
    of the test from the day on which its first fraud since `train_day` is known: it would have been blocked.
    """
    week = np.arange(train_day, train_day + WEEK)
    train = np.flatnonzero((payments.day > week[-1] - weeks * WEEK) & (payments.day <= week[-1]))
    last = np.flatnonzero(np.isin(payments.day, week))
    known = set(payments.customer[last][payments.fraud[last]].tolist())
    tested = []
    for test_day in week + 2 * WEEK:
        # The week's outcomes were known up to its last day when the model was trained; each test day adds one day.
        newly = (payments.day == test_day - WEEK - 1) & payments.fraud
        known.update(payments.customer[newly].tolist())
        rows = np.flatnonzero(payments.day == test_day)
        tested.append(rows[~np.isin(payments.customer[rows], list(known))])
    return Split(train, np.concatenate(tested))


def measure(payments: Payments, rows: Rows, *, scores: NDArray[np.float64]) -> Measures:
    """Judge one score for each of `rows`."""
    fraud = payments.fraud[rows]
    return Measures(
        auc=float(roc_auc_score(fraud, scores)),
        average_precision=float(average_precision_score(fraud, scores)),
        card_precision_100=_card_precision(payments.day[rows], payments.customer[rows], fraud=fraud, scores=scores),
    )


def _card_precision(day: Rows, customer: Rows, *, fraud: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Mean over the days. A card's score is its highest of the day; one that was found is not looked at again."""
    found: list[int] = []
    shares = []
    for today in np.unique(day):
        rows = np.flatnonzero((day == today) & ~np.isin(customer, found))
        cards, card = np.unique(customer[rows], return_inverse=True)
        highest = np.full(len(cards), -np.inf)
        np.maximum.at(highest, card, scores[rows])
        compromised = np.bincount(card, weights=fraud[rows]) > 0
        first = np.argsort(-highest, kind="stable")[:CARDS_A_DAY]
        shares.append(compromised[first].sum() / CARDS_A_DAY)
        found.extend(cards[first][compromised[first]].tolist())
    return float(np.mean(shares))
