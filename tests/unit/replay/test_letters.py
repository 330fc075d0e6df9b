"""What a dead letter says, whatever it says: whose it is, which try it was, and why it cannot be tried again."""

from __future__ import annotations

import pytest

from app.errors import RecordError, Stage
from app.pipelines.fraud import FRAUD
from app.record import Headers, Record
from app.replay.letters import PROBLEMS, Address, attempt_of, is_of, parted, read_letter
from app.stream.letters import dead_letter, signature, stub
from tests.payments import record

ERROR = RecordError(Stage.DECODE, "not-json", "The value is not JSON.")
ADDRESS = Address("payments", "t0p1c", {0: 100})
THEIRS: Headers = [("source", b"a/1/2"), ("attempt", b"9"), ("pipeline", b"another"), ("stub", b"true"), ("n", None)]


def as_record(headers: Headers, value: bytes | None = b"{") -> Record:
    return Record("payments.dead", 3, 4, 5_000, b"596", value, headers)


def test_a_letter_is_read_as_it_was_written_whatever_headers_its_record_had() -> None:
    one = record(b"{", offset=9, headers=THEIRS)
    made = dead_letter("payments.dead", one, ERROR, attempt=2, signed=signature(FRAUD, "t0p1c", 2))
    letter = read_letter(as_record(made.headers), ADDRESS)
    assert (letter.source, letter.of_partition, letter.of_offset, letter.attempt) == (b"payments/0/9", 0, 9, 2)
    assert (letter.stage, letter.code, letter.reason) == ("decode", "not-json", "The value is not JSON.")
    assert (letter.contract, letter.taken_ms, letter.signed) == (FRAUD.contract, one.timestamp_ms, True)
    assert letter.problem == ""
    assert parted(made.headers)[0] == THEIRS
    assert is_of(FRAUD, made.headers)


def test_the_last_try_says_that_it_is_parked() -> None:
    tries = [dict(signature(FRAUD, None, attempt)).get("parked") for attempt in range(1, 5)]
    assert tries == [None, None, b"true", b"true"]


def test_an_older_letter_is_anybody_s_and_its_time_is_its_own() -> None:
    letter = read_letter(as_record([*THEIRS, ("source", b"payments/0/9"), ("attempt", b"1")]), ADDRESS)
    assert (letter.signed, letter.contract, letter.taken_ms, letter.problem) == (False, "?", 5_000, "")
    assert is_of(FRAUD, [*THEIRS, ("source", b"payments/0/9")])
    assert not is_of(FRAUD, [("source", b"payments/0/9"), ("pipeline", b"another")])


@pytest.mark.parametrize("said", [b"0", b"x", b"", b"-1", b"1.0", b"9" * 40, b"1000001", "²".encode()])
def test_what_is_no_number_of_tries_is_none(said: bytes) -> None:
    assert attempt_of([("source", b"payments/0/9"), ("attempt", said)]) == 0


def test_a_prediction_without_a_number_is_of_the_first_try() -> None:
    assert attempt_of([("attempt", b"7"), ("source", b"payments/0/9"), ("model", b"fraud@1")]) == 1
    assert attempt_of([("source", b"payments/0/9"), ("model", b"fraud@1"), ("attempt", b"2")]) == 2
    assert attempt_of(None) == 1


@pytest.mark.parametrize(
    ("problem", "headers"),
    [
        ("no-source", []),
        ("no-source", [("source", None)]),
        ("no-source", [("source", b"payments/0/" + b"9" * 500)]),
        ("no-source", [("source", b"payments/0/-9")]),
        ("no-source", [("source", b"payments/0/9"), ("source", b"?")]),
        ("foreign", [("source", b"elsewhere/0/9")]),
        ("foreign", [("source", b"\xff/0/9")]),
        ("recreated", [("source", b"payments/0/9"), ("topic-id", b"another")]),
        ("gone", [("source", b"payments/0/100")]),
        ("gone", [("source", b"payments/1/0")]),
        ("stub", [("source", b"payments/0/9"), ("stub", b"true")]),
        ("no-attempt", [("source", b"payments/0/9"), ("attempt", b"many")]),
        ("", [("source", b"payments/0/99"), ("topic-id", b"t0p1c")]),
    ],
)
def test_each_letter_that_cannot_be_tried_again_says_why(problem: str, headers: Headers) -> None:
    letter = read_letter(as_record([*THEIRS[1:], *headers]), ADDRESS)
    assert letter.problem == problem
    assert not problem or PROBLEMS[problem].endswith(".")


def test_a_stub_stays_a_stub_at_any_try() -> None:
    one = record(b"{" * 99, offset=9, headers=THEIRS)
    made = stub(dead_letter("payments.dead", one, ERROR, attempt=2), one, "MSG_SIZE_TOO_LARGE")
    letter = read_letter(as_record(made.headers, made.value), ADDRESS)
    assert (letter.problem, letter.attempt) == ("stub", 2)
