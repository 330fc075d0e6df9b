"""Histories against a recount of ten lines, whatever comes in and wherever a state is stored and read back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Refused
from app.features import views
from app.features.history import History
from app.features.once import Once
from app.features.recent import CUT_AT, Recent
from tests.unit.features.logs import LATENESS_MS, Burst, Event, counts, events_of, logs

HISTORY = History("h", item="item", keep=5, within_ms=100, lateness_ms=LATENESS_MS)
AGO = (-500, -1, 0, 1, LATENESS_MS)

kept = st.sampled_from([1, 2, 5, 80])
repeats = st.sampled_from([None, 0, 15, 60])


def view(keep: int, repeats_ms: int | None) -> History:
    return replace(HISTORY, keep=keep, once=None if repeats_ms is None else Once("name", repeats_ms))


def oracle(taken: list[Event], time_ms: int, *, of: History) -> tuple[tuple[str, ...]]:
    """Looks at everything that ever counted."""
    inside = [event for event in taken if time_ms - of.within_ms < event.time_ms <= time_ms]
    return (tuple(event.item for event in sorted(inside, key=lambda event: event.time_ms)[-of.keep :]),)


def stored(state: Recent[str], of: History = HISTORY) -> Recent[str]:
    again = of.unpack(of.pack(state))
    again.next_offset = state.next_offset  # the blob's prefix, which is not the view's
    return again


@given(logs, kept, repeats)
def test_every_read_that_is_promised_equals_a_recount(log: list[Burst], keep: int, repeats_ms: int | None) -> None:
    of = view(keep, repeats_ms)
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


@given(logs, kept, repeats)
def test_what_is_stored_does_not_tell_where_it_was_stored_before(
    log: list[Burst], keep: int, repeats_ms: int | None
) -> None:
    of = view(keep, repeats_ms)
    straight, stopping = of.new(), of.new()
    for event, burst in events_of(log):
        of.fold(straight, event, event.time_ms)
        of.fold(stopping, event, event.time_ms)
        if burst and burst.stored:
            stopping = stored(stopping, of)
    assert of.pack(stopping) == of.pack(straight)


def test_a_late_event_behind_many_newer_ones_is_in_the_read_of_its_own_time() -> None:
    state = HISTORY.new()
    for time_ms in (0, *range(101, 121)):
        HISTORY.fold(state, Event(f"at {time_ms}", 0, "", time_ms), time_ms)
    state = stored(state)
    HISTORY.fold(state, Event("late", 0, "", 100), 100)
    assert HISTORY.read(state, 100) == (("late",),)  # 0 lies exactly a span back
    assert HISTORY.read(state, 103) == (("late", "at 101", "at 102", "at 103"),)
    assert HISTORY.read(state, 120) == (tuple(f"at {time_ms}" for time_ms in range(116, 121)),)


def test_what_no_late_read_can_reach_is_not_stored() -> None:
    state = HISTORY.new()
    for time_ms in (0, *range(60, 70), 100):
        HISTORY.fold(state, Event("x", 0, "", time_ms), time_ms)
    # A read at 80 goes back five items, to 65, and not beyond.
    assert list(stored(state).times) == [65, 66, 67, 68, 69, 100]


def test_an_entity_that_never_rests_takes_bounded_memory() -> None:
    of = view(5, 60)
    state = of.new()
    for time_ms in range(10_000):
        of.fold(state, Event("x", 0, str(time_ms), time_ms), time_ms)
    assert len(state.times) == len(state.entries) <= of.keep + LATENESS_MS + CUT_AT + 1
    assert len(state.seen.times) <= 2 * (60 + LATENESS_MS + 1)


def test_a_state_of_nothing_reads_as_no_items_and_packs_to_nothing() -> None:
    assert HISTORY.read(HISTORY.new(), 5) == ((),)
    assert HISTORY.pack(HISTORY.new()) == b""
    assert not HISTORY.unpack(b"").times


def test_the_layout_of_a_stored_state_is_what_redis_holds_already() -> None:
    """Another layout would misread the states that are stored: raise FOLD_VERSION with it."""
    state = HISTORY.new()
    for item, time_ms in (("50", 1_522_540_831_000), ("é", 1_522_540_831_007)):
        HISTORY.fold(state, Event(item, 0, "", time_ms), time_ms)
    assert HISTORY.pack(state).hex() == "94cf000001627e81611892000792a23530a2c3a980"


WHOLE = bytes.fromhex("94cf000001627e81611892000792a23530a2c3a980")


@pytest.mark.parametrize(
    "blob",
    [
        *(WHOLE[:length] for length in range(1, len(WHOLE))),
        WHOLE + b"\x00",
        b"\x00" * 40,
        b"\xff" * 40,
        b'{"items":[]}',
        WHOLE.replace(b"\x92\x00\x07", b"\x92\x00\xff"),  # back in time
        WHOLE.replace(b"\x92\x00\x07", b"\x92\x01\x07"),  # no first
        WHOLE.replace(b"\x92\x00\x07", b"\x91\x00"),  # one time less
        WHOLE.replace(b"\xa250", b"\x05"),  # a number for an item
        bytes.fromhex("940190908000"),
        bytes.fromhex("9401909080"),  # of nothing
    ],
    ids=lambda blob: blob.hex()[:60],
)
def test_bytes_that_are_no_history_are_refused(blob: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        HISTORY.unpack(blob)


@given(st.binary(max_size=60))
def test_whatever_the_bytes_there_is_a_state_or_a_value_error(blob: bytes) -> None:
    try:
        state = HISTORY.unpack(blob)
    except ValueError:
        return
    assert len(state.times) == len(state.entries)


def test_the_digest_of_a_declaration_never_changes_by_itself() -> None:
    """Another digest makes every state anew from the log at the next start."""
    assert HISTORY.digest == "3f6abb6995ee9403"


@pytest.mark.parametrize(
    "changed",
    [
        replace(HISTORY, name="v"),
        replace(HISTORY, item="name"),
        replace(HISTORY, keep=6),
        replace(HISTORY, within_ms=101),
        replace(HISTORY, lateness_ms=21),
        replace(HISTORY, once=Once("name", 0)),
        replace(HISTORY, once=Once("name", 1)),
        replace(HISTORY, once=Once("item", 0)),
    ],
)
def test_a_state_that_means_something_else_has_another_digest(changed: History) -> None:
    others = {replace(HISTORY).digest, replace(HISTORY, once=Once("name", 2)).digest}
    assert changed.digest not in others


def test_a_fold_of_another_version_has_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "FOLD_VERSION", views.FOLD_VERSION + 1)
    assert replace(HISTORY).digest != HISTORY.digest


@pytest.mark.parametrize("wrong", [{"keep": 0}, {"within_ms": 0}, {"lateness_ms": -1}])
def test_a_history_that_could_hold_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="The history h needs"):
        replace(HISTORY, **wrong)


def test_once_within_less_than_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="Once by name needs"):
        Once("name", -1)


def test_the_events_fields_that_it_needs_are_named() -> None:
    assert HISTORY.fields == ("item",)
    assert replace(HISTORY, once=Once("name", 1)).fields == ("item", "name")


def test_a_state_is_described_in_words() -> None:
    state = HISTORY.new()
    for number in range(7):
        HISTORY.fold(state, Event(f"i{number}", 0, "", 1000 + number), 1000 + number)
    told = HISTORY.describe(state)
    assert told == {"items": 5, "newest_ms": 1006, "last_items": ["i2", "i3", "i4", "i5", "i6"]}
    assert HISTORY.describe(HISTORY.new()) == {"items": 0, "newest_ms": None, "last_items": []}
