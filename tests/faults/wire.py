"""Kafka's frames, as far as a proxy has to read them: whose request it is, of what kind, and of which transaction."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

LARGEST = 128 * 1024 * 1024  # of a frame: what claims to be larger is no Kafka

_HEAD = struct.Struct(">hhih")  # api, version, correlation id, length of the client's id


class Api(IntEnum):
    """The requests that carry a transaction, by Kafka's numbers."""

    PRODUCE = 0
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


# From which version on a request is written compactly. Each of these names its transactional id first.
_COMPACT = {
    Api.PRODUCE: 9,
    Api.INIT_PRODUCER_ID: 2,
    Api.ADD_PARTITIONS_TO_TXN: 3,
    Api.ADD_OFFSETS_TO_TXN: 3,
    Api.END_TXN: 3,
    Api.TXN_OFFSET_COMMIT: 3,
}
_BY_THE_BATCH = 4  # from this version on, AddPartitionsToTxn is for brokers among themselves


class NotKafka(ValueError):
    """Bytes that no client of Kafka sends."""


@dataclass(frozen=True)
class Request:
    """One request; `frame` is all of it but for the length in front."""

    frame: bytes
    api: int
    version: int
    correlation: int
    client: str
    body: int  # where it begins in the frame

    @property
    def is_compact(self) -> bool:
        return self.api in set(Api) and self.version >= _COMPACT[Api(self.api)]

    @property
    def transaction(self) -> str | None:
        """The transactional id, None where it is not part of one."""
        if self.api not in set(Api) or (self.api == Api.ADD_PARTITIONS_TO_TXN and self.version >= _BY_THE_BATCH):
            return None
        if self.is_compact:
            at = _tags_end(self.frame, self.body)
            length, at = _varint(self.frame, at)
            length -= 1
        else:
            (length,) = struct.unpack_from(">h", self.frame, self.body)
            at = self.body + 2
        return self.frame[at : at + length].decode() if length >= 0 else None


def read_request(frame: bytes) -> Request:
    """Raises NotKafka."""
    try:
        api, version, correlation, length = _HEAD.unpack_from(frame)
        body = _HEAD.size + max(0, length)
        client = frame[_HEAD.size : body].decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise NotKafka(f"no request's header: {error}") from error
    if api < 0 or version < 0 or body > len(frame):
        raise NotKafka(f"no request's header: api {api}, version {version}, {len(frame)} bytes")
    return Request(frame, api, version, correlation, client, body)


def framed(frame: bytes) -> bytes:
    return struct.pack(">i", len(frame)) + frame


def error_of(request: Request, reply: bytes) -> int:
    """The first error, or 0, in the answer to an EndTxn or a TxnOffsetCommit."""
    at = 4  # the correlation id
    if request.is_compact:
        at = _tags_end(reply, at)
    at += 4  # how long to hold back
    if request.api == Api.END_TXN:
        return _int16(reply, at)
    assert request.api == Api.TXN_OFFSET_COMMIT, request.api
    return _first_of_partitions(reply, at, compact=request.is_compact)


def _first_of_partitions(reply: bytes, at: int, *, compact: bool) -> int:
    many: Callable[[bytes, int], tuple[int, int]] = _compact_count if compact else _count
    topics, at = many(reply, at)
    for _ in range(topics):
        length, at = _compact_count(reply, at) if compact else (_int16(reply, at), at + 2)
        at += length
        partitions, at = many(reply, at)
        for _ in range(partitions):
            if (error := _int16(reply, at + 4)) != 0:
                return error
            at = _tags_end(reply, at + 6) if compact else at + 6
        at = _tags_end(reply, at) if compact else at
    return 0


def _int16(data: bytes, at: int) -> int:
    number: int = struct.unpack_from(">h", data, at)[0]
    return number


def _count(data: bytes, at: int) -> tuple[int, int]:
    return struct.unpack_from(">i", data, at)[0], at + 4


def _compact_count(data: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(data, at)
    return number - 1, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Gives the number, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _tags_end(data: bytes, at: int) -> int:
    """Where the tagged fields that begin here end."""
    tags, at = _varint(data, at)
    for _ in range(tags):
        _, at = _varint(data, at)
        size, at = _varint(data, at)
        at += size
    return at
