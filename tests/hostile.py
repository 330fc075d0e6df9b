"""Everything that can arrive, and what becomes of it: the one source of the test and of ops/reference/hostile-input.md.

Each row makes records of one kind. A row's answer is the same wherever and whenever the record arrives.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Headers = list[tuple[str, bytes | None]]

SCORED, LETTER = "scored", "dead letter"
START_MS = 1_522_540_831_000
BIG = 5 * 1024 * 1024


@dataclass(frozen=True)
class Sent:
    """A record as a producer sends it; `misplaced` means: into a partition where its key does not belong."""

    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    misplaced: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of record. `make` gives the i-th record of the kind; `code` and `stage` are those of its letter."""

    name: str
    make: Callable[[int], Sent]
    verdict: str
    stage: str = ""
    code: str = ""
    late: bool = False  # whether its prediction bears that mark


def fields(i: int, **changed: Any) -> dict[str, Any]:
    """A sound payment of a customer whom no other record has."""
    plain = {
        "payment_id": f"h{i}",
        "customer_id": f"c{i}",
        "terminal_id": "7",
        "amount_cents": 1234,
        "time_ms": START_MS + i,
    }
    return {name: value for name, value in (plain | changed).items() if value is not ...}


def key(i: int) -> bytes:
    return b"c%d" % i


def sent(value: Callable[[int], bytes | None]) -> Callable[[int], Sent]:
    """A record with a sound key and this value."""
    return lambda i: Sent(key(i), value(i))


def having(**changed: Any) -> Callable[[int], Sent]:
    """A sound payment with other fields; one that is changed to ... is left out."""
    return sent(lambda i: json.dumps(fields(i, **changed)).encode())


def written(name: str, text: str) -> Callable[[int], Sent]:
    """A sound payment in which one field's value stands as it is given, whether that is JSON or not."""
    return sent(lambda i: json.dumps(fields(i, **{name: "@"})).replace('"@"', text).encode())


def with_headers(headers: Headers) -> Callable[[int], Sent]:
    return lambda i: Sent(key(i), json.dumps(fields(i)).encode(), headers)


def twice(name: str, first: str, last: str) -> Callable[[int], Sent]:
    """A payment that has a field twice, both values as they are given."""

    def value(i: int) -> bytes:
        rest = json.dumps(fields(i, **{name: ...}))[1:-1]
        return f'{{"{name}":{first},{rest},"{name}":{last}}}'.encode()

    return sent(value)


def around(before: bytes, after: bytes) -> Callable[[int], Sent]:
    return sent(lambda i: before + json.dumps(fields(i)).encode() + after)


def encoded(encoding: str) -> Callable[[int], Sent]:
    return sent(lambda i: json.dumps(fields(i)).encode(encoding))


def letter(name: str, make: Callable[[int], Sent], stage: str, code: str) -> Kind:
    return Kind(name, make, LETTER, stage, code)


def scored(name: str, make: Callable[[int], Sent], *, late: bool = False) -> Kind:
    return Kind(name, make, SCORED, late=late)


