"""When two states of one entity count as the same: where every read that both promise sees the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from app.features.outcomes import Outcomes, OutcomesState
from app.replay.alike import alike

DAY_MS = 86_400_000
VIEW = Outcomes(
    "terminal",
    amount="fraud",
    at="at",
    id="id",
    spans_ms={"1d": DAY_MS},
    delay_ms=DAY_MS,
    measures={"count": "count"},
    keep_ms=0,
)


@dataclass(frozen=True)
class Outcome:
    id: str
    at: int
    fraud: bool


def folded(view: Outcomes, days: Sequence[int], *, wrong: int = -1) -> OutcomesState:
    state = view.new()
    for day in days:
        view.fold(state, Outcome(str(day), day * DAY_MS, day == wrong), (day + 1) * DAY_MS)
    return view.unpack(view.pack(state))


@pytest.mark.parametrize("keep_days", [None, 0, 3])
def test_how_much_each_run_kept_makes_no_difference(keep_days: int | None) -> None:
    other = replace(VIEW, keep_ms=None if keep_days is None else keep_days * DAY_MS)
    assert alike(VIEW, folded(other, range(20)), folded(VIEW, range(20)))
    assert alike(other, folded(VIEW, range(20)), folded(other, range(20)))


@pytest.mark.parametrize(("wrong", "same"), [(19, False), (18, True)])
def test_what_both_kept_must_be_the_same_to_the_last_outcome(wrong: int, same: bool) -> None:
    more = replace(VIEW, keep_ms=None)
    assert alike(VIEW, folded(more, range(20), wrong=wrong), folded(VIEW, range(20))) is same
    assert not alike(more, folded(more, range(20), wrong=wrong), folded(more, range(20)))


def test_a_state_that_is_one_event_behind_is_another() -> None:
    assert not alike(VIEW, folded(VIEW, range(19)), folded(VIEW, range(20)))
