"""Dead letters: a record as it came with why it was refused; and the stub of a letter that Kafka does not take."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from app.errors import RecordError
from app.pipeline import Pipeline
from app.record import Headers, Output, Record, last_header
from schemas.headers import SOURCE

SHORT = 256  # bytes of a key that a stub still carries


def dead_letter(
    topic: str, record: Record, error: RecordError, *, attempt: int = 1, signed: Iterable[tuple[str, bytes]] = ()
) -> Output:
    """The record as it came, with where from and why behind its own headers. The reason quotes no payload.

    `attempt` is how many times it has been tried, `signed` what `signature` says of who did.
    """
    return Output(topic, record.key, record.value, [*(record.headers or []), *_why(record, error, attempt), *signed])


def signature(pipeline: Pipeline, topic_id: str | None, attempt: int = 1) -> list[tuple[str, bytes]]:
    """Who refused a record, by what rules, and whether it is tried again."""
    signed = [("pipeline", pipeline.name.encode()), ("contract", pipeline.contract.encode())]
    if topic_id is not None:
        signed.append(("topic-id", topic_id.encode()))
    if attempt >= pipeline.attempts:
        signed.append(("parked", b"true"))
    return signed


def stub(letter: Output, record: Record, why: str) -> Output:
    """In place of a letter that Kafka does not take: where the record lies, how large it is, and its digest.

    The record itself is in the input topic for as long as that is kept. The letter's own words stay.
    """
    ours = letter.headers[len(record.headers or []) :]
    content = {
        "stub_of": record.source.decode(),
        "refused_by_kafka": why,
        "value_bytes": len(record.value or b""),
        "value_blake2b": hashlib.blake2b(record.value or b"", digest_size=32).hexdigest(),
        "key_bytes": len(record.key or b""),
        "headers": len(record.headers or []),
        "headers_bytes": sum(len(name.encode()) + len(value or b"") for name, value in record.headers or []),
    }
    key = record.key if record.key and len(record.key) <= SHORT else record.source  # a compacted topic wants a key
    return Output(letter.topic, key, msgspec.json.encode(content), [*ours, ("stub", b"true")])


def source_of(output: Output) -> bytes:
    """The address of the record that this answers."""
    return named_source(output.headers)


def named_source(headers: Headers | None) -> bytes:
    """The address of the record that what has these headers answers."""
    return last_header(headers, SOURCE.name)


def _why(record: Record, error: RecordError, attempt: int) -> Headers:
    return [
        ("source", record.source),
        ("__streams.errors.exception", type(error).__name__.encode()),
        ("__streams.errors.message", error.reason.encode()),
        ("__streams.errors.topic", record.topic.encode()),
        ("__streams.errors.partition", b"%d" % record.partition),
        ("__streams.errors.offset", b"%d" % record.offset),
        ("stage", error.stage.value.encode()),
        ("code", error.code.encode()),
        ("reason", error.reason.encode()),
        ("attempt", b"%d" % attempt),
        ("taken-at", b"%d" % record.timestamp_ms),
    ]
