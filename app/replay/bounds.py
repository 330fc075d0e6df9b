"""From where and to where, as a person says it: event times with a zone, offsets, or where the log begins and ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from app.errors import Refused

OFFSETS = re.compile(r"@\d{1,9}:\d{1,19}(,\d{1,9}:\d{1,19})*")


@dataclass(frozen=True)
class Bound:
    """One of the two. `time_ms` is an event time; `offsets` are by partition, and what they do not name is left out.

    With neither it is where the log begins, or where it ends now.
    """

    words: str
    time_ms: int | None = None
    offsets: dict[int, int] | None = None


def since(words: str) -> Bound:
    """Where to begin. Raises Refused for what is no bound."""
    return Bound(words) if words == "beginning" else _bound("--from", words, "beginning")


def until(words: str) -> Bound:
    """Where to end. Raises Refused for what is no bound."""
    return Bound(words) if words == "now" else _bound("--to", words, "now")


def _bound(flag: str, words: str, other: str) -> Bound:
    if words.startswith("@"):
        return Bound(words, offsets=_offsets(flag, words))
    try:
        time = datetime.fromisoformat(words)
    except ValueError:
        raise Refused(
            f"{flag} {words} is neither a time with a zone such as 2026-01-31T12:00Z, nor offsets such as "
            f"@0:1500,1:900 (partition:offset), nor `{other}`.",
            exit_code=2,
        ) from None
    if time.tzinfo is None:
        like = words if len(words) > len("2026-01-31") else f"{words}T00:00"
        raise Refused(f"{flag} {words} has no zone: write {like}Z for UTC, or {like}+01:00.", exit_code=2)
    return Bound(words, time_ms=int(time.timestamp() * 1000))


def _offsets(flag: str, words: str) -> dict[int, int]:
    if not OFFSETS.fullmatch(words):
        raise Refused(f"{flag} {words}: offsets are written @partition:offset,..., such as @0:1500,1:900.", exit_code=2)
    pairs = [pair.split(":") for pair in words[1:].split(",")]
    offsets = {int(partition): int(offset) for partition, offset in pairs}
    if len(offsets) < len(pairs):
        raise Refused(f"{flag} {words} names a partition twice.", exit_code=2)
    return offsets


def refuse_backwards(start: Bound, end: Bound) -> None:
    """Raises Refused where the end is not behind the start, as far as the words tell."""
    if start.time_ms is not None and end.time_ms is not None and end.time_ms <= start.time_ms:
        raise Refused(f"--to {end.words} is not after --from {start.words}.", exit_code=2)
    if start.offsets is not None and end.offsets is not None:
        for partition, offset in start.offsets.items():
            if end.offsets.get(partition, offset) < offset:
                raise Refused(f"--to {end.words} is before --from {start.words} in partition {partition}.", exit_code=2)


def shown(time_ms: int) -> str:
    """A time in words, as a bound may be given."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}Z"
