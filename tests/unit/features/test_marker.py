"""The marker as it is stored, and what is none."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.features.marker import Marker, decode_marker, new_build

MARKER = Marker("kX-1", 6, "0a1b", "da73", since=17, next=1234, newest_ms=1_522_540_831_000)
texts = st.text(st.characters(exclude_categories=["Cs"]))
offsets, times = st.integers(0, 2**62), st.integers(-(2**53), 2**53)
markers = st.builds(
    Marker, texts, st.integers(1, 10_000), texts, texts, offsets, offsets, times, st.one_of(st.none(), times)
)


@given(markers)
def test_a_marker_comes_back_as_it_was_and_is_stored_in_the_same_bytes(marker: Marker) -> None:
    """The fence compares bytes, so that a marker which was read must be written the same."""
    found = decode_marker(marker.encode())
    assert found == marker
    assert found.encode() == marker.encode()


def test_the_layout_is_what_redis_holds_already() -> None:
    assert MARKER.encode() == (
        b'{"topic_id":"kX-1","partitions":6,"build":"0a1b","digest":"da73","since":17,"next":1234,'
        b'"newest_ms":1522540831000,"oldest_ms":null,"ended":false}'
    )


@pytest.mark.parametrize("value", [b"", b"1", b"{}", b"\xff", b'{"topic_id":1}', MARKER.encode()[:-1]])
def test_other_bytes_are_no_marker(value: bytes) -> None:
    assert decode_marker(value) is None


def test_a_state_that_was_folded_on_is_the_same_state() -> None:
    assert msgspec.structs.replace(MARKER, next=2000, newest_ms=1_522_540_832_000, oldest_ms=1).same_state(MARKER)


@pytest.mark.parametrize("name", ["topic_id", "build", "digest"])
def test_another_topic_build_or_declaration_is_another_state(name: str) -> None:
    assert not msgspec.structs.replace(MARKER, **{name: "another"}).same_state(MARKER)


def test_no_two_builds_have_one_name() -> None:
    assert len({new_build() for _ in range(1000)}) == 1000
