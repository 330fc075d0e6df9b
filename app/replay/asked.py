"""What a person asks a replay to be, before anything of it is looked at."""

from __future__ import annotations

from dataclasses import dataclass

from app.replay.bounds import Bound
from app.replay.plan import Lookups

YIELD_AT = 5_000


@dataclass(frozen=True)
class Asked:
    """What a person asks for. `pipeline` is what any process finds it by."""

    pipeline: str
    start: Bound
    end: Bound
    model: str | None = None
    lookups: Lookups = "asof"
    into: str | None = None
    into_live: bool = False
    workers: int = 1
    rate: float | None = None
    yield_at: int = YIELD_AT
    allow_gaps: bool = False
