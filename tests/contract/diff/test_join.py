"""Two topics joined by the input that each answer names, on a real broker."""

from __future__ import annotations

import random

import pytest

from app.errors import Refused, Unavailable
from app.replay.diff import Kind, compare
from app.replay.diff_join import Side
from app.replay.log import Span
from tests.contract.diff.sides import WAIT_S, Sides
from tests.unit.replay.differing import answer

pytestmark = pytest.mark.broker


def test_each_input_is_of_one_kind_whatever_became_of_it(sides: Sides) -> None:
    """Offsets of partition 0; the partition 1 holds one that is the same on both sides."""
    sides.inputs(9)
    sides.inputs(1, partition=1)
    same, old, new = answer(0.1), answer(0.2), answer(0.8, version=2)
    sides.answer(sides.old, [(0, same), (1, old), (2, old), (3, old), (5, old)])
    sides.answer(sides.new, [(0, same), (1, new), (4, new), (6, new)])
    sides.answer(sides.new, [(3, answer(0.3, marks=["behind"]))])
    code = [("code", b"bad-json")]
    sides.answer(sides.old_dead, [(6, b"?"), (7, b"?")], headers=code)
    sides.answer(sides.new_dead, [(5, b"?"), (7, b"?")], headers=code)
    sides.answer(sides.old, [(0, same)], partition=1)
    sides.answer(sides.new, [(0, same)], partition=1)

    found = sides.compared()
    assert found.kinds == {
        Kind.IDENTICAL: 2,
        Kind.BY_MODEL: 1,
        Kind.MISSING_NEW: 1,
        Kind.EXPECTED: 1,
        Kind.MISSING_OLD: 1,
        Kind.PREDICTION_TO_LETTER: 1,
        Kind.LETTER_TO_PREDICTION: 1,
        Kind.LETTERS: 1,
    }
    assert found.examples[Kind.MISSING_NEW] == [f"{sides.source}/0/2"]
    assert found.examples[Kind.PREDICTION_TO_LETTER] == [f"{sides.source}/0/5: bad-json"]
    assert found.scores is not None
    assert found.scores.whole.to_alert.count == 1


def test_aborted_answers_are_no_answers(sides: Sides) -> None:
    sides.inputs(2)
    sides.answer(sides.old, [(0, answer(0.1)), (1, answer(0.1))])
    aborted = sides.transaction()
    sides.answer(sides.new, [(0, answer(0.9)), (1, answer(0.9))], within=aborted)
    aborted.abort_transaction(WAIT_S)
    committed = sides.transaction()
    sides.answer(sides.new, [(0, answer(0.1))], within=committed)
    committed.commit_transaction(WAIT_S)
    assert sides.compared().kinds == {Kind.IDENTICAL: 1, Kind.MISSING_NEW: 1}


def test_an_answer_that_comes_again_is_told_and_the_first_one_counts(sides: Sides) -> None:
    sides.inputs(2)
    sides.answer(sides.old, [(0, answer(0.1)), (0, answer(0.5)), (1, answer(0.1)), (0, answer(0.7))])
    sides.answer(sides.new, [(0, answer(0.1)), (1, answer(0.1)), (1, answer(0.1))])
    found = sides.compared()
    assert found.kinds == {Kind.IDENTICAL: 2}
    assert found.duplicated == (2, 1)


def test_a_dead_letter_that_was_answered_after_all_is_no_answer_of_its_own(sides: Sides) -> None:
    sides.inputs(1)
    sides.answer(sides.old_dead, [(0, b"?")])
    sides.answer(sides.old, [(0, answer(0.1))])
    sides.answer(sides.new, [(0, answer(0.1))])
    assert sides.compared().kinds == {Kind.IDENTICAL: 1}


def test_only_the_offsets_that_are_compared_count_and_strangers_do_not(sides: Sides) -> None:
    sides.inputs(6)
    sides.answer(sides.old, [(i, answer(0.1)) for i in range(6)])
    sides.answer(sides.new, [(i, answer(0.1)) for i in range(2, 4)])
    sides.answer(sides.new, [(2, answer(0.1))], headers=[("source", b"elsewhere/0/2")])
    for source in (b"elsewhere/0/2", b"x", b"", f"{sides.source}/0/-2".encode(), f"{sides.source}/9/2".encode()):
        producer = sides.transaction()
        producer.produce(sides.new, b"{}", partition=0, headers=[("source", source)])
        producer.commit_transaction(WAIT_S)
    found = sides.compared({0: Span(2, 4)})
    assert found.kinds == {Kind.IDENTICAL: 2}
    assert found.duplicated == (0, 1)


def test_answers_of_a_replay_on_the_same_topic_are_told_by_their_header(sides: Sides) -> None:
    sides.inputs(2)
    sides.answer(sides.old, [(0, answer(0.1)), (1, answer(0.1))])
    sides.answer(sides.old, [(0, answer(0.9, version=2))], headers=[("replay", b"x1")])
    sides.answer(sides.old, [(0, answer(0.7, version=3))], headers=[("replay", b"other")])
    found = sides.compared(old=Side(sides.old, None, ""), new=Side(sides.old, None, "x1"))
    assert found.kinds == {Kind.BY_MODEL: 1, Kind.MISSING_NEW: 1}
    assert found.duplicated == (0, 0)
    assert found.models[1] == {"fraud@2": 1}


@pytest.mark.parametrize("held", [1_000_000, 50])
def test_order_and_partitions_make_no_difference_and_memory_is_bounded(sides: Sides, held: int) -> None:
    """The new side has other partitions than the old one, and no order; `held` bounds what waits in memory."""
    count = 2_000
    sides.inputs(count)
    other = f"{sides.new}.wide"
    sides.make({other: 3}, {})
    shuffled = list(range(count))
    random.Random(7).shuffle(shuffled)
    sides.answer(sides.old, [(i, b"%d" % i) for i in range(count) if i % 10])
    for at in range(3):
        sides.answer(other, [(i, b"%d" % i) for i in shuffled if i % 3 == at and i % 7], at=at)
    pairs = sides.pairs(held=held, new=Side(other))
    assert [pair.place[1] for pair in pairs] == [i for i in range(count) if i % 10 or i % 7]
    for pair in pairs:
        nth = pair.place[1]
        assert (pair.old, pair.new) == (b"%d" % nth if nth % 10 else None, b"%d" % nth if nth % 7 else None)


def test_old_answers_that_are_deleted_are_said_to_be(sides: Sides) -> None:
    sides.inputs(3)
    sides.answer(sides.old, [(i, answer(0.1)) for i in range(3)])
    sides.answer(sides.new, [(i, answer(0.1)) for i in range(3)])
    sides.delete_before(sides.old, 1)
    found = sides.compared()
    assert found.kinds == {Kind.MISSING_OLD: 1, Kind.IDENTICAL: 2}
    assert found.deleted == (True, False)


def test_a_topic_that_is_not_there_is_refused(sides: Sides) -> None:
    with pytest.raises(Refused, match="There is no topic nothing"):
        sides.compared(new=Side("nothing"))


def test_a_transaction_that_does_not_end_is_named(sides: Sides) -> None:
    sides.inputs(1)
    hanging = sides.transaction()
    sides.answer(sides.new, [(0, answer(0.1))], within=hanging)
    with pytest.raises(Unavailable, match=rf"transaction on {sides.new}/0 has been open"):
        compare(sides.settings, sides.asked(), patience_s=1.5)
    hanging.abort_transaction(WAIT_S)
