"""The audit on a log that was written by hand: it finds what is wrong, and nothing that is right."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import Refused, Unavailable
from app.replay.audit import AuditResult, Looked, audit
from app.settings import Settings
from tests.contract.handmade import WAIT_S, HandmadeLog

pytestmark = pytest.mark.broker


@pytest.fixture
def log(kafka: str, tmp_path: Path, topic_name: Callable[..., str]) -> HandmadeLog:
    return HandmadeLog(kafka, tmp_path, topic_name)


def judged(log: HandmadeLog, patience_s: float = 30.0) -> AuditResult:
    return audit(log.settings, log.pipeline, patience_s=patience_s)


def wrongs(result: AuditResult) -> tuple[int, int, int]:
    return result.missing, result.duplicated, result.unexplained


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


def test_work_that_commits_while_the_audit_runs_is_not_unexplained(log: HandmadeLog) -> None:
    log.inputs(5)
    log.answer(range(3))
    log.commit(3)
    holding = log.transaction()
    log.answer([0], topic=log.scored, partition=0, within=holding)  # aborted below: it only holds the end back
    log.answer([3])  # visible once the transaction before it has ended, which is after the ends were read

    ended: list[bool] = []

    def end_once(done: int, total: int) -> None:
        if not ended:
            ended.append(True)
            holding.abort_transaction(WAIT_S)

    result = audit(log.settings, log.pipeline, progress=end_once, patience_s=30)
    assert ended
    assert result.ok
    assert (result.inputs, result.predictions) == (3, 3)


def test_a_transaction_whose_markers_are_late_is_waited_for(log: HandmadeLog) -> None:
    """The group has it already, the answers' partition does not show it yet."""
    log.inputs(3)
    late = log.transaction()
    log.answer(range(3), within=late)
    log.commit(3)

    ended: list[bool] = []

    def end_once(done: int, total: int) -> None:
        if not ended:
            ended.append(True)
            late.commit_transaction(WAIT_S)

    result = audit(log.settings, log.pipeline, progress=end_once, patience_s=30)
    assert result.ok
    assert result.predictions == 3


def test_aborted_answers_are_no_answers(log: HandmadeLog) -> None:
    log.inputs(4)
    aborted = log.transaction()
    log.answer(range(4), within=aborted)
    aborted.abort_transaction(WAIT_S)
    log.answer([0, 1, 2])
    log.commit(4)
    result = judged(log)
    assert wrongs(result) == (1, 0, 0)
    assert result.predictions == 3


def test_aborted_inputs_and_markers_are_no_inputs(log: HandmadeLog) -> None:
    """Offsets 0-1 committed, 2 marker, 3-4 aborted, 5 marker: no record ever comes after the last visible one."""
    for abort in (False, True):
        producer = log.transaction()
        for _ in range(2):
            producer.produce(log.source, b"{}", partition=0)
        assert producer.flush(WAIT_S) == 0
        if abort:
            producer.abort_transaction(WAIT_S)
        else:
            producer.commit_transaction(WAIT_S)
    log.answer([0, 1])
    log.commit(6)
    result = judged(log)
    assert result.ok
    assert result.inputs == 2


def test_an_answer_to_an_aborted_input_is_unexplained(log: HandmadeLog) -> None:
    producer = log.transaction()
    producer.produce(log.source, b"{}", partition=0)
    assert producer.flush(WAIT_S) == 0
    producer.abort_transaction(WAIT_S)
    log.answer([0])
    log.commit(2)
    result = judged(log)
    assert wrongs(result) == (0, 0, 1)
    assert result.unexplained_examples == (f"{log.source}/0/0 is answered and not there",)


def test_an_open_transaction_on_the_answers_is_named_where_it_does_not_end(log: HandmadeLog) -> None:
    log.inputs(2)
    log.answer([0])
    hanging = log.transaction()
    log.answer([1], within=hanging)
    log.commit(2)
    with pytest.raises(Unavailable, match=rf"transaction on {log.scored}/0 has been open at offset 2 for 2 s"):
        judged(log, patience_s=2)
    hanging.abort_transaction(WAIT_S)


