"""The marker of a partition's state: how far the log is folded in, and into what (protocol B1).

Blobs mean nothing without it: it names the build that they belong to, and it is what a writer compares before it
writes. A state whose marker is gone is gone.
"""

from __future__ import annotations

import secrets

import msgspec

NEVER_MS = -(1 << 53)  # the newest event time of a partition that has none yet


class Marker(msgspec.Struct, frozen=True):
    """A state was folded from offset `since` on, where its topic had so many partitions, up to but not with `next`.

    `newest_ms` is the newest event time folded in, `oldest_ms` that of the first event: a state that was not folded
    from the log's first offset is whole only for times that lie its view's horizon after that. `ended`: the log was
    folded to its planned end, and nothing that comes later will be earlier than what is here.
    """

    topic_id: str
    partitions: int
    build: str
    digest: str
    since: int
    next: int
    newest_ms: int = NEVER_MS
    oldest_ms: int | None = None
    ended: bool = False

    def same_state(self, other: Marker) -> bool:
        return (self.topic_id, self.build, self.digest) == (other.topic_id, other.build, other.digest)

    def encode(self) -> bytes:
        return _ENCODER.encode(self)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Marker)


def decode_marker(value: bytes) -> Marker | None:
    """The marker, or None where the bytes are not one."""
    try:
        return _DECODER.decode(value)
    except (ValueError, RecursionError):
        return None


def new_build() -> str:
    """A name that no earlier build of any partition had, so that blobs of a lost marker are never read again."""
    return secrets.token_hex(6)
