"""The audit on a log that was written by hand: it finds what is wrong, and nothing that is right."""

from __future__ import annotations

import pytest

from app.replay.audit import Looked, audit
from tests.contract.audit.handmade import HandmadeLog, judged, wrongs

pytestmark = pytest.mark.broker


def test_every_input_answered_once_is_true_and_dead_letters_count(log: HandmadeLog) -> None:
    log.inputs(10)
    log.inputs(5, partition=1)
    log.answer(range(8))
    log.answer([8, 9], topic=log.dead)
    log.answer(range(5), partition=1)
    log.commit(10)
    log.commit(5, partition=1)
    result = judged(log)
    assert result.ok
    assert (result.inputs, result.predictions, result.dead_letters) == (15, 13, 2)
    assert result.looked == (Looked(0, 0, 10), Looked(1, 0, 5))


def test_inputs_that_the_group_has_not_committed_are_not_judged(log: HandmadeLog) -> None:
    log.inputs(10)
    log.answer(range(4))
    log.commit(4)
    result = judged(log)
    assert result.ok
    assert result.inputs == 4


def test_an_input_without_an_answer_is_missing(log: HandmadeLog) -> None:
    log.inputs(10)
    log.answer([0, 1, 2, 4, 5, 9])
    log.commit(10)
    result = judged(log)
    assert wrongs(result) == (4, 0, 0)
    assert result.missing_examples == (f"{log.source}/0/3", f"{log.source}/0/6-8")


def test_a_range_that_was_skipped_by_hand_is_listed_exactly(log: HandmadeLog) -> None:
    log.inputs(500)
    log.answer(range(100))
    log.answer(range(350, 500))
    log.commit(500)
    result = judged(log)
    assert wrongs(result) == (250, 0, 0)
    assert result.missing_examples == (f"{log.source}/0/100-349",)


def test_an_input_with_two_predictions_or_a_prediction_and_a_dead_letter_is_duplicated(log: HandmadeLog) -> None:
    log.inputs(6)
    log.answer(range(6))
    log.answer([2])
    log.answer([4], topic=log.dead)
    log.commit(6)
    result = judged(log)
    assert wrongs(result) == (0, 2, 0)
    assert result.duplicated_examples == (f"{log.source}/0/2", f"{log.source}/0/4")
    assert (result.predictions, result.dead_letters) == (7, 1)


def test_an_input_answered_hundreds_of_times_is_not_taken_for_a_missing_one(log: HandmadeLog) -> None:
    log.inputs(2)
    log.answer([0] * 256)
    log.answer([0] * 256 + [1])
    log.commit(2)
    assert wrongs(judged(log)) == (0, 1, 0)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="none"),
        pytest.param([("source", None)], id="empty"),
        pytest.param([("source", b"elsewhere/0/0")], id="another topic"),
        pytest.param([("source", b"{source}/7/0")], id="no such partition"),
        pytest.param([("source", b"{source}/0/x")], id="no number"),
        pytest.param([("source", b"{source}/0/-1")], id="a negative number"),
        pytest.param([("source", b"{source}/0/" + b"9" * 5000)], id="a number too long"),
        pytest.param([("source", b"{source}/0/0"), ("source", b"?")], id="the last of two"),
    ],
)
def test_an_answer_whose_source_is_no_input_is_unexplained(
    log: HandmadeLog, headers: list[tuple[str, bytes | None]]
) -> None:
    log.inputs(1)
    log.answer([0])
    log.write([(name, value and value.replace(b"{source}", log.source.encode())) for name, value in headers])
    log.commit(1)
    result = judged(log)
    assert wrongs(result) == (0, 0, 1)
    assert result.unexplained_examples == (f"{log.scored}/0/2 names no input of {log.source}",)


def test_the_last_source_header_counts_because_a_record_may_bring_its_own(log: HandmadeLog) -> None:
    log.inputs(1)
    log.write([("source", b"elsewhere/3/4"), ("source", f"{log.source}/0/0".encode())], topic=log.dead)
    log.commit(1)
    result = judged(log)
    assert result.ok
    assert result.dead_letters == 1


