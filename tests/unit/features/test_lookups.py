"""Rows of a lookup, and the keys that they lie under."""

from __future__ import annotations

from array import array

from app.features.lookups import Field, Lookup
from tests.payments import event

LOOKUP = Lookup("terminal", key="terminal_id", fields=(Field("count"), Field("risk", default=0.5)))


def test_a_row_comes_back_as_the_float32_that_it_was_written_as() -> None:
    assert LOOKUP.unpack(LOOKUP.pack((3.0, 0.1))) == (3.0, array("f", [0.1])[0])


def test_a_row_is_four_bytes_a_field() -> None:
    assert LOOKUP.pack((1.0, -2.0)).hex() == "0000803f000000c0"


def test_bytes_of_another_width_are_no_row() -> None:
    for blob in (b"", b"1234567", b"123456789", LOOKUP.pack((1.0, 2.0)) * 2):
        assert LOOKUP.unpack(blob) is None


def test_what_stands_for_a_missing_row_is_declared_field_by_field() -> None:
    assert LOOKUP.columns == ("count", "risk")
    assert LOOKUP.defaults == (0.0, 0.5)


def test_an_event_s_entity_is_the_field_that_the_lookup_names() -> None:
    assert LOOKUP.entity(event("596", offset=0, terminal="77").event) == "77"


def test_builds_and_lookups_never_share_a_key() -> None:
    other = Lookup("shop", key="terminal_id", fields=LOOKUP.fields)
    keys = [it.row_key(build, entity) for it in (LOOKUP, other) for build in "ab" for entity in "12"]
    assert len({*keys, LOOKUP.pointer, other.pointer}) == 10
