"""Where the audit can judge only in part, or not at all, it says so."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import Refused, Unavailable
from app.replay.audit import Looked, audit
from app.settings import Settings
from tests.contract.audit.handmade import HandmadeLog, judged

pytestmark = pytest.mark.broker


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


def test_records_that_are_deleted_while_they_are_read_make_no_verdict(log: HandmadeLog) -> None:
    log.inputs(3)
    log.answer(range(3))
    log.commit(3)

    def delete(done: int, total: int) -> None:
        log.delete_before(log.source, 2)

    with pytest.raises(Unavailable, match=rf"The oldest records of {log.source} were deleted while they were read"):
        audit(log.settings, log.pipeline, progress=delete)


def test_a_topic_that_is_not_there_is_refused_with_what_creates_it(log: HandmadeLog) -> None:
    elsewhere = replace(log.pipeline, answers=replace(log.pipeline.answering, name=f"{log.source}.none"))
    with pytest.raises(Refused, match=r"There is no topic .*\.none: `streaminfer topics apply`"):
        audit(log.settings, elsewhere)


def test_a_kafka_that_is_not_there_is_unavailable(log: HandmadeLog, tmp_path: Path) -> None:
    nowhere = Settings(kafka="127.0.0.1:1", redis="redis://127.0.0.1:1/0", home=tmp_path)
    with pytest.raises(Unavailable, match="see that it runs"):
        audit(nowhere, log.pipeline, patience_s=1)
