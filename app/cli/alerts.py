"""What stands out about a fraud alert, in words, from the features that the model was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

SPANS = ("1d", "7d", "30d")
DAYS = {"1d": "day", "7d": "7 days", "30d": "30 days"}


def in_words(prediction: Mapping[str, Any]) -> tuple[str, str]:
    """Customer, amount and score, and then what stands out. `prediction` is a value of payments.scored."""
    features = prediction["features"]
    reasons = [words for _, words in reasons_of(features)] or ["no single feature"]
    return (
        f"Customer {prediction['customer_id']} pays {features['amount']:,.2f}: score {prediction['score']:.3f}, "
        f"an alert from {prediction['threshold']:g} on.",
        f"What stands out: {'; '.join(reasons[:3])}.",
    )


class Reason(NamedTuple):
    """Something that stands out: how much, of which kind, and in words, for a sentence and for a table."""

    weight: float
    kind: str
    words: str
    brief: str


def reasons_of(features: Mapping[str, float]) -> list[tuple[str, str]]:
    """Kind and words of each thing that stands out, the one with most weight first."""
    return [(reason.kind, reason.words) for reason in found_in(features)]


def found_in(features: Mapping[str, float]) -> list[Reason]:
    """Each thing that stands out, the one with most weight first."""
    found: list[Reason] = []
    span = max(SPANS, key=lambda span: (features[f"terminal_risk_{span}"], span))
    risk, count = features[f"terminal_risk_{span}"], features[f"terminal_count_{span}"]
    if risk >= 0.1:
        was = f"{risk:.0%} of the {count:.0f} payments" if count > 1 else "the one payment"
        words = f"{was} at its terminal in the {DAYS[span]} that ended a week before turned out to be fraud"
        found.append(Reason(10 * risk, "terminal", words, f"{risk * count:.0f} of {count:.0f} fraud at terminal"))
    amount, mean, payments = (features[name] for name in ("amount", "customer_mean_30d", "customer_count_30d"))
    others = (mean * payments - amount) / (payments - 1) if payments > 1 else 0.0
    if others > 0 and amount >= 2 * others:
        times = f"{amount / others:.1f} times"
        found.append(
            Reason(amount / others, "usual", f"{times} what this customer pays on average", f"{times} the usual")
        )
    if amount >= 150:
        found.append(Reason(amount / 100, "amount", "a large amount", "a large amount"))
    if (today := features["customer_count_1d"]) >= 5:
        words = f"{today:.0f} payments of this customer within a day"
        found.append(Reason(today / 3, "count", words, f"{today:.0f} payments in a day"))
    if features["night"]:
        found.append(Reason(0.5, "night", "at night", "at night"))
    return sorted(found, reverse=True)


def chosen(alerts: Iterable[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """The highest scores, but of each kind and customer one before the next ones."""
    ranked = sorted(alerts, key=lambda alert: -alert["score"])
    first: dict[str, Mapping[str, Any]] = {}
    customers: set[str] = set()
    for alert in ranked:
        reasons = reasons_of(alert["features"])
        kind = reasons[0][0] if reasons else ""
        if kind not in first and alert["customer_id"] not in customers:
            first[kind] = alert
            customers.add(alert["customer_id"])
    best = list(first.values())
    return (best + [alert for alert in ranked if alert not in best])[:count]
