"""Alerts in words."""

from __future__ import annotations

from typing import Any

from app.cli.alerts import chosen, in_words, reasons_of
from app.pipelines.fraud import FRAUD


def alert(customer: str = "1", score: float = 0.9, **features: float) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "score": score,
        "threshold": 0.39,
        "features": dict.fromkeys(FRAUD.features, 0.0) | features,
    }


def kinds(**features: float) -> list[str]:
    return [kind for kind, _ in reasons_of(dict.fromkeys(FRAUD.features, 0.0) | features)]


def test_the_terminal_is_named_by_its_worst_span() -> None:
    told = in_words(alert(terminal_risk_7d=0.5, terminal_count_7d=4.0, terminal_risk_30d=0.2, terminal_count_30d=24.0))

    assert "50% of the 4 payments at its terminal in the 7 days" in told[1]


def test_an_amount_is_compared_with_the_customers_other_payments() -> None:
    # Three payments with a mean of 40 are 120 in all: the other two are 10 each.
    assert kinds(amount=100.0, customer_mean_30d=40.0, customer_count_30d=3.0) == ["usual"]
    assert "10.0 times" in in_words(alert(amount=100.0, customer_mean_30d=40.0, customer_count_30d=3.0))[1]
    assert kinds(amount=100.0, customer_mean_30d=100.0, customer_count_30d=1.0) == []


def test_what_weighs_most_comes_first() -> None:
    assert kinds(amount=300.0, night=1.0, customer_count_1d=6.0) == ["amount", "count", "night"]


def test_an_alert_that_nothing_explains_says_so() -> None:
    assert in_words(alert())[1] == "What stands out: no single feature."


def test_different_reasons_and_customers_are_shown_before_more_of_the_same() -> None:
    large, larger = alert("1", 0.8, amount=300.0), alert("2", 0.9, amount=400.0)
    same = alert("2", 0.7, night=1.0)
    at_night = alert("3", 0.6, night=1.0)

    assert chosen([large, at_night, larger, same], 3) == [larger, at_night, large]
    assert chosen([large], 3) == [large]
