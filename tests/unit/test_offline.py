"""A list of events scored without Kafka and Redis: what goes in, what comes out, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.errors import Fatal, Refused
from app.features.lookups import Field, Lookup
from app.offline import BATCH, Event, rows_of, score, trial
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.pipelines.recommendation import RECOMMENDATION
from app.settings import PROJECT

DAY_MS = 86_400_000
START_MS = 1_522_540_831_000
RISKS = FRAUD.lookups[0].columns
TABLE = replace(FRAUD, lookups=(Lookup("terminal", key="terminal_id", fields=tuple(map(Field, RISKS))),))


def payment(number: int, **other: Any) -> dict[str, Any]:
    given = {"payment_id": str(number), "customer_id": "596", "terminal_id": "3156", "amount_cents": 1000}
    return given | {"time_ms": START_MS + number * 60_000} | other


def outcome(number: int, days_before: int, *, fraud: bool) -> dict[str, Any]:
    """What became of a payment that was made so many days before START_MS, and known a week later."""
    paid_ms = START_MS - days_before * DAY_MS
    return {
        "payment_id": f"p{number}",
        "terminal_id": "3156",
        "payment_time_ms": paid_ms,
        "known_at_ms": paid_ms + 7 * DAY_MS,
        "fraud": fraud,
    }


# -- events to answers -------------------------------------------------------------------------------------------------


def test_each_event_has_its_answer_in_its_place() -> None:
    events: list[Event] = [
        payment(1),
        {"payment_id": "2"},
        b"\xff",
        payment(4),
        "not json",
        json.dumps(payment(6)) + "\n",
    ]
    answers = score(FRAUD, events)

    assert [answer.get("event_id") for answer in answers] == ["1", None, None, "4", None, "6"]
    assert [answer.get("code") for answer in answers] == [None, "missing-field", "not-utf8", None, "not-json", None]
    assert answers[2] == {
        "stage": "decode",
        "code": "not-utf8",
        "reason": "The value is not UTF-8 at byte 1.",
        "value": b"\xff",
    }


def test_state_grows_from_event_to_event_beyond_a_batch() -> None:
    answers = score(FRAUD, [payment(number % 1000, time_ms=START_MS + number) for number in range(2 * BATCH + 3)])

    assert [answer["features"]["customer_count_30d"] for answer in answers] == list(range(1, 2 * BATCH + 4))


def test_two_calls_share_nothing() -> None:
    assert score(FRAUD, [payment(1)]) == score(FRAUD, [payment(1)])


def test_a_pipeline_may_be_named(tmp_path: Path) -> None:
    assert score("fraud", [payment(1)]) == score(FRAUD, [payment(1)])
    with pytest.raises(Refused, match="There is no pipeline 'frodo'"):
        score("frodo", [])


def test_an_event_ahead_of_when_kafka_took_it_is_a_dead_letter() -> None:
    late = payment(1, time_ms=START_MS + FRAUD.ahead_ms + 1)

    assert [answer.get("code") for answer in score(FRAUD, [late, payment(0)], now_ms=START_MS)] == ["ahead", None]


def test_numbers_that_are_none_are_dead_letters_as_they_would_be_live() -> None:
    (answer,) = score(FRAUD, [payment(1, amount_cents=float("nan"))])
    assert (answer["stage"], answer["code"]) == ("validate", "wrong-type")


# -- lookups -----------------------------------------------------------------------------------------------------------


def test_rows_of_a_lookup_are_given_by_name_or_in_order() -> None:
    row = dict(zip(RISKS, (3, 0.5, 4, 0.25, 5, 0.125), strict=True))
    for given in (row, list(row.values())):
        (answer,) = score(TABLE, [payment(1)], lookups={"terminal": {"3156": given}})
        assert {name: answer["features"][name] for name in RISKS} == row
        assert answer["marks"] == []


def test_a_row_that_is_not_there_is_defaulted_and_marked() -> None:
    assert score(TABLE, [payment(1)], lookups={"terminal": {"1": [0] * 6}})[0]["marks"] == ["defaulted"]
    assert score(TABLE, [payment(1)])[0]["marks"] == ["defaulted"]


def test_a_view_of_another_pipeline_is_folded_from_that_pipeline_s_events() -> None:
    labels = [outcome(number, 7 + number, fraud=number == 2) for number in range(4, 0, -1)]
    (answer,) = score(FRAUD, [payment(1)], lookups={"terminal": labels})

    assert answer["marks"] == []
    assert (answer["features"]["terminal_count_7d"], answer["features"]["terminal_risk_7d"]) == (4.0, 0.25)


def test_what_was_not_known_at_an_event_s_time_is_not_read() -> None:
    labels = [outcome(number, 7 - number, fraud=True) for number in range(1, 60)]
    (answer,) = score(FRAUD, [payment(1)], lookups={"terminal": labels})

    assert (answer["features"]["terminal_count_30d"], answer["marks"]) == (0.0, [])


def test_a_view_whose_events_are_not_given_is_behind() -> None:
    assert score(FRAUD, [payment(1)])[0]["marks"] == ["behind"]


@pytest.mark.parametrize(
    ("pipeline", "lookups", "said"),
    [
        (TABLE, {"nothing": {}}, "fraud has no lookup 'nothing'; it has terminal."),
        (TABLE, {"terminal": {"1": [1, 2]}}, "The row of '1' for terminal must have terminal_count_1d, "),
        (TABLE, {"terminal": {"1": [1] * 7}}, "The row of '1' for terminal must have terminal_count_1d, "),
        (TABLE, {"terminal": {"1": {"x": 1}}}, "The row of '1' for terminal must have terminal_count_1d, "),
        (TABLE, {"terminal": [payment(1)]}, "The lookup terminal takes rows by entity"),
        (FRAUD, {"terminal": [payment(1)]}, "An event of payments.labels is refused: The field payment_time_ms is"),
    ],
)
def test_lookups_that_do_not_fit_are_refused(pipeline: Any, lookups: Any, said: str) -> None:
    with pytest.raises(Refused) as refusal:
        score(pipeline, [], lookups=lookups)
    assert str(refusal.value).startswith(said)


# -- pipelines that cannot score ---------------------------------------------------------------------------------------


def test_a_pipeline_that_scores_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="fraud-labels answers nothing"):
        score(FRAUD_LABELS, [])


def test_a_trial_finds_what_does_not_fit_before_the_first_event() -> None:
    trial(FRAUD, PROJECT / "models", {})
    trial(FRAUD_LABELS, PROJECT / "models", {})
    with pytest.raises(Fatal, match="does not take what the pipeline gives: input 10 is terminal_count_1d"):
        trial(replace(FRAUD, lookups=()), PROJECT / "models", {})
    with pytest.raises(Fatal, match="There is no version of a model nothing"):
        trial(replace(FRAUD, model="nothing"), PROJECT / "models", {})


def test_rows_for_a_model_are_the_features_of_the_events_that_have_some() -> None:
    rows = rows_of(FRAUD, [payment(1), b"x", payment(2)])

    assert rows.shape == (2, 15)
    assert rows[1].tolist()[3] == 2.0
    with pytest.raises(Refused, match=r"There is no event of payments among them \(The value is not JSON"):
        rows_of(FRAUD, [b"x"])
    with pytest.raises(Refused, match=r"There is no event of payments among them\.$"):
        rows_of(FRAUD, [])


def test_features_that_are_no_numbers_are_no_rows_for_a_model() -> None:
    event = {"interaction_id": "7", "user_id": "12", "item_id": "318", "time_ms": START_MS}
    with pytest.raises(Refused, match="The features of recommendation are not all numbers"):
        rows_of(RECOMMENDATION, [event])
