"""Payments scored for fraud, with the fifteen inputs of the Fraud Detection Handbook.

Customer windows are folded from `payments` itself, the payment included. Terminal features are how often payments at a
terminal turned out to be fraud: `fraud-labels` folds the outcomes, known seven days late, and `fraud` reads them as
they were known at the payment's time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.features.asof import AsOf
from app.features.outcomes import Outcomes
from app.features.window import Window
from app.pipeline import EventFeatures, Pipeline
from schemas.topics import TOPICS

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
SPANS_MS = {f"{days}d": int(timedelta(days=days).total_seconds() * 1000) for days in (1, 7, 30)}


def of_payment(payment: Any) -> tuple[float, float, float]:
    """Amount in currency units; whether it is a weekend; whether it is night, which is up to 06:59 UTC.

    The Handbook's text says "before 6", its published data say hour <= 6; the data decide.
    """
    days, ms = divmod(payment.time_ms, DAY_MS)
    weekend = (days + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    return payment.amount_cents / 100, 1.0 if weekend else 0.0, 1.0 if ms < 7 * HOUR_MS else 0.0


FRAUD_LABELS = Pipeline(
    name="fraud-labels",
    source=TOPICS["payments.labels"],
    views=(
        Outcomes(
            "terminal",
            amount="fraud",
            at="payment_time_ms",
            id="payment_id",
            spans_ms=SPANS_MS,
            delay_ms=7 * DAY_MS,
            measures={"count": "count", "risk": "mean"},
        ),
    ),
)

FRAUD = Pipeline(
    name="fraud",
    source=TOPICS["payments"],
    answers=TOPICS["payments.scored"],
    event=EventFeatures(("amount", "weekend", "night"), of_payment),
    views=(Window("customer", amount="amount_cents", spans_ms=SPANS_MS),),
    lookups=(AsOf(FRAUD_LABELS, "terminal", key="terminal_id"),),
    model="fraud@1",
)
