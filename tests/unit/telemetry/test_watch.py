"""Questions that are asked again and again: what counts as an answer, and for how long."""

from __future__ import annotations

import threading

from app.errors import Unavailable
from app.telemetry.watch import GRACE_S, Question


class Service:
    """Answers while it is up, by a clock that a test turns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.up = True
        self.asked = 0
        self.question = Question("Kafka", self.ask, patience_s=3.0, every_s=2.0, clock=lambda: self.now)

    def ask(self) -> int:
        self.asked += 1
        self.now += 0.25
        if not self.up:
            raise Unavailable("Kafka does not answer at redis://:hunter22@k:1.")
        return self.asked


def test_before_the_first_answer_nothing_is_known() -> None:
    service = Service()

    assert (service.question.answer.value, service.question.answer.why) == (None, "Kafka has not answered yet.")
    service.now = 60.0
    assert service.question.answer.why == "Kafka has not answered for 60 s."


def test_an_answer_counts_and_how_long_it_took_is_known() -> None:
    service = Service()
    service.question.once()

    answer = service.question.answer
    assert (answer.value, answer.took_s, answer.why) == (1, 0.25, "")


def test_a_question_that_failed_takes_the_last_answer_away_at_once_and_tells_no_secret() -> None:
    service = Service()
    service.question.once()
    service.up = False
    service.question.once()

    assert service.question.answer.value is None
    assert service.question.answer.why == "Kafka does not answer at redis://***@k:1."
    service.up = True
    service.question.once()
    assert service.question.answer.value == 3


def test_what_a_client_of_a_service_raises_is_no_end_of_asking() -> None:
    def fail() -> bool:
        raise ValueError("of the client's own")

    question = Question("Kafka", fail)
    question.once()

    assert question.answer.why == "Kafka could not be asked (ValueError: of the client's own)."


def test_an_old_answer_is_none_though_the_next_question_never_ends() -> None:
    service = Service()
    service.question.once()
    service.now += 2.0 + 3.0 + GRACE_S
    assert service.question.answer.value == 1
    service.now += 0.1

    answer = service.question.answer
    assert (answer.value, answer.why) == (None, "Kafka has not answered for 7 s.")


def test_it_is_asked_until_it_is_stopped() -> None:
    enough = threading.Event()
    asked = []

    def ask() -> bool:
        asked.append(1)
        if len(asked) == 3:
            enough.set()
        return True

    question = Question("Redis", ask, every_s=0.001)
    question.start()
    assert enough.wait(10)
    question.stop()
    assert question.answer.value