def test_an_offset_in_an_open_transaction_is_waited_for_and_then_named(log: HandmadeLog) -> None:
    log.inputs(2)
    log.answer([0])
    log.commit(1)
    hanging = log.transaction()
    log.answer([1], within=hanging)
    log.commit(2, within=hanging)
    with pytest.raises(Unavailable, match=rf"offset of {log.source}/0 .* in an open transaction for 2 s"):
        judged(log, patience_s=2)
    hanging.commit_transaction(WAIT_S)
    result = judged(log)
    assert result.ok
    assert result.inputs == 2


def test_answers_to_deleted_inputs_are_left_out(log: HandmadeLog) -> None:
    log.inputs(10)
    log.answer(range(10))
    log.answer([1])
    log.commit(10)
    log.delete_before(log.source, 4)
    result = judged(log)
    assert result.ok
    assert (result.inputs, result.predictions) == (6, 6)
    assert result.looked[0] == Looked(0, 4, 10)


def test_inputs_older_than_what_is_left_of_the_answers_are_left_out(log: HandmadeLog) -> None:
    log.inputs(5)
    log.answer(range(5))
    between = time.time_ns() // 1_000_000 + 2
    while time.time_ns() // 1_000_000 <= between:  # record times are the broker's clock, in milliseconds
        log.inputs(0)
    log.inputs(5)
    log.answer(range(5, 10))
    log.commit(10)
    log.delete_before(log.scored, 3)  # the answers to 0, 1, 2
    result = judged(log)
    assert result.ok
    assert result.looked[0] == Looked(0, 5, 10)
    assert (result.inputs, result.predictions) == (5, 5)


def test_answers_that_are_all_deleted_are_refused(log: HandmadeLog) -> None:
    log.inputs(1)
    log.answer([0])
    log.commit(1)
    log.delete_before(log.scored, 1)
    with pytest.raises(Refused, match=rf"All records of {log.scored}/0 were deleted"):
        judged(log)


def test_what_is_written_after_the_ends_were_read_is_left_to_the_next_audit(log: HandmadeLog) -> None:
    log.inputs(3)
    log.answer(range(3))
    log.commit(3)
    told: list[int] = []

    def answer_again(done: int, total: int) -> None:
        if not told:
            log.answer([0])
        told.append(done)

    assert audit(log.settings, log.pipeline, progress=answer_again).ok
    assert wrongs(judged(log)) == (0, 1, 0)


def test_records_that_are_deleted_while_they_are_read_make_no_verdict(log: HandmadeLog) -> None:
    log.inputs(3)
    log.answer(range(3))
    log.commit(3)
    with pytest.raises(Unavailable, match=rf"The oldest records of {log.source} were deleted while they were read"):
        audit(log.settings, log.pipeline, progress=lambda done, total: log.delete_before(log.source, 2))


def test_a_topic_that_is_not_there_is_refused_with_what_creates_it(log: HandmadeLog) -> None:
    elsewhere = replace(log.pipeline, answers=replace(log.pipeline.answers, name=f"{log.source}.none"))
    with pytest.raises(Refused, match=r"There is no topic .*\.none: `streaminfer topics apply`"):
        audit(log.settings, elsewhere)


def test_a_kafka_that_is_not_there_is_unavailable(log: HandmadeLog, tmp_path: Path) -> None:
    nowhere = Settings(kafka="127.0.0.1:1", redis="redis://127.0.0.1:1/0", home=tmp_path)
    with pytest.raises(Unavailable, match="see that it runs"):
        audit(nowhere, log.pipeline, patience_s=1)


def test_progress_ends_at_the_whole(log: HandmadeLog) -> None:
    log.inputs(10)
    log.answer(range(10))
    log.commit(10)
    told: list[tuple[int, int]] = []
    audit(log.settings, log.pipeline, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (told[-1][1], told[-1][1])
    assert told == sorted(told)
