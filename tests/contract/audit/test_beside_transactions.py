"""The audit beside transactions that are open, aborted, or end while it reads."""

from __future__ import annotations

import pytest

from app.errors import Unavailable
from app.replay.audit import audit
from tests.contract.audit.handmade import WAIT_S, HandmadeLog, judged, wrongs

pytestmark = pytest.mark.broker


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
