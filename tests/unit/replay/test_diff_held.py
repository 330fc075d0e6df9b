"""What waits for its other half is the same, be it in memory or in the file."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.replay.diff_held import Held

places = st.tuples(st.integers(0, 2), st.integers(0, 6))
steps = st.lists(st.tuples(st.sampled_from(["put", "pop"]), places, st.binary(max_size=4)), max_size=60)


@given(steps=steps, most=st.integers(0, 4))
@settings(max_examples=100)
def test_it_holds_what_a_dictionary_would(steps: list[tuple[str, tuple[int, int], bytes]], most: int) -> None:
    wanted: dict[tuple[int, int], bytes] = {}
    with contextlib.closing(Held(most)) as held:
        for step, place, value in steps:
            if step == "put":
                held.put(place, value)
                wanted[place] = value
            else:
                assert held.pop(place) == wanted.pop(place, None)
            assert len(held) == len(wanted)
        assert list(held.items()) == sorted(wanted.items())


@pytest.mark.parametrize("most", [10, 2])
def test_a_place_that_is_put_twice_has_its_last(most: int) -> None:
    with contextlib.closing(Held(most)) as held:
        for offset in range(5):
            held.put((0, offset), b"old")
        held.put((0, 1), b"new")
        assert len(held) == 5
        assert held.pop((0, 1)) == b"new"
        assert held.pop((0, 1)) is None
