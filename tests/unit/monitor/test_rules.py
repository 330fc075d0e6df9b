"""Alerts: raised above, cleared below, each after a while; and told once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.monitor.lags import UNKNOWN
from app.monitor.rules import RULES, Alerts, Measure, Rule
from app.monitor.seen import DriftSeen, PipelineSeen, PointSeen

NOW_MS = 1_800_000_000_000
EMPTY = PipelineSeen(
    name="fraud",
    kind="score",
    source="payments",
    answers="payments.scored",
    dead_letters="payments.dead",
    state="scoring",
    said=".",
    predictions=0,
    dead=0,
    models=[],
    rate_s=0.0,
    points=[],
    latency=None,
    lag=UNKNOWN,
    scores=None,
    drift=[],
    drift_days=7,
    drift_said=".",
    quality=[],
    labels=None,
    hits=[],
    marks=[],
    dead_by_reason=[],
    newest=[],
)


def drifting(psi: float | None) -> PipelineSeen:
    drift = DriftSeen(name="amount", state="drifted", psi=psi, count=9_999, mean=None, reference_mean=None, bins=None)
    return EMPTY.model_copy(update={"drift": [drift]})


def told(alerts: Alerts, values: list[tuple[float, float | None]]) -> list[tuple[float, str]]:
    """When which state was told, of (second, psi)."""
    found: list[tuple[float, str]] = []
    for second, psi in values:
        for alert in alerts.judge([drifting(psi)], NOW_MS + int(second * 1000)):
            assert (alert.rule, alert.subject, alert.runbook) == ("drift", "amount", "drift")
            assert alert.action.endswith(".")
            found.append((second, alert.state))
    return found


def test_an_alert_is_raised_after_a_while_and_cleared_farther_down_after_a_while() -> None:
    up = [(float(s), 0.25) for s in range(8)]
    between = [(10.0 + s, 0.15) for s in range(20)]  # below what raises, above what clears
    down = [(40.0 + s, 0.05) for s in range(8)]
    assert told(Alerts(), [*up, *between, *down]) == [(5.0, "raised"), (45.0, "cleared")]


def test_what_swings_about_a_threshold_is_no_alert() -> None:
    assert told(Alerts(), [(float(s), 0.25 if s % 3 else 0.15) for s in range(60)]) == []


def test_what_is_not_known_changes_nothing() -> None:
    alerts = Alerts()
    told(alerts, [(float(s), 0.25) for s in range(8)])
    assert told(alerts, [(10.0 + s, None) for s in range(20)]) == []
    assert [alert.state for alert in alerts.newest(9)] == ["raised"]


def test_a_restart_neither_forgets_an_alert_nor_raises_it_again() -> None:
    before, after = Alerts(), Alerts()
    told(before, [(float(s), 0.25) for s in range(8)])
    for key, value in before.changes():
        assert value is not None
        assert after.restore(key.decode(), value)
    assert after.newest(9) == before.newest(9)
    assert told(after, [(20.0 + s, 0.3) for s in range(20)]) == []
    assert told(after, [(50.0 + s, 0.0) for s in range(20)]) == [(55.0, "cleared")]


def test_a_low_value_is_the_bad_one_where_the_rule_says_so() -> None:
    rule = replace(
        RULES[0], raise_at=0.3, clear_at=0.4, for_s=0.0, low=True, measure=lambda *_: [Measure("", 0.2, "x")]
    )
    (alert,) = Alerts((rule,)).judge([EMPTY], NOW_MS)
    assert (alert.state, alert.value) == ("raised", 0.2)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_clears_on_the_far_side_of_what_raises_it(rule: Rule) -> None:
    assert (rule.clear_at > rule.raise_at) if rule.low else (rule.clear_at < rule.raise_at)
    assert rule.runbook in (
        "drift",
        "recall-low",
        "lag",
        "dead-letters",
        "nobody-owns",
        "not-scoring",
        "stale-features",
    )
    assert not list(rule.measure(EMPTY.model_copy(update={"lag": UNKNOWN}), NOW_MS)) or rule.name in (
        "lag",
        "dead-letters",
        "stale-features",
    )


def test_a_minute_with_many_dead_letters_raises() -> None:
    def minute(dead: int) -> PipelineSeen:
        point = PointSeen(at_ms=NOW_MS, predictions=100, dead_letters=dead, inexact=0, p50_ms=None, p99_ms=None)
        return EMPTY.model_copy(update={"points": [point]})

    alerts = Alerts()
    states = [
        alert.state
        for second in range(60)
        for alert in alerts.judge([minute(20 if second < 30 else 0)], NOW_MS + second * 1000)
        if alert.rule == "dead-letters"
    ]
    assert states == ["raised", "cleared"]