KINDS: tuple[Kind, ...] = (
    # no value, or no JSON
    letter("no value (tombstone)", sent(lambda _: None), "decode", "tombstone"),
    letter("empty value", sent(lambda _: b""), "decode", "empty"),
    letter("white space alone", sent(lambda _: b" \n\t "), "decode", "not-json"),
    letter("text that is no JSON", sent(lambda _: b"hello"), "decode", "not-json"),
    letter("truncated JSON", sent(lambda i: json.dumps(fields(i)).encode()[:-9]), "decode", "not-json"),
    letter("something behind the object", around(b"", b"x"), "decode", "not-json"),
    letter("two objects", around(b"", b"{}"), "decode", "not-json"),
    letter("a comma at the end", sent(lambda i: json.dumps(fields(i)).encode()[:-1] + b",}"), "decode", "not-json"),
    letter("single quotes", sent(lambda i: str(fields(i)).encode()), "decode", "not-json"),
    letter("a comment", around(b"/* x */", b""), "decode", "not-json"),
    letter("a byte order mark", around(b"\xef\xbb\xbf", b""), "decode", "not-json"),
    letter("UTF-16", encoded("utf-16"), "decode", "not-utf8"),
    letter("UTF-32", encoded("utf-32-le"), "decode", "not-json"),
    letter("bytes that are no UTF-8", sent(lambda _: b'{"payment_id":"\xff\xfe"}'), "decode", "not-utf8"),
    letter("UTF-8 cut inside a letter", around(b"", b"\xe2\x82"), "decode", "not-utf8"),
    letter("UTF-8 of a surrogate", written("payment_id", '"\\ud800"'), "decode", "not-json"),
    letter("a lone surrogate in an undeclared field", written("note", '"\\udfff"'), "decode", "not-json"),
    letter("a raw control character in a text", written("payment_id", '"\x01"'), "decode", "not-json"),
    letter("Avro with a schema id", sent(lambda i: b"\x00\x00\x00\x00\x07\x02" + key(i)), "decode", "not-json"),
    letter("gzip bytes", sent(lambda _: b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), "decode", "not-utf8"),
    # numbers
    letter("NaN", written("amount_cents", "NaN"), "validate", "wrong-type"),
    letter("Infinity", written("amount_cents", "Infinity"), "validate", "wrong-type"),
    letter("-Infinity", written("amount_cents", "-Infinity"), "validate", "wrong-type"),
    letter("NaN in an undeclared field", written("note", "NaN"), "decode", "not-json"),
    letter("1e999", written("amount_cents", "1e999"), "validate", "wrong-type"),
    letter("a number of 10,000 digits", written("amount_cents", "9" * 10_000), "validate", "out-of-range"),
    letter("a fraction of 10,000 digits", written("amount_cents", "0." + "1" * 10_000), "validate", "wrong-type"),
    letter("an integer beyond 64 bits", written("amount_cents", str(2**64)), "validate", "out-of-range"),
    letter("a negative amount", having(amount_cents=-1), "validate", "out-of-range"),
    letter("an amount beyond its largest", having(amount_cents=10**12 + 1), "validate", "out-of-range"),
    letter("a fraction where an integer is due", having(amount_cents=12.5), "validate", "wrong-type"),
    letter("12.0 where an integer is due", having(amount_cents=12.0), "validate", "wrong-type"),
    letter("1e3 where an integer is due", written("amount_cents", "1e3"), "validate", "wrong-type"),
    letter("-0.0 where an integer is due", written("amount_cents", "-0.0"), "validate", "wrong-type"),
    scored("-0", written("amount_cents", "-0")),
    letter("a leading nought", written("amount_cents", "0123"), "decode", "not-json"),
    letter("a leading plus", written("amount_cents", "+123"), "decode", "not-json"),
    letter("hexadecimal", written("amount_cents", "0x7b"), "decode", "not-json"),
    letter("true where an integer is due", having(amount_cents=True), "validate", "wrong-type"),
    letter("null where an integer is due", having(amount_cents=None), "validate", "wrong-type"),
    letter("a text where an integer is due", having(amount_cents="1234"), "validate", "wrong-type"),
    # shapes
    letter("a list", sent(lambda i: json.dumps([fields(i)]).encode()), "validate", "wrong-type"),
    letter("a number alone", sent(lambda _: b"5"), "validate", "wrong-type"),
    letter("null alone", sent(lambda _: b"null"), "validate", "wrong-type"),
    letter("JSON inside a text", sent(lambda i: json.dumps(json.dumps(fields(i))).encode()), "validate", "wrong-type"),
    letter("an empty object", sent(lambda _: b"{}"), "validate", "missing-field"),
    letter("a missing field", having(terminal_id=...), "validate", "missing-field"),
    letter("fields in another case", sent(
        lambda i: json.dumps(fields(i)).upper().encode()), "validate", "missing-field"),
    letter("an integer where a text is due", having(customer_id=5), "validate", "wrong-type"),
    letter("an object where a text is due", having(terminal_id={"id": "7"}), "validate", "wrong-type"),
    letter("an empty id", having(payment_id=""), "validate", "out-of-range"),
    letter("an id of 65 characters", having(payment_id="x" * 65), "validate", "out-of-range"),
    letter("an id of a megabyte", having(terminal_id="x" * 900_000), "validate", "out-of-range"),
    letter("nested 20,000 deep", written("note", "[" * 20_000 + "]" * 20_000), "validate", "invalid"),
    letter("objects nested 20,000 deep", written("note", '{"a":' * 20_000 + "1" + "}" * 20_000), "validate", "invalid"),
    letter("nested 20,000 deep and never closed", sent(lambda _: b"[" * 20_000), "validate", "invalid"),
    scored("nested 50 deep in an undeclared field", written("note", "[" * 50 + "]" * 50)),
    scored("undeclared fields", having(note="x", more={"a": [1, 2.5, None]})),
    scored("10,000 undeclared fields", having(**{f"f{n}": n for n in range(10_000)})),
    scored("white space around and inside", sent(lambda i: b"\n " + json.dumps(fields(i), indent=2).encode() + b" \t")),
    scored("fields in another order", sent(lambda i: json.dumps(dict(reversed(fields(i).items()))).encode())),
    scored("escaped letters in a field's name", sent(
        lambda i: json.dumps(fields(i)).replace("amount_cents", r"\u0061mount_cents").encode())),
    scored("a text with a NUL", having(payment_id="a\0b")),
    scored("letters of every plane", having(payment_id="é€𝄞", terminal_id="終端")),
    # a field twice
    scored("a field twice, both sound: the last counts", twice("amount_cents", "5", "1234")),
    letter("a field twice, the last unsound", twice("amount_cents", "5", '"x"'), "validate", "wrong-type"),
    letter("a field twice, the first unsound", twice("amount_cents", '"x"', "5"), "validate", "invalid"),
    letter("the key's field twice", twice("customer_id", '"c"', '"another"'), "validate", "key"),
    # keys
    letter("no key", lambda i: Sent(None, json.dumps(fields(i)).encode()), "validate", "key"),
    letter("an empty key", lambda i: Sent(b"", json.dumps(fields(i)).encode()), "validate", "key"),
    letter("another's key", lambda i: Sent(b"other", json.dumps(fields(i)).encode()), "validate", "key"),
    letter("a key that is no UTF-8", lambda i: Sent(b"\xff\x00", json.dumps(fields(i)).encode()), "validate", "key"),
    letter("a key in quotes", lambda i: Sent(b'"%b"' % key(i), json.dumps(fields(i)).encode()), "validate", "key"),
    letter("a key with a space behind", lambda i: Sent(
        key(i) + b" ", json.dumps(fields(i)).encode()), "validate", "key"),
    letter("a key of 100 kB", lambda i: Sent(b"k" * 100_000, json.dumps(fields(i)).encode()), "validate", "key"),
    letter("a key that another partitioner placed", lambda i: Sent(
        key(i), json.dumps(fields(i)).encode(), misplaced=True), "validate", "partition"),
    # times
    letter("an event of 1970", having(time_ms=0), "validate", "out-of-range"),
    letter("an event before 1970", having(time_ms=-1), "validate", "out-of-range"),
    letter("a time in seconds", having(time_ms=START_MS // 1000), "validate", "out-of-range"),
    letter("a time in microseconds", having(time_ms=START_MS * 1000), "validate", "out-of-range"),
    letter("an event of the year 9999", having(time_ms=253_402_300_799_000), "validate", "out-of-range"),
    letter("a time as text", having(time_ms="2018-04-01T00:00:00Z"), "validate", "wrong-type"),
    letter("ahead of the record's own time", having(time_ms=4_102_444_799_999), "validate", "ahead"),
    scored("later than the lateness allows: scored, marked, not folded", having(time_ms=946_684_800_000), late=True),
    # headers
    letter("content type of another format", with_headers([("content-type", b"application/avro")]),
           "validate", "content-type"),
    letter("content type of no sense", with_headers([("Content-Type", b"\xff json")]), "validate", "content-type"),
    letter("two content types, the last foreign", with_headers(
        [("content-type", b"application/json"), ("content-type", b"text/csv")]), "validate", "content-type"),
    scored("two content types, the last JSON", with_headers(
        [("content-type", b"text/csv"), ("content-type", b"application/json")])),
    scored("content type with parameters", with_headers([("content-type", b"Application/JSON; charset=utf-8")])),
    scored("content type of a JSON dialect", with_headers([("content-type", b"application/vnd.payment+json")])),
    scored("content type without a value", with_headers([("content-type", None)])),
    scored("a thousand headers", with_headers([(f"h{n}", b"v%d" % n) for n in range(1000)])),
    letter("a thousand headers on what is no JSON", lambda i: Sent(
        key(i), b"{", [(f"h{n}", b"v%d" % n) for n in range(1000)]), "decode", "not-json"),
    scored("a header of 500 kB", with_headers([("large", b"x" * 500_000)])),
    letter("a header of 500 kB on what is no JSON", lambda i: Sent(
        key(i), b"{", [("large", b"x" * 500_000)]), "decode", "not-json"),
    scored("headers with our own names", with_headers(
        [("source", b"a/0/1"), ("stage", b"x"), ("model", b"m@0"), ("scored-at", b"0")])),
    letter("our own headers on what is no JSON", lambda i: Sent(
        key(i), b"{", [("source", b"a/0/1"), ("stage", b"x"), ("code", b"y"), ("attempt", b"99")]),
        "decode", "not-json"),
    scored("a traceparent that is none", with_headers([("traceparent", b"00-xyz")])),
    scored("headers with empty names and any bytes", with_headers([("", b"\x00\xff"), ("", None), ("é", b"")])),
    # sizes: into a topic that takes 1 MB, compressed
    scored("5 MB that compress well", written("note", '"' + "a" * BIG + '"')),
    letter("5 MB that compress well, and no JSON", sent(lambda _: b"a" * BIG), "decode", "not-json"),
    letter("a list of a million numbers", sent(lambda _: b"[" + b"0," * 1_000_000 + b"0]"), "validate", "wrong-type"),
)  # fmt: skip


def table() -> str:
    """The rows as Markdown."""
    lines = ["| what arrives | verdict | stage | code |", "|---|---|---|---|"]
    lines += [f"| {kind.name} | {kind.verdict} | {kind.stage} | {kind.code} |" for kind in KINDS]
    return "\n".join(lines) + "\n"
