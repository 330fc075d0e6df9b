"""What the loop knows of each partition that it owns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """What may be done with a partition's records."""

    PENDING = "pending"  # assigned, but nobody has looked yet where to start; paused
    CATCHING_UP = "catching up"  # records are folded, not scored, up to the committed offset
    LIVE = "live"


@dataclass
class Share:
    """One owned partition. Offsets are of the next record: what to commit, what to read.

    `until` is where catching up ends; `end` the last end of the log that was seen; `retry_at` the monotonic second
    before which a paused partition is left alone.
    """

    partition: int
    phase: Phase = Phase.PENDING
    committed: int | None = None
    until: int = 0
    end: int = -1
    retry_at: float = 0.0
    waiting: bool = False  # live, but paused until Redis answers
    ahead_ms: int | None = None  # paused until its readers have come near an event of this time
    reached: bool = False  # the planned end is committed and flushed
    ask_s: float = 0.0  # since Kafka did not tell its offset with the others': how long it alone is asked for
