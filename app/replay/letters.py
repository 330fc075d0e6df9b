"""Dead letters, read: where each came from, who wrote it, which try it was, and whether it can be tried again.

A letter carries its record's own headers first and ours behind them, from the last `source` on. Nothing here trusts
what a letter says: whoever may write to the topic may write anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from app.pipeline import Pipeline
from app.record import Headers, Record
from schemas.headers import SOURCE

DIGITS = re.compile(rb"[0-9]{1,18}")  # of an int64, with room
MOST_ATTEMPTS = 1_000_000
SHORT = 200  # characters of what a letter says of itself

# Why a letter cannot be tried again, in words.
PROBLEMS = {
    "no-source": "Its headers do not say which record it is of: it was not written by this program, or not whole.",
    "no-attempt": "Its header attempt is no number of tries: it was not written by this program, or not whole.",
    "foreign": "It is of a record of another topic.",
    "gone": "Its record lies where the topic has none: the topic was deleted and created anew since.",
    "recreated": "Its record was on a topic of the same name that was deleted and created anew since.",
    "stub": "It is a stub: Kafka did not take the record as a letter, which has its digest only. The record itself is "
    "in its topic for as long as that keeps it.",
    "answers-gone": "Answers as old as it were deleted, so nobody can tell whether it was answered already.",
}


# Those of no record that is there: whatever answers such an address is of another one.
STRAYS = frozenset({"no-source", "no-attempt", "foreign", "gone", "recreated"})


class Letter(msgspec.Struct, frozen=True, gc=False):
    """What one dead letter says, without its record. `source` is as its header has it; empty where there is none.

    `problem` is why it cannot be tried again, a word of PROBLEMS. Texts may hold anything.
    """

    partition: int
    offset: int
    at_ms: int
    source: bytes
    of_partition: int
    of_offset: int
    attempt: int
    stage: str
    code: str
    reason: str
    contract: str
    taken_ms: int
    signed: bool
    problem: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        return self.stage, self.code


class Address(msgspec.Struct, frozen=True):
    """The pipeline's input topic as it is now: its id, and each partition's end."""

    topic: str
    topic_id: str
    ends: dict[int, int]


def parted(headers: Headers) -> tuple[Headers, dict[str, bytes]]:
    """The record's own headers, and ours; all of them are the record's where there is no source."""
    for at in range(len(headers) - 1, -1, -1):
        if headers[at][0] == SOURCE.name:
            return headers[:at], {name: value or b"" for name, value in headers[at:]}
    return headers, {}


def is_of(pipeline: Pipeline, headers: Headers | None) -> bool:
    """Whether this pipeline wrote the letter. One that does not say who did is anybody's who reads its topic."""
    said = _of_ours(headers, "pipeline")
    return said is None or said == pipeline.name.encode()


def is_live(headers: Headers | None) -> bool:
    """Whether an answer or a letter is of the live run, and not of a replay of it."""
    return _of_ours(headers, "replay") is None


def attempt_of(headers: Headers | None) -> int:
    """Which try an answer or a letter is of, 1 where it does not say; 0 for what is no number of tries."""
    return _attempt(_of_ours(headers, "attempt"))


def read_letter(record: Record, address: Address) -> Letter:
    """What the letter says."""
    _, ours = parted(record.headers or [])
    source = ours.get(SOURCE.name, b"")
    topic, partition, offset = _place(source)
    attempt = _attempt(ours.get("attempt"))
    problem = _problem(ours, topic, (partition, offset), address) or ("" if attempt else "no-attempt")
    taken = ours.get("taken-at", b"")
    return Letter(
        record.partition,
        record.offset,
        record.timestamp_ms,
        source if topic else b"",
        partition,
        offset,
        attempt,
        _word(ours, "stage"),
        _word(ours, "code"),
        _word(ours, "reason"),
        _word(ours, "contract"),
        int(taken) if DIGITS.fullmatch(taken) else record.timestamp_ms,
        "pipeline" in ours,
        problem,
    )


def _problem(ours: dict[str, bytes], topic: str, place: tuple[int, int], address: Address) -> str:
    if not topic:
        return "no-source"
    if topic != address.topic:
        return "foreign"
    if ours.get("topic-id", address.topic_id.encode()) != address.topic_id.encode():
        return "recreated"
    if place[1] >= address.ends.get(place[0], 0):
        return "gone"
    return "stub" if "stub" in ours else ""


def _place(source: bytes) -> tuple[str, int, int]:
    """Topic, partition and offset; no topic where the header is not one of ours."""
    parts: Sequence[bytes] = source.rsplit(b"/", 2)
    if len(parts) != 3 or not DIGITS.fullmatch(parts[1]) or not DIGITS.fullmatch(parts[2]):
        return "", -1, -1
    return parts[0].decode(errors="replace"), int(parts[1]), int(parts[2])


def _of_ours(headers: Headers | None, wanted: str) -> bytes | None:
    """The value of a header of ours. Millions of records are asked: nothing is made of the others."""
    for name, value in reversed(headers or ()):
        if name == wanted:
            return value or b""
        if name == SOURCE.name:
            return None
    return None


def _attempt(said: bytes | None) -> int:
    if said is None:
        return 1
    attempt = int(said) if DIGITS.fullmatch(said) else 0
    return attempt if attempt <= MOST_ATTEMPTS else 0


def _word(ours: dict[str, bytes], name: str) -> str:
    return ours.get(name, b"?").decode(errors="backslashreplace")[:SHORT]
