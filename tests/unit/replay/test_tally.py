"""One final answer for each input: how tries form a chain, and what is wrong with those that do not."""

from __future__ import annotations

import pytest

from app.replay.log import Span
from app.replay.tally import Findings, Tally

SCORED, DEAD = "scored", "dead"
P, L = SCORED, DEAD


def judged(*answers: tuple[str, int], attempts: int = 3, visible: bool = True) -> Findings:
    """One input at offset 7 of ten inputs, the others of which have a prediction; `answers` by topic and try."""
    tally = Tally("payments/0", Span(0, 10), (SCORED, DEAD), letters=DEAD, attempts=attempts)
    others = [offset for offset in range(10) if offset != 7]
    tally.see([*others, 7] if visible else others)
    tally.answered(SCORED, others)
    for topic, attempt in answers:
        if attempt == 1:
            tally.answered(topic, [7])
        else:
            tally.tried_again(topic, 7, attempt)
    findings = Findings()
    tally.report(findings)
    return findings


def wrongs(found: Findings) -> tuple[int, int, int]:
    return found.missing.count, found.duplicated.count, found.unexplained.count


@pytest.mark.parametrize(
    ("answers", "counts"),
    [
        pytest.param([(P, 1)], (10, 0, 0, 0), id="a prediction at once"),
        pytest.param([(L, 1)], (9, 1, 0, 0), id="a dead letter"),
        pytest.param([(L, 1), (P, 2)], (10, 0, 1, 0), id="a letter and then a prediction"),
        pytest.param([(P, 2), (L, 1)], (10, 0, 1, 0), id="whichever is read first"),
        pytest.param([(L, 1), (L, 2)], (9, 1, 1, 0), id="two letters"),
        pytest.param([(L, 1), (L, 2), (P, 3)], (10, 0, 2, 0), id="two letters and then a prediction"),
        pytest.param([(L, 1), (L, 2), (L, 3)], (9, 1, 2, 1), id="a letter that is parked"),
    ],
)
def test_a_chain_of_tries_is_one_final_answer(
    answers: list[tuple[str, int]], counts: tuple[int, int, int, int]
) -> None:
    found = judged(*answers)
    assert wrongs(found) == (0, 0, 0)
    assert (found.answers[SCORED], found.answers[DEAD], found.redriven, found.parked) == counts
    assert found.inputs == found.answers[SCORED] + found.answers[DEAD]


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        pytest.param([], (1, 0, 0), id="none"),
        pytest.param([(P, 1), (P, 1)], (0, 1, 0), id="two predictions at once"),
        pytest.param([(P, 1), (L, 1)], (0, 1, 0), id="a prediction and a letter of one try"),
        pytest.param([(L, 1), (L, 1)], (0, 1, 0), id="two letters of the first try"),
        pytest.param([(L, 1), (L, 2), (L, 2)], (0, 1, 0), id="two letters of a later try"),
        pytest.param([(L, 1), (P, 2), (P, 2)], (0, 1, 0), id="two predictions of a later try"),
        pytest.param([(L, 1), (P, 2), (L, 2)], (0, 1, 0), id="a prediction and a letter of a later try"),
        pytest.param([(L, 1), (L, 1), (P, 2)], (0, 1, 0), id="two letters and one prediction after them"),
        pytest.param([(L, 1), (L, 2), (P, 2), (P, 3)], (0, 1, 0), id="two predictions of two tries"),
        pytest.param([(P, 2)], (0, 0, 1), id="a later try of nothing"),
        pytest.param([(L, 1), (P, 3)], (0, 0, 1), id="a try that skips one"),
        pytest.param([(P, 1), (P, 2)], (0, 1, 1), id="a later try of a prediction"),
        pytest.param([(P, 1), (L, 2)], (0, 0, 1), id="a later letter of a prediction"),
    ],
)
def test_what_is_no_chain_is_told_apart(answers: list[tuple[str, int]], wrong: tuple[int, int, int]) -> None:
    assert wrongs(judged(*answers)) == wrong


def test_a_later_try_of_what_is_not_there_is_unexplained() -> None:
    assert wrongs(judged((L, 1), (P, 2), visible=False)) == (0, 0, 2)


def test_a_letter_is_parked_by_the_tries_that_are_declared() -> None:
    assert judged((L, 1), (L, 2), attempts=2).parked == 1
    assert judged((L, 1), (L, 2), attempts=3).parked == 0


def test_what_is_not_judged_is_not_counted_though_it_was_tried_again() -> None:
    tally = Tally("payments/0", Span(0, 10), (SCORED, DEAD), letters=DEAD, attempts=3)
    tally.see([7])
    tally.tried_again(SCORED, 7, 2)
    tally.judge_since(8)
    findings = Findings()
    tally.report(findings)
    assert wrongs(findings) == (0, 0, 0)
