"""What a plan's difference is between: the answers that it made, and those that were there before, or elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from app.errors import Refused
from app.features.asof import AsOf
from app.pipeline import Pipeline
from app.replay.diff import Asked
from app.replay.diff_join import GROUP, PATIENCE_S, Side
from app.replay.log import Log, Span
from app.replay.plan import Plan
from app.replay.plans import Kept
from app.settings import Settings


def asked_of(
    settings: Settings, plans: Mapping[str, Kept], kept: Kept, *, pipeline: Pipeline, against: str | None
) -> Asked:
    """What to compare. `against` is a topic with answers of this pipeline, by default what the plan says.

    Raises Refused where the replay has not ended well, or its input was created anew since.
    """
    plan = kept.plan
    _refuse_unfinished(kept)
    _refuse_another_topic(settings, plan)
    return Asked(
        plan.name,
        plan.inputs.topic,
        {partition: Span(one.start, one.end) for partition, one in plan.inputs.partitions.items()},
        _old(plans, plan, pipeline, against or plan.against),
        Side(plan.target, plan.dead_letters, plan.id),
        promised=_promised(plan, pipeline),
        predictions_only=plan.lookups == "logged",
    )


def _old(plans: Mapping[str, Kept], plan: Plan, pipeline: Pipeline, topic: str) -> Side:
    if topic == pipeline.answering.name:
        return Side(topic, pipeline.dead_letters, "")
    others = (kept.plan for kept in plans.values() if kept.plan.target == topic and kept.plan.id != plan.id)
    other = max(others, key=lambda one: one.planned_ms, default=None)
    return Side(topic) if other is None else Side(topic, other.dead_letters, other.id)


def _promised(plan: Plan, pipeline: Pipeline) -> bool:
    """Whether the same model must give the same bytes: what was looked up is known as of the event (protocol D1)."""
    if plan.lookups == "logged":
        return True
    return plan.lookups == "asof" and all(isinstance(lookup, AsOf) for lookup in pipeline.lookups)


def _refuse_unfinished(kept: Kept) -> None:
    state = kept.standing.state
    if state != "done":
        what = "its answers are deleted" if state in ("cancelled", "cancelling") else "its answers are not whole"
        raise Refused(
            f"The replay {kept.plan.id} is {state}, so {what}: `streaminfer replay status {kept.plan.id}` tells how it "
            "stands; compare it once it is done."
        )


def _refuse_another_topic(settings: Settings, plan: Plan) -> None:
    with contextlib.closing(Log(settings, GROUP, patience_s=PATIENCE_S)) as log:
        found, _ = log.identity(plan.inputs.topic)
    if found != plan.inputs.topic_id:
        raise Refused(
            f"The topic {plan.inputs.topic} was created anew since {plan.id} was planned: the same offsets are other "
            "records now, so nothing can be compared."
        )
