"""Rows of a lookup, and the keys that they lie under."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from app.errors import RecordError, Refused
from app.features.lookups import Field, HashLookup, JsonLookup, Lookup, Stored, loaded_ms
from app.features.reader import Ask
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
    assert LOOKUP.answer(None, 0) == ((0.0, 0.5), ("defaulted",))


def test_an_event_s_entity_is_the_field_that_the_lookup_names() -> None:
    assert LOOKUP.entity(event("596", offset=0, terminal="77").event) == "77"


def test_builds_and_lookups_never_share_a_key() -> None:
    other = Lookup("shop", key="terminal_id", fields=LOOKUP.fields)
    keys = [it.row_key(build, entity) for it in (LOOKUP, other) for build in "ab" for entity in "12"]
    assert len({*keys, LOOKUP.pointer, other.pointer}) == 10


def test_a_number_of_a_row_that_is_none_is_missing_alone() -> None:
    noted: list[tuple[str, str]] = []
    blob = array("f", (2.0, float("nan"))).tobytes()
    assert LOOKUP.unpack(blob, lambda word, field: noted.append((word, field))) == (2.0, None)
    assert noted == [("not-a-number", "risk")]
    assert LOOKUP.answer((2.0, None), 0) == ((2.0, 0.5), ("defaulted",))


def test_a_builds_name_says_when_it_was_loaded_and_another_name_nothing() -> None:
    assert loaded_ms("20180401T120000Z-ab12cd") == 1_522_584_000_000
    assert loaded_ms("b1") is None


# -- what stands for what is missing or too old ------------------------------------------------------------------------

DAY_MS = 86_400_000


def of(missing: Any, max_age_ms: int | None = DAY_MS) -> HashLookup:
    fields = (Field("risk", 0.5, missing, max_age_ms), Field("count", 7.0))
    return HashLookup("shop", "shop_id", fields, rows="shop:{entity}", written_at="at")


@pytest.mark.parametrize(
    ("missing", "values", "age_ms", "answer"),
    [
        ("default", (0.25, 1.0), DAY_MS, ((0.25, 1.0), ())),
        ("default", (None, 1.0), 0, ((0.5, 1.0), ("defaulted",))),
        ("default", (0.25, 1.0), DAY_MS + 1, ((0.5, 1.0), ("defaulted", "stale"))),
        ("default", None, 0, ((0.5, 7.0), ("defaulted",))),
        ("degrade", (None, 1.0), 0, ((0.5, 1.0), ("degraded",))),
        ("degrade", (0.25, None), DAY_MS + 1, ((0.5, 7.0), ("degraded", "stale", "defaulted"))),
        ("degrade", None, 0, ((0.5, 7.0), ("degraded", "defaulted"))),
        ("required", (0.25, None), DAY_MS, ((0.25, 7.0), ("defaulted",))),
        ("default", (0.25, 1.0), float("inf"), ((0.5, 1.0), ("defaulted", "stale"))),  # it does not say its time
        ("default", (0.25, 1.0), -DAY_MS, ((0.25, 1.0), ())),  # written after the record
    ],
)
def test_each_field_is_answered_as_it_is_declared(missing: Any, values: Any, age_ms: float, answer: Any) -> None:
    assert of(missing).answer(values, age_ms) == answer


@pytest.mark.parametrize(
    ("values", "age_ms", "code"),
    [(None, 0, "missing"), ((None, 1.0), 0, "missing"), ((0.25, 1.0), DAY_MS + 1, "too-old")],
)
def test_a_required_field_that_cannot_be_used_is_a_dead_letter(values: Any, age_ms: float, code: str) -> None:
    with pytest.raises(RecordError) as refused:
        of("required").answer(values, age_ms)
    assert (refused.value.stage, refused.value.code) == ("features", code)
    assert "risk" in refused.value.reason


def test_nobody_waits_for_a_lookup_only_where_every_field_degrades() -> None:
    assert not of("degrade").degrades
    assert HashLookup("s", "k", (Field("a", missing="degrade"),), rows="{entity}").degrades


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: HashLookup("s", "k", (Field("a"),), rows="feature"), "need one {entity} in their key"),
        (lambda: JsonLookup("s", "k", (Field("a"),), rows="{entity}{entity}"), "need one {entity} in their key"),
        (lambda: HashLookup("s", "k", (Field("a", max_age_ms=1),), rows="{entity}"), "in which field its rows tell"),
        (lambda: HashLookup("s", "k", (Field("a"),), rows="{entity}", keep_s=-1), "for less than no time"),
        (lambda: Field("a", float("nan")), "must be a finite number"),
        (lambda: Field("a", max_age_ms=-1), "below nothing"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_when_it_is_made(wrong: Any, words: str) -> None:
    with pytest.raises(Refused, match=words):
        wrong()


# -- hashes and JSON ---------------------------------------------------------------------------------------------------

FIELDS = (Field("risk"), Field("n", type="int"), Field("vip", type="bool", stored_as="is_vip"))
NONE_IS_A_NUMBER = [("not-a-number", field) for field in ("risk", "n", "vip")]
HASH = HashLookup("shop", "shop_id", FIELDS, rows="shop:{entity}", written_at="at")
JSON = JsonLookup("shop", "shop_id", FIELDS, rows="{shops}:{entity}", written_at="at")


class Noted(list[tuple[str, str]]):
    """What was noted, in order."""

    def __call__(self, word: str, field: str) -> None:
        self.append((word, field))


def test_only_what_is_declared_is_asked_for() -> None:
    assert HASH.ask(["1", "a{b}"]) == Ask(["shop:1", "shop:a{b}"], ("risk", "n", "is_vip", "at"))
    assert JSON.ask(["1"]) == Ask(["{shops}:1"], None)


@pytest.mark.parametrize(
    ("found", "values", "noted"),
    [
        ([b"0.5", b"3", b"true", b"17"], (0.5, 3.0, 1.0), []),
        ([b" 5e-1 ", b"3.0", b"0", b"17"], (0.5, 3.0, 0.0), []),
        ([b"0.5", None, b"FALSE", b"17"], (0.5, None, 0.0), [("no-field", "n")]),
        ([b"half", b"3.5", b"yes", b"17"], (None, None, None), NONE_IS_A_NUMBER),
        ([b"nan", b"1e400", b"2", b"17"], (None, None, None), NONE_IS_A_NUMBER),
        ([b"1_0", b"9007199254740993", b"", b"17"], (None, None, None), NONE_IS_A_NUMBER),
        ([b"1e39", b"-0", b"1", b"17"], (None, 0.0, 1.0), [("not-a-number", "risk")]),
        ([b"\xff\xff", b"1", b"1", b"17"], (None, 1.0, 1.0), [("not-a-number", "risk")]),
    ],
)  # fmt: skip
def test_a_hashs_fields_are_numbers_or_missing_one_by_one(found: Any, values: Any, noted: Any) -> None:
    told = Noted()
    assert HASH.parse(found, told) == Stored(values, 17)
    assert told == noted


@pytest.mark.parametrize(
    ("time", "written_ms"), [(None, None), (b"", None), (b"soon", None), (b"1.5", None), (b"9", 9)]
)
def test_a_row_whose_time_cannot_be_read_does_not_say_it(time: bytes | None, written_ms: int | None) -> None:
    told = Noted()
    assert HASH.parse([b"1", b"1", b"1", time], told).written_ms == written_ms
    assert told == ([] if written_ms else [("no-time", "at")])


def test_a_hash_that_is_not_there_and_a_key_that_is_no_hash_are_no_rows() -> None:
    told = Noted()
    assert [HASH.parse(found, told) for found in ([None] * 4, None)] == [Stored(None, None)] * 2
    assert told == [("no-row", ""), ("wrong-type", "")]


@pytest.mark.parametrize(
    ("found", "values", "noted"),
    [
        (b'{"risk":0.5,"n":3,"is_vip":true,"at":17}', (0.5, 3.0, 1.0), []),
        (b'{"at":17,"n":3.0,"is_vip":0,"risk":1,"more":{"deep":[1]}}', (1.0, 3.0, 0.0), []),
        (b'{"risk":"0.5","n":3,"is_vip":true,"at":17}', (None, 3.0, 1.0), [("not-a-number", "risk")]),
        (b'{"risk":true,"n":1e300,"is_vip":2,"at":17}', (None, None, None), NONE_IS_A_NUMBER),
        (b'{"risk":{"x":1},"n":[1],"is_vip":"1","at":17}', (None, None, None), NONE_IS_A_NUMBER),
        (b'{"risk":1,"n":1,"is_vip":null,"at":17}', (1.0, 1.0, None), [("no-field", "vip")]),
        (b'{"at":17}', (None, None, None), [("no-field", x) for x in ("risk", "n", "vip")]),
        (b'{"risk":1,"risk":2,"n":1,"is_vip":true,"at":17}', (2.0, 1.0, 1.0), []),
    ],
)  # fmt: skip
def test_an_objects_fields_are_numbers_or_missing_one_by_one(found: bytes, values: Any, noted: Any) -> None:
    told = Noted()
    assert JSON.parse(found, told) == Stored(values, 17)
    assert told == noted


@pytest.mark.parametrize(
    "found",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b"3",
        b'{"risk":NaN}',
        b'{"risk":1',
        b'{"risk":1e400}',
        b"\xff",
        b"[" * 100_000,
        b'{"x":' * 99_999,
    ],
)
def test_what_is_no_object_is_no_row(found: bytes) -> None:
    told = Noted()
    assert JSON.parse(found, told) == Stored(None, None)
    assert told == [("not-json", "")]


def test_a_field_may_be_read_twice_under_two_names() -> None:
    lookup = JsonLookup("s", "k", (Field("a", stored_as="x"), Field("b", stored_as="x")), rows="{entity}")
    assert lookup.parse(b'{"x":1}') == Stored((1.0, 1.0), None)
