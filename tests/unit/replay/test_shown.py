"""Records as programs and people see them."""

from __future__ import annotations

import base64
import json

import pytest

from app.record import Record
from app.replay.shown import CUT, as_line, as_object
from tests.payments import payment, record


def value_of(value: bytes | None) -> object:
    return as_object(record(value))["value"]


def test_a_record_is_an_object_with_its_place_time_key_headers_and_value() -> None:
    found = as_object(Record("payments", 3, 7, 1_522_540_831_000, b"596", payment(), [("source", b"a/0/1")]))

    assert found == {
        "topic": "payments",
        "partition": 3,
        "offset": 7,
        "timestamp": 1_522_540_831_000,
        "key": "596",
        "headers": {"source": "a/0/1"},
        "value": json.loads(payment()),
    }


@pytest.mark.parametrize(
    "text", ["", "text", "[1]", "1", "null", '"a"', '{"a":', '{"a": NaN}', '{"a": Infinity}', '{"a":' * 5000, "{} x"]
)
def test_text_that_is_no_json_object_stays_text(text: str) -> None:
    assert value_of(text.encode()) == text


def test_a_tombstone_is_null_and_nothing_else() -> None:
    found = as_object(record(None, key=None))

    assert (found["value"], found["key"]) == (None, None)
    assert not any(name.endswith("_base64") for name in found)


def test_bytes_that_are_no_text_come_in_base64_beside_a_null() -> None:
    found = as_object(record(b"\xff\x00", key=b"\xfe"))

    assert (found["value"], found["key"]) == (None, None)
    assert base64.b64decode(found["value_base64"]) == b"\xff\x00"
    assert base64.b64decode(found["key_base64"]) == b"\xfe"


def test_a_header_that_comes_again_is_a_list_in_order() -> None:
    headers = [("source", b"theirs"), ("empty", None), ("bytes", b"\xff"), ("source", b"ours")]

    assert as_object(record(payment(), headers=headers))["headers"] == {
        "source": ["theirs", "ours"],
        "empty": None,
        "bytes": {"base64": base64.b64encode(b"\xff").decode()},
    }


def test_numbers_come_through_as_they_are() -> None:
    whole = {"a": 0.1, "b": 10**30 + 1}

    assert value_of(json.dumps(whole).encode()) == whole


def test_a_line_says_where_when_who_and_what() -> None:
    line = as_line(record(b"{}", partition=2, offset=9, timestamp_ms=1_522_540_831_005))

    assert line == "payments/2/9  2018-04-01 00:00:31.005Z  596  {}"


def test_a_line_of_a_dead_letter_ends_with_our_reason_and_not_a_foreign_one() -> None:
    line = as_line(record(b"x", headers=[("reason", b"theirs"), ("reason", b"The value is not JSON.")]))

    assert line.endswith("x  <- The value is not JSON.")


def test_a_line_names_what_is_not_there() -> None:
    assert as_line(record(None, key=None)).endswith("  no key  (tombstone)")


def test_a_line_is_cut_where_a_value_is_long() -> None:
    assert as_line(record(b"x" * (CUT + 1))).endswith(f"x … ({CUT + 1:,} bytes)")
