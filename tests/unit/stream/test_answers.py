"""Predictions as they go out: fields and headers as declared, and bytes that depend on nothing that moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from app.inference.model import Model, load_model
from app.pipeline import Pipeline
from app.record import Headers, Output
from app.settings import PROJECT
from schemas.headers import PREDICTION_HEADERS
from tests.payments import NOON_MS, TAKEN_MS, payment, record
from tests.unit.stream.answering import (
    FRAUD,
    TRACE,
    StandIn,
    answer,
    answered,
    headers,
    prediction,
    processor,
    tenth_of_amount,
)


@pytest.fixture(scope="module")
def fraud_model() -> Model:
    return load_model(PROJECT / "models" / "fraud" / "1", FRAUD.features)


def test_a_prediction_is_what_the_wire_says_field_by_field_in_order() -> None:
    output = answer(record(payment(payment_id="17", amount_cents=60_000)))
    assert output.value == (
        b'{"id":"8ae036eea0ff49ebff4f76e9949f796c","event_id":"17","customer_id":"596","time_ms":1522584000000,'
        b'"score":0.6,"threshold":0.5,"decision":"alert","model":{"name":"stand-in","version":7},'
        b'"features":{"amount":600.0,"weekend":1.0,"night":0.0,"customer_count_1d":1.0,"customer_mean_1d":600.0,'
        b'"customer_count_7d":1.0,"customer_mean_7d":600.0,"customer_count_30d":1.0,"customer_mean_30d":600.0,'
        b'"terminal_count_1d":3.0,"terminal_risk_1d":0.5,"terminal_count_7d":4.0,"terminal_risk_7d":0.25,'
        b'"terminal_count_30d":5.0,"terminal_risk_30d":0.125},"marks":[]}'
    )


def test_a_prediction_has_the_headers_that_are_declared() -> None:
    own: Headers = [("traceparent", TRACE), ("cookie", b"secret")]
    output = answer(record(payment(), partition=2, offset=9, headers=own))
    not_live = ("attempt", "replay", "lookups")
    live = [header.name for header in PREDICTION_HEADERS if header.name not in not_live]
    assert [name for name, _ in output.headers] == live
    told = headers(output)
    assert told["content-type"] == b"application/json"
    assert told["source"] == b"payments/2/9"
    assert told["model"] == b"stand-in@7"
    assert told["scored-at"] is not None
    assert told["scored-at"].isdigit()
    assert told["traceparent"] == TRACE
    assert output.key == b"596"


@pytest.mark.parametrize(
    "trace",
    [[], [None], [b""], [b"x" * 2_000_000], [TRACE + b"\n"], [TRACE.upper()], ["00-é".encode()]],
    ids=["none", "null", "empty", "huge", "a line more", "upper case", "not ASCII"],
)
def test_what_is_no_traceparent_is_not_carried_on(trace: list[bytes | None]) -> None:
    output = answer(record(payment(), headers=[("traceparent", one) for one in trace]))
    assert "traceparent" not in headers(output)


def test_of_many_traceparents_the_first_good_one_is_carried_on() -> None:
    other = TRACE.replace(b"-01", b"-00")
    output = answer(record(payment(), headers=[("traceparent", t) for t in (b"?", TRACE, other)]))
    assert [value for name, value in output.headers if name == "traceparent"] == [TRACE]


@pytest.mark.parametrize(("cents", "decision"), [(49_999, "pass"), (50_000, "alert"), (50_001, "alert")])
def test_a_score_at_the_threshold_is_an_alert(cents: int, decision: str) -> None:
    assert prediction(answer(record(payment(amount_cents=cents)))).decision == decision


def test_a_default_in_place_of_a_row_is_marked() -> None:
    (output,) = answered(processor(), [record(payment())], known=False)
    found = prediction(output)
    assert found.marks == ["defaulted"]
    assert found.features.terminal_count_1d == 0.0


def test_an_event_behind_a_newer_one_of_its_customer_is_marked_late() -> None:
    batch = [record(payment(payment_id=str(i), time_ms=NOON_MS - i), offset=i) for i in range(2)]
    assert [prediction(output).marks for output in answered(processor(), batch)] == [[], ["late"]]


def test_windows_count_the_event_itself_and_those_before_it_in_the_batch() -> None:
    batch = [record(payment(payment_id=str(i), amount_cents=100 * i), offset=i) for i in range(4)]
    found = [prediction(output).features for output in answered(processor(), batch)]
    assert [features.customer_count_1d for features in found] == [1.0, 2.0, 3.0, 4.0]
    assert [features.customer_mean_30d for features in found] == [0.0, 0.5, 1.0, 1.5]


# -- the same bytes ----------------------------------------------------------------------------------------------------


Place = Callable[[int], tuple[int, int]]


def payments_of(customers: int, each: int) -> list[bytes]:
    """Payments in the order of their time, the customers' in turns."""
    return [
        payment(
            payment_id=str(i),
            customer_id=str(i % customers),
            amount_cents=(i * 7919) % 100_000,
            time_ms=NOON_MS + i * 977_000,
            terminal_id=str(i % 11),
        )
        for i in range(customers * each)
    ]


def scored(
    values: list[bytes], model: Model, *, batch: int, place: Callable[[int], tuple[int, int]]
) -> list[bytes | None]:
    """The predictions of all payments, in batches of this size; `place` gives each one's partition and offset."""
    made, outputs = processor(model), list[Output]()
    records = []
    for i, value in enumerate(values):
        partition, offset = place(i)
        key = msgspec.json.decode(value)["customer_id"].encode()
        records.append(record(value, partition=partition, offset=offset, key=key, timestamp_ms=TAKEN_MS + 10**9))
    for first in range(0, len(records), batch):
        outputs += answered(made, records[first : first + batch])
    return [output.value for output in outputs]


def test_a_prediction_s_bytes_know_no_partition_offset_or_batch(fraud_model: Model) -> None:
    values = payments_of(customers=12, each=10)
    once = scored(values, fraud_model, batch=len(values), place=lambda i: (0, i))
    for batch in (1, 2, 3, 7, 64):
        assert scored(values, fraud_model, batch=batch, place=lambda i: (0, i)) == once
    assert scored(values, fraud_model, batch=5, place=lambda i: (i % 12 % 6, 1000 + 3 * i)) == once


def test_a_prediction_s_bytes_do_not_know_who_else_is_in_its_batch(fraud_model: Model) -> None:
    values = payments_of(customers=12, each=10)
    once = scored(values, fraud_model, batch=64, place=lambda i: (0, i))
    some = [i for i in range(len(values)) if i % 12 in (3, 4, 9)]
    alone = scored([values[i] for i in some], fraud_model, batch=8, place=lambda i: (1, i))
    assert alone == [once[i] for i in some]


def test_an_answer_s_id_is_of_pipeline_event_and_model_and_of_nothing_else() -> None:
    def id_of(value: bytes, model: Any = None, pipeline: Pipeline = FRAUD) -> str:
        return prediction(answer(record(value), model=model, pipeline=pipeline)).id

    other = StandIn(tenth_of_amount)
    other.ref = "stand-in@8"
    same = id_of(payment())
    assert id_of(payment(amount_cents=1, terminal_id="7", time_ms=NOON_MS + 1)) == same
    ids = {
        same,
        id_of(payment(payment_id="2")),
        id_of(payment(), other),
        id_of(payment(), None, replace(FRAUD, name="f")),
    }
    assert len(ids) == 4
    assert all(len(one) == 32 for one in ids)
