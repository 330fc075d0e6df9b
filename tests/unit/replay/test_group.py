"""Asking about a group whose coordinator is not there yet."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.errors import Unavailable
from app.replay.group import answered


def refused(code: int) -> Future[str]:
    future: Future[str] = Future()
    future.set_exception(KafkaException(KafkaError(code)))
    return future


def given(answer: str) -> Future[str]:
    future: Future[str] = Future()
    future.set_result(answer)
    return future


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._WAIT_COORD,
    ],
)
def test_a_coordinator_that_is_on_its_way_is_asked_again(code: int) -> None:
    answers = [refused(code), refused(code), given("here")]

    assert answered(lambda _: answers.pop(0), group="fraud", patience_s=10.0) == "here"


def test_a_coordinator_that_never_comes_is_told_in_time() -> None:
    began = time.monotonic()

    with pytest.raises(Unavailable, match="the group fraud"):
        answered(lambda _: refused(KafkaError.COORDINATOR_NOT_AVAILABLE), group="fraud", patience_s=0.2)
    assert time.monotonic() - began < 5.0


def test_any_other_refusal_is_told_at_once() -> None:
    answers = [refused(KafkaError.GROUP_AUTHORIZATION_FAILED)]

    with pytest.raises(Unavailable, match="the group fraud"):
        answered(lambda _: answers.pop(0), group="fraud", patience_s=10.0)


def test_no_answer_at_all_is_told_in_time() -> None:
    with pytest.raises(Unavailable, match="has not answered"):
        answered(lambda _: Future(), group="fraud", patience_s=0.1)
