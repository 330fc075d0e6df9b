"""What deaths say about records: nothing at first, then score alone, then condemn; and what commits take back."""

from __future__ import annotations

from app.stream.pulse import Suspected
from app.stream.suspects import Suspects


def batch(partition: int, first: int, after: int) -> Suspected:
    return Suspected({partition: (first, after)})


def alone(partition: int, offset: int) -> Suspected:
    return Suspected({partition: (offset, offset + 1)}, alone=True)


def test_one_death_says_nothing() -> None:
    suspects = Suspects()
    assert suspects.died(batch(0, 10, 20), from_outside=False) is None
    assert suspects.verdict.alone == {}


def test_two_deaths_over_the_same_offsets_have_them_scored_alone() -> None:
    suspects = Suspects()
    suspects.died(Suspected({0: (10, 20), 1: (5, 9)}), from_outside=True)
    suspects.died(Suspected({0: (15, 30)}), from_outside=True)
    assert suspects.verdict.alone == {0: (15, 30)}
    assert suspects.verdict.condemned == []


def test_two_deaths_over_other_offsets_say_nothing() -> None:
    suspects = Suspects()
    for noted in (batch(0, 10, 20), batch(0, 20, 30), batch(1, 10, 20)):
        suspects.died(noted, from_outside=False)
    assert suspects.verdict.alone == {}


def test_a_death_alone_condemns_the_record() -> None:
    suspects = Suspects()
    assert suspects.died(alone(2, 7), from_outside=False) == (2, 7)
    assert suspects.verdict.condemned == [(2, 7)]


def test_a_kill_that_may_have_come_from_outside_condemns_at_the_second_time_only() -> None:
    suspects = Suspects()
    assert suspects.died(alone(2, 7), from_outside=True) is None
    assert suspects.died(alone(2, 8), from_outside=True) is None
    assert suspects.verdict.condemned == []
    assert suspects.died(alone(2, 7), from_outside=True) == (2, 7)


def test_what_is_committed_is_forgotten() -> None:
    suspects = Suspects()
    for _ in range(2):
        suspects.died(batch(0, 10, 20), from_outside=False)
    suspects.died(alone(0, 12), from_outside=False)
    suspects.committed(0, 12)
    suspects.committed(1, 100)
    assert (suspects.verdict.alone, suspects.verdict.condemned) == ({0: (10, 20)}, [(0, 12)])
    suspects.committed(0, 20)
    assert (suspects.verdict.alone, suspects.verdict.condemned) == ({}, [])
    suspects.died(batch(0, 10, 20), from_outside=False)
    assert suspects.verdict.alone == {}
