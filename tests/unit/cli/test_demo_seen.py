"""What the demo makes of the records that somebody outside reads."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from app.cli.demo_seen import Answers, Pace, quantile
from app.pipelines.fraud import FRAUD
from app.record import Headers, Record
from app.settings import Settings


@pytest.fixture
def answers() -> Answers:
    return Answers(Settings(kafka="nowhere:1", redis="redis://nowhere"), FRAUD)


def payment(partition: int, offset: int, stamped_ms: int) -> Record:
    return Record("payments", partition, offset, stamped_ms, b"1", b"{}", None)


def answer(partition: int, offset: int, **more: Any) -> Record:
    value = json.dumps({"marks": [], "decision": "pass", **more}).encode()
    headers: Headers = [("model", b"fraud@1"), ("source", b"payments/%d/%d" % (partition, offset))]
    return Record("payments.scored", 5 - partition, 7, 0, b"1", value, headers)  # its own place says nothing


def test_the_time_is_from_the_payments_stamp_to_the_arrival_of_its_answer(answers: Answers) -> None:
    answers._input([payment(0, 5, 1_000), payment(1, 5, 2_000)], 0.0)
    answers._answer([answer(1, 5), answer(0, 5)], 2_012.5)

    assert [(one.place, one.took_ms) for one in answers.all] == [((1, 5), 12.5), ((0, 5), 1_012.5)]


def test_an_answer_that_is_read_before_its_payment_counts_all_the_same(answers: Answers) -> None:
    answers._answer([answer(2, 9)], 2_012.0)
    assert answers.all == []
    answers._input([payment(2, 9, 2_000)], 3_000.0)

    assert [one.took_ms for one in answers.all] == [12.0]


def test_nothing_took_less_than_nothing(answers: Answers) -> None:
    answers._input([payment(0, 0, 1_000)], 0.0)
    answers._answer([answer(0, 0)], 999.6)

    assert answers.all[0].took_ms == 0.0


def test_a_partition_is_scored_again_by_its_first_answer_to_what_came_after_the_kill(answers: Answers) -> None:
    kill_ms = 10_000
    answers._input([payment(3, 0, 9_990), payment(3, 1, 10_001), payment(3, 2, 10_002), payment(4, 0, 9_999)], 0.0)
    answers._input([payment(0, 0, 10_005)], 0.0)
    answers._answer([answer(3, 0), answer(4, 0)], 10_004)  # was on its way when the scorer was killed
    answers._answer([answer(0, 0)], 10_010)  # another scorer's

    assert answers.again_ms([3, 4], kill_ms) == {}
    answers._answer([answer(3, 1)], 16_000)
    answers._answer([answer(3, 2)], 16_050)
    assert answers.again_ms([3, 4], kill_ms) == {3: 16_000}


def test_marks_and_alerts_are_counted(answers: Answers) -> None:
    answers._input([payment(0, offset, 1) for offset in range(4)], 0.0)
    answers._answer([answer(0, 0, marks=["behind", "late"]), answer(0, 1, decision="alert")], 5.0)
    assert answers.behind() == 0.5
    answers._answer([answer(0, 2), answer(0, 3)], 5.0)

    assert answers.behind() == 0.25
    assert (answers.alerted, len(answers.alerts), len(answers.newest)) == (1, 1, 4)


def test_speed_is_of_the_last_seconds_only(answers: Answers) -> None:
    now_ms = time.time() * 1000
    answers._input([payment(0, offset, 1) for offset in range(30)], 0.0)
    answers._answer([answer(0, offset) for offset in range(10)], now_ms - 60_000)
    assert answers.speed() == 0.0
    answers._answer([answer(0, offset) for offset in range(10, 30)], now_ms)

    assert answers.speed() == 4.0


def test_a_count_that_is_told_now_and_then_grows_as_fast_as_from_told_to_told() -> None:
    pace = Pace()
    assert pace.of(100, 0.0) == 0.0
    # 250 more every half second, looked at ten times a second.
    speeds = [pace.of(100 + 250 * (tick // 5), tick / 10) for tick in range(1, 100)]

    assert set(speeds[4:]) == {500.0}
    assert pace.of(100 + 250 * 19, 14.0) == 500.0
    assert pace.of(100 + 250 * 19, 14.6) == 0.0


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0], 0.99) == 3.0
    assert [quantile([float(i) for i in range(1, 101)], share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
