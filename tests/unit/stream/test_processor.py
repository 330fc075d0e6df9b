"""Every record gets one answer; a bad one gets a letter that says why, and what fails loses only itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import RecordError, Refused
from app.pipeline import EventFeatures
from app.record import Headers
from schemas.headers import DEAD_LETTER_HEADERS
from tests.payments import HOUR_MS, TAKEN_MS, payment, record
from tests.unit.stream.answering import (
    EVENT_COLUMNS,
    FRAUD,
    SECRET,
    TERMINAL,
    StandIn,
    answer,
    answered,
    headers,
    prediction,
    processor,
    table_of,
    tenth_of_amount,
)

# -- records that are no events ----------------------------------------------------------------------------------------

BAD = [
    pytest.param(None, "decode", "tombstone", id="tombstone"),
    pytest.param(b"", "decode", "empty", id="empty"),
    pytest.param(b"\xff" + SECRET.encode(), "decode", "not-utf8", id="bad UTF-8"),
    pytest.param(b'{"customer_id": "%s"' % SECRET.encode(), "decode", "not-json", id="not JSON"),
    pytest.param(payment(amount_cents=SECRET), "validate", "wrong-type", id="wrong type"),
    pytest.param(payment(payment_id=SECRET, amount_cents=...), "validate", "missing-field", id="missing field"),
    pytest.param(payment(payment_id=SECRET * 10), "validate", "out-of-range", id="out of range"),
    pytest.param(payment(customer_id=SECRET), "validate", "key", id="another's key"),
    pytest.param(payment(payment_id=SECRET, time_ms=TAKEN_MS + HOUR_MS + 1), "validate", "ahead", id="ahead of time"),
]


@pytest.mark.parametrize(("value", "stage", "code"), BAD)
def test_a_bad_record_becomes_a_letter_with_its_own_bytes_and_why(value: bytes | None, stage: str, code: str) -> None:
    own: Headers = [("trace", b"x"), ("empty", None), ("trace", b"y")]
    output = answer(record(value, offset=41, partition=3, headers=own))
    assert (output.topic, output.key, output.value) == ("payments.dead", b"596", value)
    assert output.headers[:3] == own
    told = headers(output)
    assert (told["stage"], told["code"]) == (stage.encode(), code.encode())
    assert told["source"] == b"payments/3/41"
    assert told["__streams.errors.message"] == told["reason"]
    assert (told["__streams.errors.exception"], told["attempt"]) == (b"RecordError", b"1")
    assert told["__streams.errors.topic"] == b"payments"
    assert (told["__streams.errors.partition"], told["__streams.errors.offset"]) == (b"3", b"41")


@pytest.mark.parametrize(("value", "stage", "code"), BAD)
def test_no_letter_tells_of_the_payload_beyond_its_value(value: bytes | None, stage: str, code: str) -> None:
    output = answer(record(value))
    for name, content in output.headers:
        assert SECRET.encode() not in (content or b""), name
        assert (content or b"").isascii()


def test_a_letter_has_the_headers_that_are_declared() -> None:
    assert [name for name, _ in answer(record(None)).headers] == [
        header.name for header in DEAD_LETTER_HEADERS if header.required
    ]


@pytest.mark.parametrize("key", [None, b"", b"597", b"\xff"])
def test_a_record_without_the_key_that_its_value_names_is_a_letter_with_the_key_it_had(key: bytes | None) -> None:
    output = answer(record(payment(), key=key))
    assert headers(output)["code"] == b"key"
    assert output.key == key


def test_an_event_up_to_an_hour_ahead_of_its_record_is_scored() -> None:
    assert prediction(answer(record(payment(time_ms=TAKEN_MS + HOUR_MS)))).time_ms == TAKEN_MS + HOUR_MS


def test_bad_records_change_nothing_for_the_others() -> None:
    good = [record(payment(payment_id=str(i)), offset=i) for i in range(3)]
    bad = [record(value, offset=10 + i) for i, value in enumerate((None, b"{", b"[]"))]
    mixed = [one for pair in zip(bad, good, strict=True) for one in pair]
    outputs = answered(processor(), mixed)
    assert [o.value for o in outputs if o.topic == "payments.scored"] == [o.value for o in answered(processor(), good)]
    assert [o.value for o in outputs if o.topic == "payments.dead"] == [one.value for one in bad]


# -- models and features that fail -------------------------------------------------------------------------------------


def fails_on(amounts: set[float]) -> StandIn:
    def rule(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        if amounts & set(rows[:, 0].tolist()):
            raise RuntimeError(SECRET)
        return tenth_of_amount(rows)

    return StandIn(rule)


@pytest.mark.parametrize("bad", [{0}, {63}, {5, 6}, set(range(64))], ids=["first", "last", "neighbours", "all"])
def test_a_record_that_the_model_fails_on_is_the_only_one_that_is_lost(bad: set[int]) -> None:
    batch = [record(payment(payment_id=str(i), amount_cents=100 * (i + 1)), offset=i) for i in range(64)]
    outputs = answered(processor(fails_on({float(i + 1) for i in bad})), batch)
    whole = answered(processor(), batch)
    assert [o.value for o in outputs if o.topic == "payments.scored"] == [
        o.value for i, o in enumerate(whole) if i not in bad
    ]
    letters = [o for o in outputs if o.topic == "payments.dead"]
    assert [o.value for o in letters] == [batch[i].value for i in sorted(bad)]
    for letter in letters:
        told = headers(letter)
        assert (told["stage"], told["code"]) == (b"score", b"no-score")
        assert SECRET.encode() not in b"".join(value or b"" for _, value in letter.headers)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_no_answer(score: float) -> None:
    def rule(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.where(rows[:, 0] == 2.0, score, 0.25)

    batch = [record(payment(payment_id=str(i), amount_cents=100 * i), offset=i) for i in range(4)]
    outputs = answered(processor(StandIn(rule)), batch)
    assert [o.topic for o in outputs] == ["payments.scored"] * 3 + ["payments.dead"]
    assert headers(outputs[3])["code"] == b"no-score"
    assert headers(outputs[3])["source"] == b"payments/0/2"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39], ids=str)
def test_a_feature_that_the_model_cannot_be_given_is_no_answer(value: float) -> None:
    """1e39 is finite, but not as the float32 that the model takes."""

    def of(event: Any) -> tuple[float, float, float]:
        return (value if event.payment_id == "1" else 1.0), 0.0, 0.0

    strange = replace(FRAUD, event=EventFeatures(EVENT_COLUMNS, of))
    batch = [record(payment(payment_id=str(i)), offset=i) for i in range(3)]
    outputs = answered(processor(pipeline=strange), batch)
    assert [o.topic for o in outputs] == ["payments.scored"] * 2 + ["payments.dead"]
    told = headers(outputs[2])
    assert (told["stage"], told["code"], told["source"]) == (b"features", b"not-finite", b"payments/0/1")


def test_a_row_of_a_lookup_that_is_not_finite_is_no_answer() -> None:
    made = processor()
    table_of(made).rows["3156"] = (math.nan, *TERMINAL[1:])
    (output,) = answered(made, [record(payment())])
    assert headers(output)["code"] == b"not-finite"


def test_features_that_raise_lose_their_own_record_and_state_counts_it_all_the_same() -> None:
    def of(event: Any) -> tuple[float, float, float]:
        if event.payment_id == "1":
            raise ValueError(SECRET)
        return 1.0, 0.0, 0.0

    broken = replace(FRAUD, event=EventFeatures(EVENT_COLUMNS, of))
    batch = [record(payment(payment_id=str(i)), offset=i) for i in range(3)]
    outputs = answered(processor(pipeline=broken), batch)
    assert [prediction(o).features.customer_count_1d for o in outputs[:2]] == [1.0, 3.0]
    told = headers(outputs[2])
    assert (told["stage"], told["code"], told["source"]) == (b"features", b"failed", b"payments/0/1")
    assert SECRET.encode() not in b"".join(value or b"" for _, value in outputs[2].headers)


@pytest.mark.parametrize(
    "strange", [(1.0,), (1.0, 0.0, 0.0, 0.0), (), (1.0, "x", 0.0), (1.0, None, 0.0), None], ids=str
)
def test_features_that_are_not_what_was_declared_lose_their_own_record(strange: Any) -> None:
    def of(event: Any) -> Any:
        return strange if event.payment_id == "1" else (1.0, 0.0, 0.0)

    broken = replace(FRAUD, event=EventFeatures(EVENT_COLUMNS, of))
    outputs = answered(processor(pipeline=broken), [record(payment(payment_id=str(i)), offset=i) for i in range(3)])
    assert [output.topic for output in outputs] == ["payments.scored"] * 2 + ["payments.dead"]
    told = headers(outputs[2])
    assert (told["stage"], told["source"]) == (b"features", b"payments/0/1")


def _always(row: tuple[Any, ...]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda _: row


def test_features_of_any_kind_of_number_give_the_same_bytes() -> None:
    rows: list[tuple[Any, ...]] = [(57, np.float64(1), True), (57.0, 1, 1.0), (np.int64(57), np.float32(1), 1)]
    values = set()
    for row in rows:
        event = EventFeatures(EVENT_COLUMNS, _always(row))
        values.add(answer(record(payment()), pipeline=replace(FRAUD, event=event)).value)
    assert len(values) == 1


def test_every_record_of_a_batch_of_all_kinds_gets_the_one_answer_that_is_its_own() -> None:
    values = [payment(payment_id=str(i), amount_cents=100 * i) for i in range(20)]
    values[3::5] = [b"{"] * 4
    values[4] = payment(payment_id="4", terminal_id="odd")
    made = processor(fails_on({2.0, 7.0}))
    table_of(made).rows["odd"] = (math.nan, *TERMINAL[1:])
    outputs = answered(made, [record(value, offset=i) for i, value in enumerate(values)])
    assert sorted(headers(output)["source"] or b"" for output in outputs) == sorted(
        b"payments/0/%d" % i for i in range(20)
    )
    letters = {
        headers(output)["source"]: headers(output)["code"] for output in outputs if output.topic.endswith(".dead")
    }
    assert letters == {b"payments/0/%d" % i: b"not-json" for i in (3, 8, 13, 18)} | {
        b"payments/0/4": b"not-finite",
        b"payments/0/2": b"no-score",
        b"payments/0/7": b"no-score",
    }


def test_an_empty_batch_has_no_answers() -> None:
    assert answered(processor(), []) == []


# -- declarations that do not fit --------------------------------------------------------------------------------------


def test_answers_that_list_other_features_than_the_pipeline_computes_are_refused_with_both() -> None:
    fewer = replace(FRAUD, lookups=())
    with pytest.raises(Refused, match=r"list the features .*terminal_risk_30d, but the pipeline fraud computes"):
        processor(pipeline=fewer)


def test_admission_has_no_effect() -> None:
    made = processor()
    admitted, refused = made.admit([record(payment()), record(None, offset=1)])
    assert ([one.offset for one in admitted], [one.offset for one, _ in refused]) == ([0], [1])
    assert all(isinstance(error, RecordError) for _, error in refused)
    assert made.memory.owned[0].held[0].states == {}
