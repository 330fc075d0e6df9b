"""What must be so before a replay's loops start: the topics are the plan's, and nothing that is needed is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from app.errors import Refused
from app.pipeline import Pipeline
from app.replay.group import Group
from app.replay.log import Log
from app.replay.plan import Part, Plan
from app.replay.plans import Kept, State
from app.settings import Settings
from app.stream.topics import Topics

PATIENCE_S = 20.0
OVER: tuple[State, ...] = ("done", "cancelling", "cancelled")


def refuse_over(kept: Kept) -> None:
    """Raises Refused where there is nothing left to run."""
    plan, state = kept.plan, kept.standing.state
    if state == "done":
        raise Refused(f"The replay {plan.id} is done: its answers are on {plan.target}.")
    if state in OVER:
        raise Refused(
            f"The replay {plan.id} is {state}: plan it anew; `streaminfer replay cancel {plan.id}` cleans up."
        )


def prepare(settings: Settings, kept: Kept, pipelines: Mapping[str, Pipeline]) -> None:
    """Everything that the loops find when they start; may be done again. Raises Refused where it cannot be run."""
    plan = kept.plan
    with contextlib.closing(Log(settings, plan.scored.group, patience_s=PATIENCE_S)) as log:
        for part in {part.topic: part for part in (plan.inputs, *plan.parts)}.values():
            _refuse_other_topic(log, plan, part)
        offsets = {part.group: _begin(settings, kept, part) for part in plan.parts}
        for part in plan.parts:
            _refuse_deleted(log, plan, part, offsets[part.group])
    specs = [spec for one in pipelines.values() for spec in one.topics()]
    Topics(settings).create(spec for spec in specs if spec.name in plan.makes)
    for part in plan.parts:
        with contextlib.closing(Group(settings, part.group, patience_s=PATIENCE_S)) as group:
            group.set(part.topic, {p: part.partitions[p].start for p, at in offsets[part.group].items() if at is None})


def _refuse_other_topic(log: Log, plan: Plan, part: Part) -> None:
    topic_id, partitions = log.identity(part.topic)
    if topic_id != part.topic_id:
        raise Refused(
            f"{part.topic} is another topic than when {plan.id} was planned: it was deleted and created since, and its "
            f"offsets mean other records. `streaminfer replay cancel {plan.id}`, and plan it anew."
        )
    if partitions != sorted(part.partitions):
        raise Refused(
            f"{part.topic} has {len(partitions)} partitions, and had {len(part.partitions)} when {plan.id} was "
            f"planned: keys have moved. `streaminfer replay cancel {plan.id}`, and plan it anew."
        )


def _begin(settings: Settings, kept: Kept, part: Part) -> dict[int, int | None]:
    """What the group has committed, None where it is to begin. Raises Refused where it had begun and has lost that."""
    with contextlib.closing(Group(settings, part.group, patience_s=PATIENCE_S)) as group:
        at = group.committed(part.topic, list(part.partitions))
    lost = sorted(p for p, offset in at.items() if offset is None)
    if lost and kept.standing.state != "planned":
        raise Refused(
            f"The group {part.group} has no committed offset of {part.topic}/{lost[0]} any more: it expired, as the "
            "broker's offsets.retention.minutes has it, or was deleted. Going on would answer everything twice: "
            f"`streaminfer replay cancel {kept.plan.id}`, and plan it anew."
        )
    return at


def _refuse_deleted(log: Log, plan: Plan, part: Part, at: Mapping[int, int | None]) -> None:
    starts = log.starts(part.topic, list(part.partitions))
    for p, stretch in part.partitions.items():
        offset = at[p]
        need = stretch.fold_from if offset is None else min(offset, stretch.end)
        if need < min(starts[p], stretch.end):
            raise Refused(
                f"The offsets {need} to {min(starts[p], stretch.end) - 1} of {part.topic}/{p} were deleted by its "
                f"retention since {plan.id} was planned. Nothing more is answered; `streaminfer replay cancel "
                f"{plan.id}`, and plan what is left with --allow-gaps."
            )
