"""Outcomes against a recount of ten lines: nothing is counted before it was known, and nothing that was is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Refused
from app.features.outcomes import Outcomes
from app.features.views import PRUNE_AT


class Outcome(NamedTuple):
    """What became of payment `id`, made at `at`, known at `known`."""

    id: str
    at: int
    fraud: bool
    known: int


DELAY = 70
VIEW = Outcomes(
    "o",
    amount="fraud",
    at="at",
    id="id",
    spans_ms={"short": 10, "middle": 70, "long": 300},
    delay_ms=DELAY,
    measures={"count": "count", "risk": "mean"},
    keep_ms=None,
)


def oracle(outcomes: list[Outcome], time_ms: int) -> tuple[float, ...]:
    """Looks at every outcome anew: those that were known, of payments in the span."""
    row: list[float] = []
    for span in VIEW.spans_ms.values():
        until = time_ms - DELAY
        inside = [o.fraud for o in outcomes if o.known <= time_ms and until - span < o.at <= until]
        row += [float(len(inside)), sum(inside) / len(inside) if inside else 0.0]
    return tuple(row)


# How much later than usual it was known: mostly not at all, sometimes early, sometimes far too late.
delays = st.one_of(st.just(0), st.integers(-DELAY, 5), st.integers(0, 500))
payments = st.tuples(st.integers(0, 800), delays, st.booleans())


def known_in_order(payments: list[tuple[int, int, bool]]) -> list[Outcome]:
    made = [Outcome(str(i), at, fraud, at + DELAY + late) for i, (at, late, fraud) in enumerate(payments)]
    return sorted(made, key=lambda outcome: outcome.known)


@given(st.lists(payments, max_size=40), st.booleans())
def test_a_read_is_what_was_known_at_that_time_wherever_it_is_read_from(
    payments: list[tuple[int, int, bool]], stored: bool
) -> None:
    outcomes = known_in_order(payments)
    state = VIEW.new()
    for outcome in outcomes:
        assert VIEW.repeat(state, outcome) is None
        VIEW.fold(state, outcome, outcome.known)
        if stored:
            state = VIEW.unpack(VIEW.pack(state))
    for time_ms in {o.known + step for o in outcomes for step in (-1, 0, 1, 10, 300)}:
        assert VIEW.read(state, time_ms) == oracle(outcomes, time_ms), time_ms


@given(st.lists(payments, min_size=1, max_size=40), st.integers(0, 100))
def test_what_is_read_never_changes_with_what_becomes_known_later(
    payments: list[tuple[int, int, bool]], keep: int
) -> None:
    """Protocol C1: what lies before the newest known time cannot change, so that a reader may keep it."""
    view = replace(VIEW, keep_ms=keep)
    state = view.new()
    told: dict[int, tuple[float, ...]] = {}
    for outcome in known_in_order(payments):
        view.fold(state, outcome, outcome.known)
        told = {t: row for t, row in told.items() if view.is_whole(state, t)}
        for time_ms, row in told.items():
            assert view.read(state, time_ms) == row
        for ago in (1, keep // 2 + 1, keep + 1):  # an event at the newest time itself may still come
            told.setdefault(outcome.known - ago, view.read(state, outcome.known - ago))
        state = view.unpack(view.pack(state))


def test_the_delay_is_exact_at_both_ends_of_a_span() -> None:
    state = VIEW.new()
    VIEW.fold(state, Outcome("1", 1000, True, 1000 + DELAY), 1000 + DELAY)
    counts = {t: VIEW.read(state, t)[0] for t in (1069, 1070, 1079, 1080)}
    assert counts == {1069: 0.0, 1070: 1.0, 1079: 1.0, 1080: 0.0}


def test_a_chargeback_counts_from_when_it_was_known_and_not_from_when_others_are() -> None:
    state = VIEW.new()
    VIEW.fold(state, Outcome("1", 1000, True, 1200), 1200)
    assert [VIEW.read(state, t)[4] for t in (1070, 1199, 1200, 1369, 1370)] == [0.0, 0.0, 1.0, 1.0, 0.0]


def test_an_outcome_that_no_read_can_look_back_on_takes_no_room() -> None:
    state = VIEW.new()
    VIEW.fold(state, Outcome("1", 1000, True, 1000 + VIEW.within_ms), 1000 + VIEW.within_ms)
    assert len(state) == 0
    assert VIEW.unpack(VIEW.pack(state)).newest_ms == 1000 + VIEW.within_ms


def test_the_same_outcome_twice_is_told_from_one_that_contradicts_it() -> None:
    state = VIEW.new()
    first = Outcome("1", 1000, True, 1070)
    VIEW.fold(state, first, first.known)
    assert VIEW.repeat(state, first) == "repeated"
    assert VIEW.repeat(state, first._replace(fraud=False, known=1300)) == "contradicted"
    assert VIEW.repeat(state, first._replace(id="2")) is None
    assert VIEW.repeat(state, first._replace(at=1001)) is None


def test_a_read_below_what_was_kept_says_so() -> None:
    view = replace(VIEW, keep_ms=50)
    state = view.new()
    for known in (1000, 2000):
        view.fold(state, Outcome(str(known), known - DELAY, False, known), known)
    state = view.unpack(view.pack(state))
    assert (view.is_whole(state, 1949), view.is_whole(state, 1950)) == (False, True)
    forever = replace(VIEW, keep_ms=None)
    assert forever.is_whole(forever.unpack(forever.pack(forever.new())), 0)


def test_an_entity_that_never_rests_takes_bounded_memory() -> None:
    view = replace(VIEW, keep_ms=0)
    state = view.new()
    for i in range(5_000):
        view.fold(state, Outcome(str(i), i, False, i + DELAY + 3), i + DELAY + 3)
    assert len(state) == len(state.ids) <= view.within_ms + PRUNE_AT
    assert len(state.slow) <= view.within_ms + PRUNE_AT


@pytest.mark.parametrize("cut", [1, 20, 24, 40, 60, -1])
def test_a_blob_that_was_cut_short_is_refused(cut: int) -> None:
    state = VIEW.new()
    for i in range(4):
        VIEW.fold(state, Outcome(str(i), i, True, i + 200), i + 200)
    with pytest.raises(ValueError, match=r"cut short|layout|multiple|shorter|longer"):
        VIEW.unpack(VIEW.pack(state)[:cut])


@pytest.mark.parametrize(
    "wrong",
    [{"spans_ms": {}}, {"spans_ms": {"a": 0}}, {"delay_ms": -1}, {"lateness_ms": -1}, {"measures": {}}, {"keep_ms": -1},
     {"measures": {"x": "median"}}],
)  # fmt: skip
def test_a_view_that_could_count_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="The view o "):
        replace(VIEW, **wrong)


def test_how_much_is_kept_does_not_change_what_a_state_means() -> None:
    assert replace(VIEW, keep_ms=5).digest == VIEW.digest
    assert replace(VIEW, delay_ms=5).digest != VIEW.digest
