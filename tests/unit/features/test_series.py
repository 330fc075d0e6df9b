"""A series against a plain sorted list, whatever comes in and however wide its numbers are."""

from __future__ import annotations

from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.features.series import NARROW, WIDE, Series

times = st.one_of(st.integers(0, 50), st.integers(-(2**40), 2**40))
amounts = st.one_of(st.integers(0, 10), st.integers(-(2**40), 2**40))


@given(st.lists(st.tuples(times, amounts), max_size=60), st.integers(0, 70))
def test_events_lie_in_order_of_time_then_log_and_come_back_from_bytes(log: list[tuple[int, int]], gone: int) -> None:
    series, plain = Series(), list[tuple[int, int]]()
    for at, amount in log:
        place = bisect_right(plain, at, key=lambda event: event[0])
        plain.insert(place, (at, amount))
        assert series.add(at, amount) == place
    series.drop(gone)
    del plain[:gone]
    again = Series()
    again.fill(series.pack())
    for one in (series, again):
        assert list(zip(one.times, one.amounts, strict=True)) == plain
    for at, _ in log:
        assert again.until(at) == bisect_right(plain, at, key=lambda event: event[0])


def test_numbers_are_narrow_until_one_does_not_fit() -> None:
    series = Series()
    series.add(1_000, 2**32 - 1)
    assert (series.steps.typecode, series.sums.typecode) == (NARROW, NARROW)
    series.add(1_001, 1)
    assert (series.steps.typecode, series.sums.typecode) == (WIDE, WIDE)
    assert (series.times, series.amounts) == ([1_000, 1_001], [2**32 - 1, 1])


def test_what_no_width_holds_is_refused_and_changes_nothing() -> None:
    series = Series()
    series.add(0, 2**62)
    for time_ms, amount in ((1, 2**62), (-1, 2**62), (2**64, 1)):
        with pytest.raises(OverflowError):
            series.add(time_ms, amount)
    assert (series.times, series.amounts) == ([0], [2**62])


@pytest.mark.parametrize(
    "body", [b"I", b"q1234567", b"Z" + bytes(16), b"I" + bytes(12), b"I" + bytes(8), b"I" + bytes(17)]
)
def test_bytes_that_pack_never_made_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"layout is unknown|cut short|multiple"):
        Series().fill(body)
