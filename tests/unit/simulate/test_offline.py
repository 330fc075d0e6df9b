"""The offline features are the published ones; a plain recount agrees where nothing was published."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np

from app.simulate.offline import (
    FEATURES,
    Floats,
    feature_matrix,
    offline_features,
)
from app.simulate.payments import DAY_S, Payments

DAY_MS = DAY_S * 1_000
SPANS = ("1DAY_WINDOW", "7DAY_WINDOW", "30DAY_WINDOW")
PUBLISHED = (
    "TX_AMOUNT",
    "TX_DURING_WEEKEND",
    "TX_DURING_NIGHT",
    *(f"CUSTOMER_ID_{what}_{span}" for span in SPANS for what in ("NB_TX", "AVG_AMOUNT")),
    *(f"TERMINAL_ID_{what}_{span}" for span in SPANS for what in ("NB_TX", "RISK")),
)


def one_terminal(seconds: list[int], frauds: list[bool]) -> Payments:
    """Payments of customer 3 at terminal 5, of 1.00, 2.00, 3.00 and so on."""
    count = len(seconds)
    columns = (seconds, [3] * count, [5] * count, [100 * (n + 1) for n in range(count)], [int(f) for f in frauds])
    return Payments(*(np.array(column, np.int64) for column in columns))


def test_the_published_sample_is_matched(payments: Payments, features: dict[str, Floats], published: Path) -> None:
    with gzip.open(published / "fdh-features-sample.csv.gz", "rt") as file:
        sample = list(csv.DictReader(file))
    rows = np.array([int(line["TRANSACTION_ID"]) for line in sample])
    assert len(rows) == 5_000
    assert payments.seconds[rows].tolist() == [int(line["TX_TIME_SECONDS"]) for line in sample]
    assert payments.customer[rows].tolist() == [int(line["CUSTOMER_ID"]) for line in sample]
    for ours, theirs in zip(FEATURES, PUBLISHED, strict=True):
        expected = np.array([float(line[theirs]) for line in sample])
        found = features[ours][rows]
        if "count" in ours or ours in ("weekend", "night"):
            assert found.tolist() == expected.tolist(), ours
        else:
            assert (np.abs(found - expected) <= 1e-9 * np.maximum(1, np.abs(expected))).all(), ours


def test_a_window_ends_with_its_payment_and_begins_after_its_span() -> None:
    columns = offline_features(one_terminal([100, 100 + DAY_S - 1, 100 + DAY_S, 101 + DAY_S], [False] * 4))
    assert columns["customer_count_1d"].tolist() == [1, 2, 2, 3]
    assert columns["customer_mean_1d"].tolist() == [1.0, 1.5, 2.5, 3.0]
    assert columns["customer_count_30d"].tolist() == [1, 2, 3, 4]


def test_payments_in_one_second_see_those_before_them() -> None:
    columns = offline_features(one_terminal([50, 50, 50], [False] * 3))
    assert columns["customer_count_1d"].tolist() == [1, 2, 3]
    assert columns["customer_mean_7d"].tolist() == [1.0, 1.5, 2.0]


def test_an_outcome_counts_from_seven_days_on_for_the_span() -> None:
    week = 7 * DAY_S
    seconds = [0, week - 1, week, week + DAY_S - 1, week + DAY_S]
    columns = offline_features(one_terminal(seconds, [True, False, False, False, False]))
    assert columns["terminal_count_1d"].tolist() == [0, 0, 1, 1, 0]
    assert columns["terminal_risk_1d"].tolist() == [0, 0, 1, 1, 0]
    assert columns["terminal_risk_7d"].tolist() == [0, 0, 1, 1, 1]


def test_the_day_and_the_night_are_those_of_the_handbook() -> None:
    sunday, monday, saturday = 0, DAY_S, 6 * DAY_S
    columns = offline_features(
        one_terminal([sunday, sunday + 7 * 3_600 - 1, sunday + 7 * 3_600, monday, saturday], [False] * 5)
    )
    assert columns["weekend"].tolist() == [1, 1, 1, 0, 1]
    assert columns["night"].tolist() == [1, 1, 0, 1, 1]


def test_the_matrix_has_the_features_in_their_order(features: dict[str, Floats]) -> None:
    matrix = feature_matrix(features, np.array([7, 1_000_000]))
    assert matrix.shape == (2, 15)
    assert matrix.dtype == np.float32
    assert matrix[1].tolist() == [np.float32(features[name][1_000_000]) for name in FEATURES]
