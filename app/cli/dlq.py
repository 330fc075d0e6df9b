"""`dlq ls`, `dlq show` and `dlq redrive`: records that were refused, and trying them again."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.connection import Home, Json, Kafka, Redis, settings
from app.cli.naming import PipelineName, PipelineOrAll
from app.cli.tail import moment_of
from app.cli.terminal import counted, moment, note, patience, printable, say, say_json, table
from app.errors import Refused

if TYPE_CHECKING:
    from app.replay.answered import Answered
    from app.replay.letterbox import Shown
    from app.replay.redrive import Selection
    from app.replay.redriving import Order, Outcome
    from app.settings import Settings

SHOWN = 20
CUT = 100  # characters of a reason in a table

Code = Annotated[
    str | None, typer.Option("--code", metavar="CODE", help="Only those with this code, as `ls` lists it.")
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Only those whose reason has this text.")]
Stage = Annotated[str | None, typer.Option("--stage", metavar="STAGE", help="Only those refused there, as decode.")]


def add_to(cli: typer.Typer) -> None:
    nouns = typer.Typer(help="Records that were refused: look at them, and try them again.", no_args_is_help=True)
    nouns.command("ls")(ls)
    nouns.command("show")(show)
    nouns.command("redrive")(redrive)
    cli.add_typer(nouns, name="dlq")


def ls(
    pipeline: PipelineOrAll = None,
    kafka: Kafka = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List dead letters by what was wrong: how many, when, how often tried, and what became of them.

    open: left to be tried again. again: tried again since, and refused again. answered: answered since. parked: tried
    as often as the pipeline declares. cannot: nobody can try them again; `show` says why.

    \b
    Examples:
      streaminfer dlq ls
      streaminfer dlq ls fraud --json
    """
    from app.pipelines import PIPELINES, pipeline_named
    from app.replay.letterbox import STATES, piles

    chosen = list(PIPELINES.values()) if pipeline is None else [pipeline_named(pipeline)]
    where = settings(kafka=kafka, home=home, needs="kafka")
    told = []
    for one in chosen:
        with _looked(where, one.name if pipeline is None else pipeline) as answered:
            told.append((one, piles(answered)))
    if as_json:
        say_json({one.name: [pile.as_object() for pile in found] for one, found in told})
        return
    for one, found in told:
        if not found:
            say(f"{one.name} has no dead letters.")
            continue
        say(f"{one.name}, on {one.dead_letters}:")
        rows: list[tuple[Any, ...]] = [
            ("stage/code", "letters", *STATES, "tries", "first seen", "last seen", "most often")
        ]
        for pile in found:
            counts = (f"{pile.letters:,}", *(f"{pile.states[state]:,}" for state in STATES), pile.attempts)
            times = moment(pile.first_ms), moment(pile.last_ms)
            kind = printable(f"{pile.stage}/{pile.code}")
            rows.append((kind, *counts, *times, printable(pile.reasons.most_common(1)[0][0][:CUT])))
        for line in table(rows, right=(1, 2, 3, 4, 5, 6, 7)):
            say(f"  {line}")


def show(
    pipeline: PipelineName,
    code: Code = None,
    reason: Reason = None,
    stage: Stage = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="P/OFFSET", help="Only those of this record of the input.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Stop after so many.")] = SHOWN,
    payload: Annotated[
        bool, typer.Option("--payload", help="Show key, value and headers too: they may hold what is private.")
    ] = False,
    kafka: Kafka = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show dead letters one by one: of which record, why it was refused, and what became of it.

    What was sent is shown with --payload only, and nothing in it can move a cursor or pretend to be ours. Exits with 1
    where there is none. With --json each is an object on a line.

    \b
    Examples:
      streaminfer dlq show fraud --code not-json
      streaminfer dlq show fraud --source 0/1841 --payload
    """
    from app.replay.letterbox import shown

    selection = _selection(code, reason, stage, None)
    place = _place(source)
    where = settings(kafka=kafka, home=home, needs="kafka")
    with _looked(where, pipeline) as answered:
        name = answered.pipeline.name
        with patience(f"Looking for letters of {name}"):
            found = list(islice(shown(answered, selection, place), limit))
    for one in found:
        if as_json:
            say_json(one.as_object(payload=payload))
        else:
            _tell_one(one, payload=payload)
    if not found:
        note(f"{name} has no such dead letter.")
        raise typer.Exit(1)


def redrive(
    pipeline: PipelineName,
    code: Code = None,
    reason: Reason = None,
    stage: Stage = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Only those written since, such as 2026-01-31T12:00:00Z."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of them, and write nothing.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="N", min=1.0, help="At most so many letters a second.")
    ] = None,
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Try refused records again: their original bytes by today's contract, with the model that serves now.

    Each gets one final answer, whatever dies on the way: a prediction, or a dead letter that says it was tried once
    more. After the tries that its pipeline declares (attempts) a letter is parked. Letters that are left out can be
    tried later. Folded state is read and not changed. Exits with 1 where letters are left.

    \b
    Examples:
      streaminfer dlq redrive fraud --dry-run
      streaminfer dlq redrive fraud --code not-json --since 2026-01-31T12:00:00Z
      streaminfer dlq redrive fraud --rate 200
    """
    from app.pipelines import pipeline_named
    from app.replay.redriving import Order, refuse_fold_only, rehearse, select

    chosen = pipeline_named(pipeline)
    refuse_fold_only(chosen)
    selection = _selection(code, reason, stage, since)
    where = settings(kafka=kafka, redis=redis, home=home, pipeline=pipeline)
    with _looked(where, pipeline) as answered:
        if dry_run:
            tried = [0]
            with patience(f"Trying letters of {chosen.name}", lambda: f"{tried[0]:,} tried"):
                outcome = rehearse(where, answered, selection, lambda count: tried.__setitem__(0, count))
            _tell_outcome(outcome, as_json=as_json, dry_run=True)
            return
        due, outcome = select(answered, selection)
        failure = ""
        if due:
            failure = _run(where, answered, Order(selection, rate), pipeline)
            _finish(answered, due, outcome)
    _tell_outcome(outcome, as_json=as_json, dry_run=False)
    if failure:
        note(failure)
    if outcome.left:
        note(f"{counted(outcome.left, 'letter')} left: run this again, and it goes on where it stands.")
    if failure or outcome.left:
        raise typer.Exit(1)


