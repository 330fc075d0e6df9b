"""How much a worker takes on at once, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Seconds, records and entities, as the names say; `aborts` of the same records are one too many."""

    batch_records: int = 512
    idle_s: float = 0.1
    unplaced_s: float = 0.01  # a poll that assigns partitions waits on for records; they start once it returns
    flush_every_s: float = 1.0
    flush_budget_s: float = 0.05
    dirty_entities: int = 100_000
    aborts: int = 5
    redis_retry_s: float = 0.5
    accept_incomplete: bool = False  # score although the log does not reach back over the views' horizon
    leave_at_end: bool = False  # give the partitions up at once, or keep them for the session
