"""Last values against a recount, whatever comes in and wherever a state is stored and read back."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Refused
from app.features import views
from app.features.last import Last, Value, Values
from app.features.once import Once
from app.features.recent import CUT_AT, Recent
from tests.unit.features.logs import LATENESS_MS, Burst, Event, counts, events_of, logs

LAST = Last("l", values=("item", "number"), within_ms=100, age=True, lateness_ms=LATENESS_MS)
AGO = (-500, -1, 0, 1, LATENESS_MS)

repeats = st.sampled_from([None, 0, 15, 60])


def oracle(taken: list[Event], time_ms: int, *, of: Last) -> tuple[Value, ...]:
    """Looks at everything that ever counted."""
    end = time_ms - 1 if of.before else time_ms
    inside = [event for event in taken if time_ms - of.within_ms < event.time_ms <= end]
    if not inside:
        return (of.default, of.default, float(of.within_ms))
    newest = sorted(inside, key=lambda event: event.time_ms)[-1]
    return (newest.item, float(newest.number), float(time_ms - newest.time_ms))


def stored(state: Recent[Values], of: Last = LAST) -> Recent[Values]:
    again = of.unpack(of.pack(state))
    again.next_offset = state.next_offset
    return again


@given(logs, st.booleans(), repeats)
def test_every_read_that_is_promised_equals_a_recount(log: list[Burst], before: bool, repeats_ms: int | None) -> None:
    of = replace(LAST, before=before, once=None if repeats_ms is None else Once("name", repeats_ms))
    state, taken, newest = of.new(), list[Event](), 0
    state.next_offset = 77
    for event, burst in events_of(log):
        in_order = all(other.time_ms <= event.time_ms for other in taken)
        taken += [event] if counts(taken, event, repeats_ms) else []
        newest = max(newest, event.time_ms)
        assert of.fold(state, event, event.time_ms) is in_order
        if burst:
            assert of.read(state, event.time_ms) == oracle(taken, event.time_ms, of=of)
            state = stored(state, of) if burst.stored else state
            for ago in AGO:
                assert of.read(state, newest - ago) == oracle(taken, newest - ago, of=of)
    assert state.next_offset == 77


def test_of_two_at_one_time_the_one_later_in_the_log_is_the_last() -> None:
    state = LAST.new()
    for number in (1, 2):
        LAST.fold(state, Event(f"i{number}", number, "", 50), 50)
    assert LAST.read(state, 60) == ("i2", 2.0, 10.0)


def test_before_an_event_its_own_time_is_not_seen() -> None:
    of = replace(LAST, before=True)
    state = of.new()
    for time_ms in (10, 50, 50):
        of.fold(state, Event(f"at {time_ms}", 0, "", time_ms), time_ms)
    assert of.read(state, 50) == ("at 10", 0.0, 40.0)
    assert of.read(state, 51) == ("at 50", 0.0, 1.0)


def test_what_no_late_read_can_reach_is_not_stored() -> None:
    of, reaching = LAST, replace(LAST, before=True)
    for view, times in ((of, [80, 100]), (reaching, [70, 80, 100])):
        state = view.new()
        for time_ms in (60, 70, 80, 100):
            view.fold(state, Event("x", 0, "", time_ms), time_ms)
        assert list(stored(state, view).times) == times


def test_an_entity_that_never_rests_takes_bounded_memory() -> None:
    state = LAST.new()
    for time_ms in range(10_000):
        LAST.fold(state, Event("x", 0, "", time_ms), time_ms)
    assert len(state.times) == len(state.entries) <= 1 + LATENESS_MS + CUT_AT + 1


def test_a_state_of_nothing_reads_as_the_default_of_the_age_of_the_span() -> None:
    assert LAST.read(LAST.new(), 5) == (0.0, 0.0, 100.0)
    assert replace(LAST, default="none", age=False).read(LAST.new(), 5) == ("none", "none")
    assert LAST.pack(LAST.new()) == b""


def test_columns_are_named_by_the_fields() -> None:
    assert LAST.columns == ("l_item", "l_number", "l_age_ms")
    assert replace(LAST, age=False).columns == ("l_item", "l_number")
    assert replace(LAST, once=Once("name", 1)).fields == ("item", "number", "name")


def test_the_layout_of_a_stored_state_is_what_redis_holds_already() -> None:
    """Another layout would misread the states that are stored: raise FOLD_VERSION with it."""
    state = LAST.new()
    for number, time_ms in ((5, 1_522_540_831_000), (-1, 1_522_540_831_007)):
        LAST.fold(state, Event("é", number, "", time_ms), time_ms)
    assert (
        LAST.pack(state).hex() == "94cf000001627e8161189200079292a2c3a9cb401400000000000092a2c3a9cbbff000000000000080"
    )


@pytest.mark.parametrize("values", [["x"], ["x", 1.0, 2.0], [None, 1.0], [["x"], 1.0]], ids=str)
def test_bytes_with_other_values_than_declared_are_refused(values: list[Any]) -> None:
    state = LAST.new()
    state.times, state.entries = array("q", [5]), [values]
    with pytest.raises(ValueError):  # noqa: PT011
        LAST.unpack(LAST.pack(state))


@given(st.binary(max_size=60))
def test_whatever_the_bytes_there_is_a_state_or_a_value_error(blob: bytes) -> None:
    try:
        state = LAST.unpack(blob)
    except ValueError:
        return
    assert all(len(values) == 2 for values in state.entries)


def test_the_digest_of_a_declaration_never_changes_by_itself() -> None:
    """Another digest makes every state anew from the log at the next start."""
    assert LAST.digest == "72ef47404694ec06"


@pytest.mark.parametrize(
    "changed",
    [
        replace(LAST, name="v"),
        replace(LAST, values=("item",)),
        replace(LAST, values=("number", "item")),
        replace(LAST, within_ms=101),
        replace(LAST, before=True),
        replace(LAST, lateness_ms=21),
        replace(LAST, once=Once("name", 0)),
    ],
)
def test_a_state_that_means_something_else_has_another_digest(changed: Last) -> None:
    assert changed.digest != LAST.digest


def test_how_a_state_is_read_is_not_in_its_digest() -> None:
    assert replace(LAST, age=False, default=1.0).digest == LAST.digest


def test_a_fold_of_another_version_has_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "FOLD_VERSION", views.FOLD_VERSION + 1)
    assert replace(LAST).digest != LAST.digest


@pytest.mark.parametrize("wrong", [{"values": ()}, {"within_ms": 0}, {"lateness_ms": -1}])
def test_a_view_of_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="The view l needs"):
        replace(LAST, **wrong)


def test_a_state_is_described_in_words() -> None:
    state = LAST.new()
    LAST.fold(state, Event("a", 3, "", 1000), 1000)
    assert LAST.describe(state) == {"newest_ms": 1000, "newest": {"item": "a", "number": 3.0}}
    assert LAST.describe(LAST.new()) == {"newest_ms": None, "newest": {}}