def _run(where: Settings, answered: Answered, order: Order, reference: str) -> str:
    """Redrive until all letters that are there now are looked at. Gives why it ended before, if it did."""
    from app.pipelines import lasting
    from app.replay.redriving import begin, group_of, supervised
    from app.stream.progress import Progress
    from app.stream.slot import instance
    from app.telemetry.logs import begin_logs

    name = answered.pipeline.name
    begin_logs(where, pipeline=name)
    progress, starts = Progress(), answered.starts()
    total = sum(end - starts[p] for p, end in answered.bounds.items())
    with instance(where.kafka, group_of(answered.pipeline), "only"):
        with patience(f"Waiting for an earlier redrive of {name} to be gone"):
            begin(where, answered)
        with (
            supervised(where, answered, order, reference=lasting(reference), tell=progress.hear) as supervisor,
            patience(f"Trying letters of {name}", lambda: f"{progress.records:,} of {total:,} looked at"),
        ):
            supervisor.run()
    return supervisor.failure or ""


def _finish(answered: Answered, due: list[Any], outcome: Outcome) -> None:
    from app.replay.redriving import judge

    with patience("Reading what became of them"):
        answered.look()
        judge(answered, due, outcome)


def _looked(where: Settings, pipeline: str) -> Answered:
    """The letters of a pipeline, read."""
    from app.pipelines import pipeline_named
    from app.replay.answered import Answered

    at = [0, 0]

    def progress(done: int, total: int) -> None:
        at[:] = done, total

    with patience(f"Reading dead letters of {pipeline}", lambda: f"{at[0]:,} of {at[1]:,} records"):
        answered = Answered(where, pipeline_named(pipeline), progress=progress)
        answered.look()
    return answered


def _selection(code: str | None, reason: str | None, stage: str | None, since: str | None) -> Selection:
    from app.replay.redrive import Selection

    since_ms = None
    if since is not None:
        found = moment_of(since, option="--since")
        if not isinstance(found, int):
            raise Refused("--since takes a time such as 2026-01-31T12:00:00Z.", exit_code=2)
        since_ms = found
    return Selection(code=code, reason=reason, stage=stage, since_ms=since_ms)


def _place(source: str | None) -> tuple[int, int] | None:
    if source is None:
        return None
    partition, _, offset = source.rpartition("/")
    partition = partition.rpartition("/")[2]  # a whole address serves too
    if not (partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
        raise Refused("--source takes partition/offset of the input, such as 0/1841.", exit_code=2)
    return int(partition), int(offset)


def _tell_one(one: Shown, *, payload: bool) -> None:
    told = one.as_object(payload=payload)
    say(printable(f"{told['letter']}  {moment(told['timestamp'])}  of {told['source'] or 'no record'}"))
    say(printable(f"  {told['stage']}/{told['code']}, try {told['attempt']}: {told['reason']}"))
    say(printable(f"  {told['why']}"))
    value = "no value" if told["value_bytes"] is None else f"a value of {counted(told['value_bytes'], 'byte')}"
    say(f"  A key of {counted(told['key_bytes'], 'byte')}, {value}, {counted(told['record_headers'], 'header')}.")
    if payload:
        for name in ("key", "value", "headers"):
            whole = told.get(f"{name}_base64") or told[name]
            say(printable(f"  {name}: {whole}"))


def _tell_outcome(outcome: Outcome, *, as_json: bool, dry_run: bool) -> None:
    from app.replay.letters import PROBLEMS

    refused = [
        {"stage": stage, "code": code, "reason": outcome.reasons[stage, code], "letters": count}
        for (stage, code), count in outcome.refused.most_common()
    ]
    if as_json:
        counts = {"due": outcome.due, "answered": outcome.answered, "refused": refused, "parked": outcome.parked}
        rest = {"left": outcome.left, "already_parked": outcome.already_parked, "cannot": dict(outcome.cannot)}
        say_json({"dry_run": dry_run, **counts, **rest})
        return
    would = "would be" if dry_run else "were"
    say(f"{counted(outcome.due, 'letter')} {would} tried again: {outcome.answered:,} {would} answered.")
    for one in refused:
        kind = f"{one['stage']}/{one['code']}"
        say(printable(f"  {one['letters']:,} {would} refused again for {kind}: {one['reason']}"))
    if outcome.parked:
        say(f"  {outcome.parked:,} of these {would} parked: that was their last try.")
    if outcome.already_parked:
        say(f"{counted(outcome.already_parked, 'letter')} parked before, and left alone.")
    for problem, count in outcome.cannot.most_common():
        say(f"{counted(count, 'letter')} cannot be tried again. {PROBLEMS[problem]}")
