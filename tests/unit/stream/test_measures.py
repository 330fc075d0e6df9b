"""What a meter counts of a batch, and when."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.errors import BatchAborted, RecordError, Stage
from app.record import Output, Record
from app.stream.answers import Noted
from app.stream.letters import dead_letter
from app.stream.measures import BOUNDS, MOST_LABELS, Facts, Measure, Meter, Times
from app.stream.observe import Step, nobody
from app.stream.report import reason_of


def record(offset: int, *, age_ms: int = 0, headers: list[tuple[str, bytes | None]] | None = None) -> Record:
    return Record("payments", 0, offset, time.time_ns() // 1_000_000 - age_ms, b"596", b"{}", headers)


def answered(meter: Meter, records: list[Record], outputs: list[Output], marked: list[tuple[str, ...]]) -> None:
    meter(Step.POLLED)
    meter(Step.LOADED)
    letters = sum(output.topic == "payments.dead" for output in outputs)
    facts = meter.facts(records, refused=letters, noted=Noted(1.0, 1.003, marked))
    for step in (Step.PREPARED, Step.BEGUN, Step.COMMITTED):
        meter(step)
    meter.confirmed(outputs, facts)


def prediction() -> Output:
    return Output("payments.scored", b"596", b"{}", [])


def letter(code: str = "empty", headers: list[tuple[str, bytes | None]] | None = None) -> Output:
    return dead_letter("payments.dead", record(0, headers=headers), RecordError(Stage.DECODE, code, "No."))


def test_a_batch_is_counted_when_it_is_committed_and_not_before() -> None:
    meter = Meter("payments.dead", nobody)
    meter(Step.POLLED)
    meter(Step.LOADED)
    facts = meter.facts([record(0), record(1)], refused=1, noted=Noted(1.0, 1.003, [("late",)]))
    meter(Step.BEGUN)
    assert (meter.predictions, meter.committed, dict(meter.marks)) == (0, 0, {})
    assert sum(meter.histograms[Measure.LATENCY].counts) == 0

    meter(Step.COMMITTED)
    meter.confirmed([prediction(), letter()], facts)
    assert (meter.predictions, meter.committed, dict(meter.dead)) == (1, 1, {"decode/empty": 1})
    assert dict(meter.marks) == {"late": 1}
    assert sum(meter.histograms[Measure.LATENCY].counts) == 2
    assert sum(meter.histograms[Measure.SCORE].counts) == 1


def test_a_batch_that_only_begins_a_partition_is_a_transaction_and_nothing_else() -> None:
    meter = Meter("payments.dead", nobody)
    meter(Step.BEGUN)
    meter(Step.COMMITTED)
    meter.confirmed([], None)

    assert (meter.committed, meter.predictions) == (1, 0)
    assert sum(meter.histograms[Measure.BATCH].counts) == 0


def test_a_transaction_that_fails_between_two_gives_its_time_to_none_of_them() -> None:
    meter = Meter("payments.dead", nobody)
    meter(Step.BEGUN)
    meter.failed("timed-out")
    answered(meter, [record(0)], [prediction()], [])

    assert sum(meter.histograms[Measure.COMMIT].counts) == 1
    assert dict(meter.aborted) == {"timed-out": 1}


@pytest.mark.parametrize(("age_ms", "place"), [(-5000, 0), (0, 0), (7, 2), (15, 3), (4_000_000, -1)])
def test_how_old_a_record_was_is_counted_in_its_bucket(
    age_ms: int, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = record(0, age_ms=age_ms)
    monkeypatch.setattr("app.stream.measures.time.time_ns", lambda: (taken.timestamp_ms + age_ms) * 1_000_000)
    meter = Meter("payments.dead", nobody)
    answered(meter, [taken], [prediction()], [])

    histogram = meter.histograms[Measure.LATENCY]
    assert histogram.counts[place] == 1
    assert histogram.sum == pytest.approx(max(0, age_ms) / 1000)


def test_a_value_on_a_bound_is_within_it() -> None:
    meter = Meter("payments.dead", nobody)
    answered(meter, [record(i) for i in range(10)], [prediction()] * 10, [])

    batch = meter.histograms[Measure.BATCH]
    assert batch.counts[BOUNDS[Measure.BATCH].index(10)] == 1


def test_what_a_record_claims_about_itself_is_no_label() -> None:
    meter = Meter("payments.dead", nobody)
    claims: list[tuple[str, bytes | None]] = [("stage", b"mine"), ("code", b"mine"), ("code", None)]
    answered(meter, [record(0)], [letter(headers=claims)], [])

    assert dict(meter.dead) == {"decode/empty": 1}


def test_labels_are_a_closed_list() -> None:
    meter = Meter("payments.dead", nobody)
    for i in range(3 * MOST_LABELS):
        answered(meter, [record(0)], [letter(f"code-{i}")], [])

    assert len(meter.dead) == MOST_LABELS + 1
    assert sum(meter.dead.values()) == 3 * MOST_LABELS


def test_records_that_have_no_output_are_folded() -> None:
    meter = Meter("payments.labels.dead", nobody)
    answered(meter, [record(0), record(1), record(2)], [], [])

    assert (meter.folded, meter.predictions) == (3, 0)


def test_a_batch_of_which_no_event_came_to_the_model_took_no_time_there() -> None:
    meter = Meter("payments.dead", nobody)
    for step in (Step.POLLED, Step.LOADED):
        meter(step)
    facts = meter.facts([record(0)], refused=1)
    for step in (Step.BEGUN, Step.COMMITTED):
        meter(step)
    meter.confirmed([letter()], facts)

    assert sum(meter.histograms[Measure.SCORE].counts) == 0


def test_flushes_are_timed_and_steps_are_handed_on() -> None:
    seen: list[Step] = []
    meter = Meter("payments.dead", seen.append)
    for step in (Step.FLUSHING, Step.FLUSHED):
        meter(step)

    assert seen == [Step.FLUSHING, Step.FLUSHED]
    assert sum(meter.histograms[Measure.FLUSH].counts) == 1


def test_whoever_draws_is_given_each_committed_batch() -> None:
    meter = Meter("payments.dead", nobody)
    drawn: list[Times] = []
    meter.drawn = drawn.append
    answered(meter, [record(0)], [prediction()], [])

    (times,) = drawn
    facts: Facts = times.facts
    assert facts.polled <= facts.loaded <= facts.prepared <= times.begun <= times.committed


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (KafkaError._TIMED_OUT, "timed-out"),
        (KafkaError._MSG_TIMED_OUT, "delivery"),
        (KafkaError._FENCED, "overdue"),
        (KafkaError.INVALID_TIMESTAMP, "delivery"),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, "kafka"),
    ],
)
def test_why_a_transaction_did_not_commit_is_one_of_few_words(code: int, reason: str) -> None:
    error = BatchAborted("it did not commit")
    error.__cause__ = KafkaException(KafkaError(code))

    assert reason_of(error, moved_on=False) == reason
    assert reason_of(error, moved_on=True) == "group-moved-on"
    assert reason_of(None, moved_on=False) == "kafka"
