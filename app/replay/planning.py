"""A plan made from what a person asks for: everything that could go wrong later is looked at and refused here."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable

import msgspec

from app.errors import Fatal, Refused
from app.features.asof import AsOf
from app.inference.load import load
from app.inference.manifest import read_manifest
from app.inference.model import newest_version
from app.inference.serving import serving
from app.pipeline import Pipeline
from app.replay.asked import Asked
from app.replay.bounds import refuse_backwards
from app.replay.derived import derived, read_by, shows_features
from app.replay.log import Log
from app.replay.old import Old, old_answers, plain
from app.replay.plan import Part, Plan, letters_of, target_of
from app.replay.plans import Plans, now_ms
from app.replay.ranges import Ranges
from app.settings import Settings
from app.stream.topics import Topics

PATIENCE_S = 60.0
FOLDED_PER_S = 80_000  # what a worker folds, and what it answers: an estimate begins with these
ANSWERED_PER_S = 40_000
ANSWER_BYTES = 900  # of an answer with its headers, where no old one tells

Progress = Callable[[int], None]


def make_plan(
    settings: Settings, pipeline: Pipeline, asked: Asked, *, progress: Progress = lambda _records: None
) -> tuple[Plan, list[str]]:
    """Fix a replay's offsets and keep the plan. Gives it with sentences that a person should read before starting it.

    `progress` is told how many records were read so far. Raises Refused where it cannot be replayed as asked.
    """
    pipeline.answering  # noqa: B018 - raises where there is none
    refuse_backwards(asked.start, asked.end)
    _refuse_lookups(pipeline, asked)
    with contextlib.closing(Log(settings, pipeline.name, patience_s=PATIENCE_S)) as log:
        plan, notes = _Planning(log, settings, pipeline, asked, progress).plan()
    _try(settings, pipeline, plan)
    Plans(settings).keep(plan)
    return plan, notes


def _refuse_lookups(pipeline: Pipeline, asked: Asked) -> None:
    written = [lookup.name for lookup in pipeline.lookups if not isinstance(lookup, AsOf)]
    if asked.lookups == "asof" and written:
        raise Refused(
            f"What {', '.join(written)} held at an event's time is not kept, so it cannot be looked up as of then. "
            "--lookups logged scores the features that the old answers show; --lookups current reads what is there now."
        )
    if asked.lookups == "logged" and not shows_features(pipeline):
        raise Refused(
            f"The answers on {pipeline.answering.name} do not show their features, so --lookups logged has nothing to "
            "score; --lookups asof folds them again."
        )
    if asked.into_live and asked.into is not None:
        raise Refused("Say --into or --into-live: it is one topic that the answers go to.", exit_code=2)


class _Planning:
    """One plan in the making, over one reading of the log."""

    def __init__(self, log: Log, settings: Settings, pipeline: Pipeline, asked: Asked, progress: Progress) -> None:
        self._log = log
        self._settings = settings
        self._pipeline = pipeline
        self._asked = asked
        self._progress = progress
        self._id = secrets.token_hex(4)
        self._records = 0
        self._notes: list[str] = []

    def plan(self) -> tuple[Plan, list[str]]:
        asked, answers = self._asked, self._pipeline.answering.name
        there = Topics(self._settings).there()
        target = self._target(there)
        ranges = Ranges(self._log, self._pipeline, asked, plan_id=self._id, told=self._told)
        inputs = ranges.inputs()
        beside = ranges.beside(inputs) if asked.lookups == "asof" else ()
        if ranges.gaps and not asked.allow_gaps:
            raise Refused(
                " ".join(ranges.gaps) + " --allow-gaps replays what is left, and marks what is concerned `incomplete`."
            )
        self._notes += ranges.gaps
        old = self._old(inputs)
        model = self._model(old)
        letters = letters_of(self._pipeline.source.name, self._id)
        made = [target, letters, *(letters_of(part.topic, self._id) for part in beside)]
        plan = Plan(
            id=self._id,
            pipeline=asked.pipeline,
            name=self._pipeline.name,
            planned_ms=now_ms(),
            since=asked.start.words,
            until=asked.end.words,
            inputs=inputs,
            recorded=self._recorded(inputs, old),
            beside=beside,
            against=answers,
            target=target,
            dead_letters=letters,
            makes=tuple(name for name in made if name not in there),
            into_live=asked.into_live,
            model=model,
            lookups=asked.lookups,
            workers=asked.workers,
            rate=asked.rate,
            yield_at=asked.yield_at,
            incomplete=bool(ranges.gaps),
            seconds=0.0,
            disk_bytes=0,
        )
        return _estimated(plan, old), self._notes

    def _told(self, records: int) -> None:
        self._records += records
        self._progress(self._records)

    # -- where to --------------------------------------------------------------------------------------------------

    def _target(self, there: dict[str, int]) -> str:
        asked, pipeline = self._asked, self._pipeline
        live = pipeline.answering.name
        if asked.into_live:
            return live
        if asked.into == live:
            raise Refused(
                f"{live} is where the live pipeline answers: a replay into it gives each input a second answer there. "
                "Leave --into out for a topic of its own; --into-live does it all the same.",
                exit_code=2,
            )
        taken = {spec.name for one in (pipeline, *read_by(pipeline)) for spec in one.topics()}
        if asked.into in taken:
            raise Refused(f"{asked.into} is a topic of {pipeline.name} itself; name another one.", exit_code=2)
        width = there.get(asked.into or "")
        if width is not None and width != there.get(pipeline.source.name):
            raise Refused(
                f"{asked.into} has {width} partitions and {pipeline.source.name} has {there[pipeline.source.name]}: an "
                "entity's answers would not be in its partition. Name a topic that is as wide, or a new one."
            )
        return asked.into or target_of(live, self._id)

    # -- what was answered before ------------------------------------------------------------------------------------

    def _old(self, inputs: Part) -> Old | None:
        """None where nothing depends on it."""
        if self._asked.model is not None and self._asked.lookups != "logged":
            return None
        return old_answers(self._log, self._pipeline.answering.name, inputs, told=self._told)

    def _model(self, old: Old | None) -> str:
        if self._asked.model is not None:
            return _version(self._settings, self._asked.model)
        named = old.models if old is not None else {}
        if len(named) > 1:
            names = ", ".join(f"{ref} ({count:,})" for ref, count in sorted(named.items()))
            raise Refused(
                f"The old answers of this range are from {len(named)} models: {names}. Say which one is to answer now "
                "with --model, or plan each model's part by itself.",
                exit_code=2,
            )
        if named:
            return _version(self._settings, next(iter(named)))
        serves = read_manifest(serving(self._pipeline, self._settings.models, self._settings.versions)).ref
        self._notes.append(f"Nothing of this range was answered before, so the model that serves answers: {serves}.")
        return serves

    def _recorded(self, inputs: Part, old: Old | None) -> Part | None:
        if self._asked.lookups != "logged" or old is None:
            return None
        topic = self._pipeline.answering.name
        lies = plain(old.lies)
        if len(lies) != len(inputs.partitions) or any(stretch.outside for stretch in lies.values()):
            raise Refused(
                f"The old answers of this range do not lie one behind the other on {topic}, so they cannot be scored "
                "again by themselves; --lookups asof folds the features again."
            )
        if not old.answers:
            raise Refused(f"There is no old answer of this range on {topic}, so --lookups logged has nothing to score.")
        if missing := inputs.events - old.answers:
            self._notes.append(
                f"{missing:,} of the records have no old answer, and get none now: dead letters, mostly."
            )
        return Part(self._pipeline.name, inputs.group, topic, self._log.identity(topic)[0], lies)


def _version(settings: Settings, ref: str) -> str:
    """The version that is meant, as name@version. Raises Refused where there is none."""
    try:
        return read_manifest(newest_version(settings.models, ref)).ref
    except Fatal as error:
        raise Refused(str(error), exit_code=2) from None


def _try(settings: Settings, pipeline: Pipeline, plan: Plan) -> None:
    """Raises Refused where the model does not fit the pipeline, or the two its answers."""
    from app.offline import trial

    try:
        load(newest_version(settings.models, plan.model), pipeline.features)
        for one in derived(plan, pipeline).values():
            if not one.fold_only and plan.lookups != "logged":
                trial(one, settings.models, {})
    except Fatal as error:
        raise Refused(str(error)) from None


def _estimated(plan: Plan, old: Old | None) -> Plan:
    """With how long it takes and how much it writes, at rates that are said beside it."""
    answered = plan.workers * ANSWERED_PER_S
    folded = plan.workers * FOLDED_PER_S
    if plan.rate is not None:
        answered, folded = min(answered, int(plan.rate) or 1), min(folded, int(plan.rate) or 1)
    beside = max((part.events for part in plan.beside), default=0) / FOLDED_PER_S
    seconds = max(plan.scored.warmup / folded + plan.scored.events / answered, beside)
    each = old.bytes / old.answers if old is not None and old.answers else ANSWER_BYTES
    return msgspec.structs.replace(plan, seconds=seconds, disk_bytes=int(plan.scored.events * each))
