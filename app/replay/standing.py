"""How a replay stands, seen from anywhere: what its owner said last, who owns it now, and where Kafka says it is."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from app.replay.fence import owner_of
from app.replay.group import Group
from app.replay.plan import Part, Plan
from app.replay.plans import Kept, Plans, Result
from app.settings import Settings

PATIENCE_S = 10.0
SETTLE_S = 0.2
LIVES = ("running",)


@dataclass(frozen=True)
class Status:
    """`state` is the owner's word, but `stopped` where it said `running` and is gone. Offsets of `total` are `done`.

    `rate` is events a second and `yielding` why it holds still, while it runs; `seconds_left` at that rate, None
    where that is not known.
    """

    id: str
    pipeline: str
    state: str
    reason: str
    by: str | None
    done: int
    total: int
    folded: int
    rate: float
    yielding: str
    seconds: float
    seconds_left: float | None
    target: str
    plan: Plan
    result: Result | None

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 1.0


def status_of(settings: Settings, plan_id: str) -> Status:
    """Raises Refused where there is no such plan, Unavailable where Kafka does not answer."""
    kept = Plans(settings).find(plan_id)
    by = owner_of(settings, plan_id) if kept.standing.state not in ("done", "cancelled") else None
    return _status(settings, kept, by)


def all_of(settings: Settings) -> list[Status]:
    """All replays, the oldest plan first."""
    return [status_of(settings, plan_id) for plan_id in Plans(settings).all()]


def _status(settings: Settings, kept: Kept, by: str | None) -> Status:
    plan, standing = kept.plan, kept.standing
    spans = [s for s in plan.scored.partitions.values() if s.end > s.start]
    total = sum(s.end - s.start for s in spans)
    match standing.state:
        case "planned" | "cancelled":
            done = 0
        case "done":
            done = total
        case _:
            done = _done(settings, plan.scored)
    runs = standing.state in LIVES and by is not None
    state = "stopped" if standing.state in LIVES and by is None else standing.state
    rate = standing.rate if runs else 0.0
    left = (total - done) / rate if rate and done else None
    return Status(
        plan.id,
        plan.name,
        state,
        standing.reason,
        by,
        done,
        total,
        standing.folded,
        rate,
        standing.yielding if runs else "",
        standing.seconds,
        left,
        plan.target,
        plan,
        kept.result,
    )


def _done(settings: Settings, part: Part) -> int:
    with contextlib.closing(Group(settings, part.group, patience_s=PATIENCE_S)) as group:
        at = group.committed(part.topic, list(part.partitions), settle_s=SETTLE_S)
    return sum(
        min(offset, part.partitions[p].end) - part.partitions[p].start
        for p, offset in at.items()
        if offset is not None and part.partitions[p].end > part.partitions[p].start
    )
