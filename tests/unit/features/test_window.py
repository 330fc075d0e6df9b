"""Windows against a recount of ten lines, whatever comes in and wherever a state is stored and read back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Refused
from app.features import views
from app.features.once import Once
from app.features.views import PRUNE_AT
from app.features.window import Window, WindowState
from tests.unit.features import logs as logged
from tests.unit.features.logs import Event, counts, events_of, logs


class Amount(NamedTuple):
    """An event, as far as a window looks at it."""

    cents: int


WINDOW = Window("w", amount="cents", spans_ms={"short": 10, "middle": 30, "long": 100}, lateness_ms=20)


@dataclass(frozen=True)
class Burst:
    """`count` events at one time. `step_ms` leads there from the newest event; `stored`: the state was in Redis."""

    step_ms: int
    cents: int
    count: int = 1
    stored: bool = False


def oracle(events: list[tuple[int, int]], time_ms: int) -> tuple[float, ...]:
    """Recounts everything that was ever folded."""
    row: list[float] = []
    for span in WINDOW.spans_ms.values():
        inside = [cents for at, cents in events if time_ms - span < at <= time_ms]
        row += [float(len(inside)), sum(inside) / len(inside) / WINDOW.unit if inside else 0.0]
    return tuple(row)


def stored(state: WindowState) -> WindowState:
    again = WINDOW.unpack(WINDOW.pack(state))
    again.next_offset = state.next_offset  # the blob's prefix, which is not the view's
    return again


steps = st.one_of(st.integers(0, 12), st.integers(-20, 40), st.integers(0, 300))
cents = st.one_of(st.integers(0, 10_000), st.integers(-(10**12), 10**12), st.just(0))
bursts = st.builds(Burst, steps, cents, st.one_of(st.just(1), st.integers(1, PRUNE_AT)), st.booleans())


@given(st.lists(bursts, max_size=25))
def test_every_read_that_is_promised_equals_a_recount(log: list[Burst]) -> None:
    state, events, newest = WINDOW.new(), list[tuple[int, int]](), 0
    state.next_offset = 77
    for burst in log:
        time_ms = newest + max(burst.step_ms, -WINDOW.lateness_ms)
        for _ in range(burst.count):
            in_order = all(at <= time_ms for at, _ in events)
            events.append((time_ms, burst.cents))
            assert WINDOW.fold(state, Amount(burst.cents), time_ms) is in_order
            assert WINDOW.read(state, time_ms) == oracle(events, time_ms)
        newest = max(newest, time_ms)
        state = stored(state) if burst.stored else state
        for ago in (-500, -1, 0, 1, WINDOW.lateness_ms):
            assert WINDOW.read(state, newest - ago) == oracle(events, newest - ago)
    assert state.next_offset == 77


@given(logs, st.sampled_from([0, 15, 60]))
def test_an_event_that_the_log_has_again_is_counted_once(log: list[logged.Burst], repeats_ms: int) -> None:
    once = replace(WINDOW, amount="number", once=Once("name", repeats_ms))
    state, straight, taken, newest = once.new(), once.new(), list[Event](), 0
    for event, burst in events_of(log):
        in_order = all(other.time_ms <= event.time_ms for other in taken)
        taken += [event] if counts(taken, event, repeats_ms) else []
        newest = max(newest, event.time_ms)
        assert once.fold(state, event, event.time_ms) is in_order
        once.fold(straight, event, event.time_ms)
        if burst:
            state = once.unpack(once.pack(state)) if burst.stored else state
            for ago in (-500, -1, 0, 1, WINDOW.lateness_ms):
                counted = [(event.time_ms, event.number) for event in taken]
                assert once.read(state, newest - ago) == oracle(counted, newest - ago)
    assert once.pack(state) == once.pack(straight)


def test_ids_are_in_a_blob_only_where_repeats_are_looked_for() -> None:
    once = replace(WINDOW, amount="number", once=Once("name", 10))
    state = once.new()
    once.fold(state, Event("a", 5, "id-1", 1000), 1000)
    blob = once.pack(state)
    plain = WINDOW.new()
    WINDOW.fold(plain, Amount(5), 1000)
    assert once.fields == ("number", "name")
    assert once.unpack(blob).times == [1000]
    assert WINDOW.pack(plain) in blob
    for wrong in (*(blob[:length] for length in range(1, len(blob))), WINDOW.pack(plain), b"\x92\xc4\x00\x80", b"\xff"):
        with pytest.raises(ValueError):  # noqa: PT011
            once.unpack(wrong)
    assert once.pack(once.new()) == b""


@given(st.lists(bursts, min_size=1, max_size=25))
def test_a_state_that_was_stored_is_the_same_state(log: list[Burst]) -> None:
    state, newest = WINDOW.new(), 0
    for burst in log:
        time_ms = newest + max(burst.step_ms, -WINDOW.lateness_ms)
        for _ in range(burst.count):
            WINDOW.fold(state, Amount(burst.cents), time_ms)
        newest = max(newest, time_ms)
    blob = WINDOW.pack(state)
    again = WINDOW.unpack(blob)
    assert again.times == state.times
    assert again.amounts == state.amounts
    assert WINDOW.pack(again) == blob


def test_the_window_is_open_behind_and_closed_in_front() -> None:
    state = WINDOW.new()
    for time_ms in (1000, 1010):
        WINDOW.fold(state, Amount(100), time_ms)
    assert WINDOW.read(state, 1009)[:2] == (1.0, 1.0)
    assert WINDOW.read(state, 1010)[:2] == (1.0, 1.0)  # 1000 lies exactly a span back, 1010 is included


def test_a_state_of_nothing_reads_as_noughts_and_packs_to_nothing() -> None:
    assert WINDOW.read(WINDOW.new(), 5) == (0.0,) * 6
    assert WINDOW.pack(WINDOW.new()) == b""
    assert WINDOW.unpack(b"").times == []


def test_an_entity_that_never_rests_takes_bounded_memory() -> None:
    state = WINDOW.new()
    for time_ms in range(10_000):
        WINDOW.fold(state, Amount(1), time_ms)
    horizon = WINDOW.within_ms + WINDOW.lateness_ms
    assert len(state.times) <= horizon + PRUNE_AT
    assert len(state.amounts) == len(state.times)


def test_what_is_out_of_the_horizon_is_not_stored() -> None:
    state = WINDOW.new()
    for time_ms in (0, 1, 120, 121):
        WINDOW.fold(state, Amount(7), time_ms)
    assert WINDOW.unpack(WINDOW.pack(state)).times == [120, 121]  # 121 - 100 - 20 and before are gone


def test_the_order_of_columns_is_that_of_the_spans() -> None:
    assert WINDOW.columns == (
        "w_count_short",
        "w_mean_short",
        "w_count_middle",
        "w_mean_middle",
        "w_count_long",
        "w_mean_long",
    )


@pytest.mark.parametrize(
    ("events", "blob"),
    [
        # A letter for the width of numbers, the first time, the steps from it, the sums before each and after the last.
        (
            [(1_522_540_831_000, 5716), (1_522_540_831_007, 1)],
            "491861817e620100000000000007000000000000005416000055160000",
        ),
        (
            [(1_522_540_831_000, -1), (1_522_540_831_007, 1 << 32)],
            "711861817e62010000000000000000000007000000000000000000000000000000ffffffffffffffffffffffff00000000",
        ),
    ],
    ids=["narrow", "wide"],
)
def test_the_layout_of_a_stored_state_is_what_redis_holds_already(events: list[tuple[int, int]], blob: str) -> None:
    """Another layout would misread the states that are stored: raise FOLD_VERSION with it."""
    state = WINDOW.new()
    for time_ms, amount in events:
        WINDOW.fold(state, Amount(amount), time_ms)
    assert WINDOW.pack(state).hex() == blob


def test_the_digest_of_a_declaration_never_changes_by_itself() -> None:
    """Another digest makes every state anew from the log at the next start."""
    assert WINDOW.digest == "99ff54b13f84ee9c"


@pytest.mark.parametrize(
    "changed",
    [
        replace(WINDOW, spans_ms={**WINDOW.spans_ms, "long": 101}),
        replace(WINDOW, spans_ms={"short": 10, "middle": 30}),
        replace(WINDOW, spans_ms={"little": 10, "middle": 30, "long": 100}),
        replace(WINDOW, lateness_ms=21),
        replace(WINDOW, amount="time_ms"),
        replace(WINDOW, name="v"),
        replace(WINDOW, once=Once("name", 0)),
    ],
    ids=["a longer span", "a span less", "a span's name", "lateness", "field", "name", "repeats"],
)
def test_a_state_that_means_something_else_has_another_digest(changed: Window) -> None:
    assert changed.digest != WINDOW.digest


def test_a_fold_of_another_version_has_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "FOLD_VERSION", views.FOLD_VERSION + 1)
    assert replace(WINDOW).digest != WINDOW.digest


@pytest.mark.parametrize(
    "wrong",
    [{"spans_ms": {}}, {"spans_ms": {"a": 10, "b": 0}}, {"spans_ms": {"a": -1}}, {"unit": 0}, {"lateness_ms": -1}],
)
def test_a_window_that_could_count_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="The window w needs"):
        replace(WINDOW, **wrong)


def test_a_state_is_described_in_words() -> None:
    state = WINDOW.new()
    WINDOW.fold(state, Amount(250), 1000)
    told = WINDOW.describe(state)
    assert (told["events"], told["newest_ms"]) == (1, 1000)
    assert told["as_of_newest"] == dict(zip(WINDOW.columns, (1.0, 2.5) * 3, strict=True))
    assert WINDOW.describe(WINDOW.new()) == {"events": 0, "newest_ms": None, "as_of_newest": {}}
