"""The features of the simulated payments, computed offline: all rows at once, with every label at hand.

Owns the reference that streaming features are checked against, and what a model is trained on. Promises the Fraud
Detection Handbook's definitions. Money stays in integer cents until the one division that gives a mean. Imports numpy
only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from app.simulate.payments import DAY_S, Payments

WINDOWS_DAYS = (1, 7, 30)
DELAY_S = 7 * DAY_S  # a payment's outcome is known so much later

FEATURES = (
    "amount",
    "weekend",
    "night",
    *(f"customer_{what}_{days}d" for days in WINDOWS_DAYS for what in ("count", "mean")),
    *(f"terminal_{what}_{days}d" for days in WINDOWS_DAYS for what in ("count", "risk")),
)

# Entity and second in one sorted number. Entities lie so far apart that no window reaches into the one before.
_APART = 2**32

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def offline_features(payments: Payments) -> dict[str, Floats]:
    """Give every feature of FEATURES as a column with one value a payment; amounts and means in currency units."""
    day = payments.day
    return {
        "amount": payments.cents / 100,
        "weekend": ((day + 6) % 7 >= 5).astype(np.float64),  # day 0 is a Sunday, the seventh day
        "night": (payments.seconds % DAY_S // 3_600 <= 6).astype(np.float64),
        **_customer_features(payments),
        **_Terminals(payments).features(payments.terminal, payments.seconds),
    }


def feature_matrix(columns: Mapping[str, Floats], rows: Ints) -> NDArray[np.float32]:
    """Give the chosen rows as the model takes them: (n, 15), columns in the order of FEATURES."""
    return np.stack([columns[name][rows].astype(np.float32) for name in FEATURES], axis=1)


def _customer_features(payments: Payments) -> dict[str, Floats]:
    """Count and mean amount of a customer's payments in (t - N days, t], the payment itself included.

    Of several payments in the same second, each sees those before it: the order that a stream has, too.
    """
    order = np.argsort(payments.customer, kind="stable")
    keys = payments.customer[order] * _APART + payments.seconds[order]
    spent = _running(payments.cents[order])
    ends = np.arange(1, len(keys) + 1)
    features = {}
    for days in WINDOWS_DAYS:
        begins = np.searchsorted(keys, keys - days * DAY_S, side="right")
        count = ends - begins
        mean = (spent[ends] - spent[begins]) / (count * 100)
        features[f"customer_count_{days}d"] = _scattered(count, order)
        features[f"customer_mean_{days}d"] = _scattered(mean, order)
    return features


class _Terminals:
    """What each terminal took, by time, and how much of it was fraud."""

    def __init__(self, payments: Payments) -> None:
        order = np.argsort(payments.terminal, kind="stable")
        self._keys = payments.terminal[order] * _APART + payments.seconds[order]
        self._frauds = _running(payments.fraud[order].astype(np.int64))

    def features(self, terminal: Ints, seconds: Ints) -> dict[str, Floats]:
        """Count and share of fraud in (t - 7 days - N days, t - 7 days]; the share of nothing is 0."""
        known = terminal * _APART + seconds - DELAY_S
        order = np.argsort(known)  # sorted questions are answered three times faster: their memory is near
        known = known[order]
        ends = np.searchsorted(self._keys, known, side="right")
        features = {}
        for days in WINDOWS_DAYS:
            begins = np.searchsorted(self._keys, known - days * DAY_S, side="right")
            count = ends - begins
            risk = (self._frauds[ends] - self._frauds[begins]) / np.maximum(count, 1)
            features[f"terminal_count_{days}d"] = _scattered(count, order)
            features[f"terminal_risk_{days}d"] = _scattered(risk, order)
        return features


def _scattered(values: Ints | Floats, order: Ints) -> Floats:
    """The values at the places that they were taken from."""
    places = np.empty(len(order))
    places[order] = values
    return places


def _running(values: Ints) -> Ints:
    """Sums before each row, and after the last."""
    return np.concatenate(([0], np.cumsum(values)))
