"""Letters carry the record whole; a stub tells what it was and nothing of what was in it."""

from __future__ import annotations

import hashlib
import json

from app.errors import RecordError, Stage
from app.pipelines.fraud import FRAUD
from app.stream.letters import dead_letter, signature, source_of, stub
from schemas.headers import DEAD_LETTER_HEADERS
from tests.payments import record

SECRET = b"hush-7b1e"
ERROR = RecordError(Stage.DECODE, "not-json", "The value is not JSON.")


def test_the_source_is_the_last_header_of_that_name() -> None:
    letter = dead_letter("payments.dead", record(b"{", offset=9, headers=[("source", b"a/1/2")]), ERROR)
    assert letter.headers[0] == ("source", b"a/1/2")
    assert source_of(letter) == b"payments/0/9"


def test_a_stub_has_the_letter_s_own_words_and_the_record_s_sizes_and_digest() -> None:
    one = record(SECRET * 100, offset=9, key=b"k" * 5, headers=[("stage", SECRET), ("n", None)])
    signed = signature(FRAUD, "t0p1c", attempt=3)
    made = stub(dead_letter("payments.dead", one, ERROR, attempt=3, signed=signed), one, "MSG_SIZE_TOO_LARGE")
    assert [name for name, _ in made.headers] == [header.name for header in DEAD_LETTER_HEADERS]
    told = dict(made.headers)
    assert (told["stage"], told["code"], told["stub"], source_of(made)) == (
        b"decode", b"not-json", b"true", b"payments/0/9",
    )  # fmt: skip
    assert json.loads(made.value or b"") == {
        "stub_of": "payments/0/9",
        "refused_by_kafka": "MSG_SIZE_TOO_LARGE",
        "value_bytes": 900,
        "value_blake2b": hashlib.blake2b(SECRET * 100, digest_size=32).hexdigest(),
        "key_bytes": 5,
        "headers": 2,
        "headers_bytes": 15,
    }
    assert SECRET not in (made.value or b"") + b"".join(value or b"" for _, value in made.headers)


def test_a_stub_has_a_key_also_where_the_record_had_none_or_a_huge_one() -> None:
    for key, expected in ((None, b"payments/0/0"), (b"", b"payments/0/0"), (b"k" * 999, b"payments/0/0"), (b"k", b"k")):
        one = record(None, key=key)
        assert stub(dead_letter("payments.dead", one, ERROR), one, "INVALID_RECORD").key == expected