def test_an_answer_to_an_input_that_the_group_has_not_committed_is_unexplained(log: HandmadeLog) -> None:
    log.inputs(10)
    log.answer(range(7))
    log.commit(6)
    result = judged(log)
    assert wrongs(result) == (0, 0, 1)
    assert result.unexplained_examples == (f"{log.scored}/0/6 answers {log.source}/0/6",)


def test_answers_of_a_group_that_never_committed_are_unexplained(log: HandmadeLog) -> None:
    log.inputs(3)
    log.answer(range(3))
    result = judged(log)
    assert result.inputs == 0
    assert wrongs(result) == (0, 0, 3)


def test_an_offset_that_was_set_beyond_the_log_judges_what_is_there(log: HandmadeLog) -> None:
    log.inputs(3)
    log.answer([0, 1, 2, 3])
    log.commit(10**15)
    assert wrongs(judged(log)) == (0, 0, 1)


def test_progress_ends_at_the_whole(log: HandmadeLog) -> None:
    log.inputs(10)
    log.answer(range(10))
    log.commit(10)
    told: list[tuple[int, int]] = []
    audit(log.settings, log.pipeline, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (told[-1][1], told[-1][1])
    assert told == sorted(told)


def try_of(
    log: HandmadeLog, offset: int, attempt: bytes, pipeline: bytes | None = None
) -> list[tuple[str, bytes | None]]:
    signed = [] if pipeline is None else [("pipeline", pipeline)]
    return [("source", f"{log.source}/0/{offset}".encode()), ("attempt", attempt), *signed]


def test_a_letter_that_was_tried_again_is_no_final_answer(log: HandmadeLog) -> None:
    log.inputs(4)
    log.answer([0, 1])
    log.answer([2, 3], topic=log.dead)
    log.write(try_of(log, 2, b"2"))
    log.write(try_of(log, 3, b"2"), topic=log.dead)
    log.write(try_of(log, 3, b"3"), topic=log.dead)
    log.commit(4)
    result = judged(log)
    assert result.ok
    assert (result.inputs, result.predictions, result.dead_letters) == (4, 3, 1)
    assert (result.redriven, result.parked) == (3, 1)


def test_a_try_whose_one_before_left_no_letter_is_unexplained_and_two_of_one_try_are_duplicated(
    log: HandmadeLog,
) -> None:
    log.inputs(3)
    log.answer([0, 1, 2], topic=log.dead)
    log.write(try_of(log, 0, b"3"))
    log.write(try_of(log, 1, b"2"))
    log.write(try_of(log, 1, b"2"), topic=log.dead)
    log.write(try_of(log, 2, b"two"))
    log.commit(3)
    result = judged(log)
    assert wrongs(result) == (0, 1, 2)
    assert result.duplicated_examples == (f"{log.source}/0/1",)
    assert f"{log.source}/0/0 is answered at try 3, and try 2 left no letter" in result.unexplained_examples


def test_letters_of_another_pipeline_are_not_counted(log: HandmadeLog) -> None:
    log.inputs(2)
    log.answer([0, 1])
    log.write(try_of(log, 0, b"1", b"another"), topic=log.dead)
    log.write([("pipeline", b"another"), *try_of(log, 1, b"1")], topic=log.dead)  # the record's own header says nothing
    log.commit(2)
    result = judged(log)
    assert wrongs(result) == (0, 1, 0)
    assert result.duplicated_examples == (f"{log.source}/0/1",)


def test_a_replay_into_the_live_topic_is_neither_an_answer_nor_a_second_one(log: HandmadeLog) -> None:
    log.inputs(4)
    log.answer([0, 1])
    log.answer([2], topic=log.dead)
    for offset in range(4):
        log.write([*try_of(log, offset, b"1"), ("replay", b"1f0c2a9b")])
    log.write([*try_of(log, 2, b"1"), ("replay", b"1f0c2a9b")], topic=log.dead)
    log.write([("replay", b"theirs"), *try_of(log, 2, b"2")])  # the record's own header says nothing
    log.commit(4)
    result = judged(log)
    assert wrongs(result) == (1, 0, 0)
    assert result.missing_examples == (f"{log.source}/0/3",)
    assert (result.inputs, result.predictions, result.dead_letters, result.redriven) == (4, 3, 0, 1)
