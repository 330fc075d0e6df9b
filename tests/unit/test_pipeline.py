"""Pipelines as they are declared: what a declaration must not say, and what the fraud pipeline's says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contracts.compile import compile_contract
from app.errors import Refused
from app.features.lookups import Field, Lookup
from app.features.window import Window
from app.inference.manifest import read_manifest
from app.inference.serving import serving
from app.pipeline import Pipeline
from app.pipelines import PIPELINES, pipeline_named
from app.pipelines.fraud import FRAUD, of_payment
from app.settings import PROJECT
from schemas import TOPICS, FraudFeatures, Payment
from schemas.fields import TIME_END_MS, TIME_MIN_MS, Id
from tests.payments import HOUR_MS, NOON_MS, payment

WINDOW = Window("customer", amount="amount_cents", spans_ms={"1d": 1})


class SmallPayment(Payment):
    amount_cents: int = pydantic.Field(ge=0, le=10)


class TersePayment(Payment):
    terminal_id: Id


decode = compile_contract(FRAUD.source.model).decode


def refused(**changed: Any) -> str:
    with pytest.raises(Refused) as refusal:
        replace(FRAUD, **changed)
    return str(refusal.value)


@pytest.mark.parametrize("name", ["", "Fraud", "1fraud", "fraud_2", "fr aud", "a" * 64, "é", "fraud\n", "a/b", "a}b"])
def test_a_name_that_kafka_and_redis_could_not_carry_is_refused(name: str) -> None:
    assert "lower-case letters, digits and dashes" in refused(name=name)


def test_names_of_views_and_lookups_are_held_to_the_same() -> None:
    """They are parts of Redis keys, and a brace would end a hash tag."""
    said = "'a}b' must be lower-case letters, digits and dashes"
    assert said in refused(views=(replace(WINDOW, name="a}b"),))
    assert said in refused(lookups=(Lookup("a}b", key="terminal_id", fields=(Field("x"),)),))


def test_a_view_of_a_field_that_the_events_do_not_have_is_refused() -> None:
    said = refused(views=(replace(WINDOW, amount="amount"),))
    assert "needs the field 'amount' of payments" in said
    assert "amount_cents" in said


def test_two_views_of_one_name_are_refused() -> None:
    other = Window("customer", amount="amount_cents", spans_ms={"2d": 2})
    assert "view or lookup 'customer' twice" in refused(views=(WINDOW, other))


def test_a_view_and_a_lookup_of_one_name_are_refused() -> None:
    lookup = Lookup("customer", key="terminal_id", fields=(Field("x"),))
    assert "view or lookup 'customer' twice" in refused(views=(WINDOW,), lookups=(lookup,))


def test_a_feature_that_is_named_twice_is_refused() -> None:
    lookup = Lookup("terminal", key="terminal_id", fields=(Field("amount"),))
    assert "feature 'amount' twice" in refused(lookups=(lookup,))


def test_a_lookup_by_a_field_that_the_events_do_not_have_is_refused() -> None:
    said = refused(lookups=(Lookup("shop", key="shop_id", fields=(Field("x"),)),))
    assert "'shop_id' of payments" in said
    assert "terminal_id" in said


def test_an_answer_with_a_field_that_the_events_do_not_have_is_refused() -> None:
    assert "'payment_time_ms' of payments" in refused(answers=TOPICS["payments.labels"])


@pytest.mark.parametrize(
    "changed",
    [
        replace(FRAUD, source=replace(FRAUD.source, model=SmallPayment)),
        replace(FRAUD, source=replace(FRAUD.source, key="terminal_id")),
        replace(FRAUD, ahead_ms=1),
    ],
    ids=["contract", "key", "clock"],
)
def test_state_that_counts_other_events_has_another_digest(changed: Pipeline) -> None:
    (view,) = FRAUD.views
    assert changed.digest(view) != FRAUD.digest(view)


def test_state_is_named_by_what_its_view_means_and_not_by_words_for_people() -> None:
    (view,) = FRAUD.views
    assert FRAUD.digest(view) == replace(FRAUD, name="other", model="other").digest(view)
    assert FRAUD.digest(view) == replace(FRAUD, source=replace(FRAUD.source, model=TersePayment)).digest(view)
    assert FRAUD.digest(view) != FRAUD.digest(WINDOW)


def test_what_the_fraud_pipeline_gives_is_what_the_answers_list_and_the_model_takes() -> None:
    model = read_manifest(serving(FRAUD, PROJECT / "models", {}))
    assert FRAUD.features == tuple(FraudFeatures.model_fields)
    assert FRAUD.features == model.inputs[0].features
    assert len(FRAUD.features) == 15


def test_an_answer_carries_its_customer_over_from_the_payment() -> None:
    assert FRAUD.carried == ("customer_id",)


def test_nothing_is_deleted_from_its_topics_by_event_time() -> None:
    topics = {spec.name: spec for spec in FRAUD.topics()}
    assert set(topics) == {"payments", "payments.scored", "payments.dead"}
    for spec in topics.values():
        assert spec.partitions == 6
        assert spec.config["message.timestamp.type"] == "LogAppendTime"
        assert spec.config["retention.ms"] == "-1"
    assert topics["payments.dead"].config["max.message.bytes"] == str(10 * 1024 * 1024 + 64 * 1024)


@given(st.integers(TIME_MIN_MS, TIME_END_MS - 1), st.integers(0, 10**12))
def test_weekend_and_night_are_those_of_the_calendar(time_ms: int, cents: int) -> None:
    when = datetime.fromtimestamp(time_ms / 1000, UTC)
    assert of_payment(decode(payment(time_ms=time_ms, amount_cents=cents))) == (
        cents / 100,
        float(when.isoweekday() >= 6),
        float(when.hour <= 6),
    )


def test_night_ends_with_the_last_millisecond_before_seven() -> None:
    seven = NOON_MS - 5 * HOUR_MS
    assert of_payment(decode(payment(time_ms=seven - 1)))[2] == 1.0
    assert of_payment(decode(payment(time_ms=seven)))[2] == 0.0


def test_a_pipeline_is_found_by_its_name() -> None:
    assert pipeline_named("fraud") is FRAUD
    assert all(name == pipeline.name for name, pipeline in PIPELINES.items())


def test_a_name_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(Refused, match=r"no pipeline 'frodo'; there is fraud") as refusal:
        pipeline_named("frodo")
    assert refusal.value.exit_code == 2
