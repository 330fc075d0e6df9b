"""The pipelines of a replay: those that are declared, on groups, states and topics of their own.

A replay is the loop over these. What decides the bytes of an answer is taken over as it is: events, views, features,
and the name that ids are made from.
"""

from __future__ import annotations

from dataclasses import replace

from app.features.asof import AsOf
from app.features.lookups import Written
from app.features.recorded import FEATURES, Recorded
from app.pipeline import Again, Pipeline
from app.replay.plan import Part, Plan, letters_of
from app.settings import Settings


def derived(plan: Plan, pipeline: Pipeline) -> dict[str, Pipeline]:
    """By group: the pipeline that answers, and those beside it that it looks up."""
    answers = replace(pipeline.answering, name=plan.target)
    again = Again(
        pipeline.name,
        plan.dead_letters,
        headers=(("replay", plan.id.encode()), ("lookups", plan.lookups.encode())),
        relayed=plan.lookups == "logged",
    )
    like = replace(pipeline, name=plan.scored.group, answers=answers, model=plan.model, again=again)
    like = replace(like, partitions=len(plan.scored.partitions))
    if plan.lookups == "logged":
        return {like.name: _relayed(pipeline, like)}
    beside = {part.pipeline: _beside(plan, part, pipeline) for part in plan.beside}
    lookups = tuple(_of(lookup, beside) for lookup in like.lookups)
    return {one.name: one for one in (replace(like, lookups=lookups), *beside.values())}


def _relayed(pipeline: Pipeline, like: Pipeline) -> Pipeline:
    """Reads old answers, whose own features and marks are all that the model and the new answer need."""
    source = replace(pipeline.answering, key=pipeline.source.key, id="event_id", time="time_ms")
    return replace(like, source=source, event=None, views=(), lookups=(Recorded(pipeline.features),))


def _beside(plan: Plan, part: Part, pipeline: Pipeline) -> Pipeline:
    of = next(read for read in read_by(pipeline) if read.name == part.pipeline)
    again = Again(of.name, letters_of(of.source.name, plan.id))
    return replace(of, name=part.group, partitions=len(part.partitions), again=again)


def _of(lookup: Written | AsOf | Recorded, beside: dict[str, Pipeline]) -> Written | AsOf | Recorded:
    if isinstance(lookup, AsOf) and lookup.of.name in beside:
        return replace(lookup, of=beside[lookup.of.name])
    return lookup


def read_by(pipeline: Pipeline) -> list[Pipeline]:
    """The pipelines whose views it reads as of its events' times; each once."""
    read = {lookup.of.name: lookup.of for lookup in pipeline.lookups if isinstance(lookup, AsOf)}
    return list(read.values())


def shows_features(pipeline: Pipeline) -> bool:
    """Whether its answers show what the model was given."""
    return FEATURES in pipeline.answering.model.model_fields


def settings_of(plan: Plan, settings: Settings) -> Settings:
    """How the loops of a replay behave: they wait for each other for as long as it takes, and mark what is not whole.

    Whether there is enough of the log was decided when the replay was planned, and is looked at again when it starts.
    """
    waits = {"behind": "wait", "wait_s": float("inf")} if plan.lookups == "asof" else {"behind": "mark"}
    return settings.model_copy(
        update={**waits, "accept_incomplete": True, "versions": {}}
    )  # the plan names its model's
