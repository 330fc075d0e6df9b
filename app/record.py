"""What comes in and what goes out: the two words that every room shares.

The pipeline knows records and outputs, the transaction knows offsets; they meet here and nowhere else.
Both are msgspec structs rather than dataclasses: one is made for every event, and a frozen dataclass takes
eight times as long to make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from confluent_kafka import Message

Headers = list[tuple[str, bytes | None]]


def last_header(headers: Headers | None, name: str) -> bytes:
    """The value of the last header of that name; no bytes where there is none.

    Ours stand behind those that a record came with, so that nobody can speak in our name.
    """
    return next((value or b"" for found, value in reversed(headers or ()) if found == name), b"")


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of an input topic, as the broker gave it. Times are milliseconds since 1970, UTC."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None

    @property
    def next_offset(self) -> int:
        """What to commit once this record is answered: Kafka's offsets name the next record to read."""
        return self.offset + 1

    @property
    def source(self) -> bytes:
        """The record's address, as the `source` header of its answer carries it."""
        return b"%b/%d/%d" % (self.topic.encode(), self.partition, self.offset)


def record_of(topic: str, message: Message) -> Record:
    """A message of `topic` as a record. The client's types allow for less than what a broker's message has."""
    got: Any = message
    return Record(topic, got.partition(), got.offset(), got.timestamp()[1], got.key(), got.value(), got.headers())


def headers_of(message: Message) -> Headers | None:
    """The headers of a message, which the client's types give as any of several shapes."""
    got: Any = message.headers()
    headers: Headers | None = got
    return headers


class Output(msgspec.Struct, frozen=True, gc=False):
    """One record to be produced in the transaction that commits the offset of its source."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
