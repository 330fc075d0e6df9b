"""What parity calls the same, and what it does not: each kind of difference is found, and told."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from app.errors import Fatal
from app.simulate.offline import FEATURES, Floats, offline_features
from app.simulate.payments import Payments
from tests.parity.answers import Answers
from tests.parity.compare import Again, compare, compare_again, differing, in_one_second
from tests.parity.report import MOST_MARKED, Report


class Message:
    """A record as the client gives it, as far as parity looks."""

    def __init__(self, **fields: Any) -> None:
        self._value = msgspec.json.encode(fields)

    def value(self) -> bytes:
        return self._value


@pytest.fixture
def payments() -> Payments:
    """Five payments, two of them by one customer in one second."""
    columns = ([10, 20, 20, 30, 40], [1, 2, 2, 1, 2], [5, 5, 6, 6, 5], [100, 250, 333, 475, 510], [0, 0, 1, 0, 0])
    return Payments(*(np.array(column, np.int64) for column in columns))


@pytest.fixture
def offline(payments: Payments) -> dict[str, Floats]:
    return offline_features(payments)


def answer(offline: dict[str, Floats], row: int, *marks: str, **other: float) -> Any:
    features = {name: float(offline[name][row]) for name in FEATURES} | other
    return Message(event_id=str(row), score=0.1, features=features, marks=marks)


def answers_of(offline: dict[str, Floats], **other: float) -> Answers:
    """An answer to each payment as it should be, but the third has `other`."""
    found = Answers.of(5)
    found.take([answer(offline, row, **(other if row == 2 else {})) for row in range(5)])
    return found


def test_answers_that_are_the_offline_values_do_not_differ(offline: dict[str, Floats]) -> None:
    columns = compare(answers_of(offline), offline)
    assert [column.name for column in columns] == list(FEATURES)
    assert {(column.compared, len(column.differs), column.largest) for column in columns} == {(5, 0, 0.0)}
    assert next(column.telling for column in columns if column.name == "customer_count_1d") == 5
    assert next(column.telling for column in columns if column.name == "terminal_count_1d") == 0


@pytest.mark.parametrize(
    ("name", "value", "by", "found"),
    [
        ("customer_count_1d", 3.0, 1.0, True),
        ("customer_count_1d", 3.0, 1e-12, True),
        ("weekend", 1.0, 1e-12, True),
        ("customer_mean_1d", 3.0, 3.1e-9, True),
        ("customer_mean_1d", 3.0, 2.9e-9, False),
        ("terminal_risk_7d", 0.5, 1.1e-9, True),
        ("terminal_risk_7d", 0.5, 0.9e-9, False),
        ("amount", 3.0, float("nan"), True),
    ],
)
def test_a_whole_number_must_be_met_exactly_and_a_quotient_nearly(
    name: str, value: float, by: float, found: bool
) -> None:
    assert differing(name, np.array([value + by]), np.array([value])).tolist() == [found]


def test_one_value_that_is_off_is_found_and_named_by_its_payment(offline: dict[str, Floats]) -> None:
    columns = compare(answers_of(offline, terminal_count_7d=1.0), offline)
    assert {column.name: column.differs.tolist() for column in columns if len(column.differs)} == {
        "terminal_count_7d": [2]
    }
    report = Report()
    report.features(columns, [1, 2])
    assert report.wrong == ["terminal_count_7d differs in 1 prediction: 2."]
    assert not report.holds


def test_payments_of_one_customer_in_one_second_are_listed_and_not_let_off(
    payments: Payments, offline: dict[str, Floats]
) -> None:
    second = in_one_second(payments)
    assert second.tolist() == [1, 2]
    report = Report()
    report.features(compare(answers_of(offline, customer_count_1d=1.0), offline), second.tolist())
    assert report.wrong == ["customer_count_1d differs in 1 prediction: 2."]
    assert report.facts["payments in one second"] == [1, 2]


def test_a_payment_without_an_answer_and_one_with_two_are_told(offline: dict[str, Floats]) -> None:
    found = Answers.of(5)
    found.take([answer(offline, row) for row in (0, 1, 1, 3, 4)])
    report = Report()
    report.answered("first run", found)
    assert report.wrong == ["first run: 1 payment got no prediction.", "first run: 1 payment got more than one."]
    assert [len(column.differs) for column in compare(found, offline)] == [1] * len(FEATURES)


def test_a_dead_letter_is_told(offline: dict[str, Floats]) -> None:
    found = answers_of(offline)
    found.dead_letters = 2
    report = Report()
    report.answered("first run", found)
    assert report.wrong == ["first run: 2 records became dead letters."]


def test_an_answer_to_nothing_that_was_sent_ends_it(offline: dict[str, Floats]) -> None:
    with pytest.raises(Fatal, match="never sent"):
        Answers.of(3).take([answer(offline, 4)])


def test_other_bytes_in_an_unmarked_answer_are_found_and_marked_ones_are_counted(offline: dict[str, Floats]) -> None:
    first, second = answers_of(offline), Answers.of(5)
    second.take([answer(offline, 0), answer(offline, 1, "behind"), answer(offline, 2, amount=3.34)])
    second.take([answer(offline, 3)])
    found = compare_again(first, second)
    assert (found.marked, found.differs.tolist()) == (1, [2, 4])  # the last has none at all
    report = Report()
    report.again(found, {"fraud": 3, "fraud-labels": 1}, second)
    assert report.wrong == [
        "20.00% of the predictions bear a mark after kills.",
        "2 predictions with other bytes after kills: 2, 4.",
    ]


def test_a_run_in_which_nobody_was_killed_proves_nothing(offline: dict[str, Floats]) -> None:
    report = Report()
    report.again(Again(0, np.array([], np.int64)), {"fraud": 3, "fraud-labels": 0}, answers_of(offline))
    assert report.wrong == ["A run was over before a worker of it was killed."]
    assert MOST_MARKED < 0.01
