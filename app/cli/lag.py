"""`lag`: how far a pipeline is behind, and why."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from app.cli.connection import Home, Json, Kafka, settings
from app.cli.naming import PipelineOrAll
from app.cli.terminal import counted, note, patience, printable, say, say_json, table
from app.errors import Refused, Unavailable

if TYPE_CHECKING:
    from app.pipeline import Pipeline
    from app.replay.lag import PartitionLag, PipelineLag
    from app.settings import Settings

HEAD = ("PARTITION", "LAG", "BEHIND", "WAITED", "HELD", "OWNER")
UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
HANGS_S = 2.0  # a transaction that is open for longer is worth a sentence
SHOWN = 12  # partitions that a sentence names


def add_to(cli: typer.Typer) -> None:
    cli.command("lag")(lag)


def lag(
    pipeline: PipelineOrAll = None,
    watch: Annotated[bool, typer.Option("--watch", help="Measure again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.5, help="Between two, with --watch.")] = 2,
    kafka: Kafka = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show how many committed records a pipeline has not scored yet, and how old they are.

    Records are counted by reading them: markers of transactions and aborted records are no lag. Of a partition that
    is more than 100,000 offsets behind, the rest is counted by offsets, and the lag is at most that ("exact": false).

    BEHIND is event time, from the first unscored event to the newest; WAITED is since Kafka took the first unscored
    record; HELD are offsets that an open transaction keeps back, and for how long. A partition that nobody owns is
    not scored.

    The workers that are wanted score what is left within drain_s and keep up with what arrives, each counted on for
    worker_rate events a second (`streaminfer settings`): "workers_wanted", for an autoscaler.

    What hangs is a producer's, whose name the client cannot ask for; Kafka's own
    `kafka-transactions.sh describe-producers --topic TOPIC --partition N` tells it.

    With --json one object a line, one for each pipeline. Exits with 0 whatever the lag is.

    \b
    Examples:
      streaminfer lag
      streaminfer lag fraud --json
      streaminfer lag fraud --watch --every 5
    """
    from app.pipelines import PIPELINES, pipeline_named

    chosen = PIPELINES if pipeline is None else {pipeline: pipeline_named(pipeline)}
    where = settings(kafka=kafka, home=home, needs="kafka")
    if watch:
        _watch(where, chosen, every, as_json=as_json)
    code = _measure(where, chosen, as_json=as_json)
    if code:
        raise typer.Exit(code)


def _watch(where: Settings, chosen: Mapping[str, Pipeline], every_s: float, *, as_json: bool) -> NoReturn:
    """A Kafka that is away is told, and asked again: whoever watches wants to see it come back."""
    while True:
        try:
            if not as_json:
                say("\x1b[H\x1b[2J" * sys.stdout.isatty() + datetime.now().astimezone().strftime("%H:%M:%S"))
            _measure(where, chosen, as_json=as_json)
        except Unavailable as error:
            note(str(error))
        sys.stdout.flush()
        time.sleep(every_s)


def _measure(where: Settings, chosen: Mapping[str, Pipeline], *, as_json: bool) -> int:
    """Tell each pipeline's lag. Gives the exit code."""
    from app.replay.lag import lag_of

    refused: Refused | None = None
    for called, one in chosen.items():
        try:
            with patience(f"Measuring the lag of {one.name}"):
                found = lag_of(where, one)
        except Refused as error:  # the topics of one pipeline may be there, those of another not
            refused = error
            note(str(error))
            continue
        if as_json:
            say_json(as_object(found))
        else:
            _tell(found, called)
    return 0 if refused is None else refused.exit_code


def as_object(found: PipelineLag) -> dict[str, Any]:
    """The lag as JSON has it; seconds are rounded to milliseconds."""
    from dataclasses import asdict

    return {
        "pipeline": found.pipeline,
        "topic": found.topic,
        "lag": found.lag,
        "exact": found.exact,
        "seconds_behind_event": _rounded(found.seconds_behind_event),
        "seconds_behind_append": _rounded(found.seconds_behind_append),
        "rebalancing": found.rebalancing,
        "arriving_per_s": _rounded(found.arriving),
        "workers_wanted": found.workers_wanted,
        "partitions": [
            {name: _rounded(value) for name, value in asdict(partition).items()} for partition in found.partitions
        ],
    }


def verdict(found: PipelineLag, called: str) -> str:
    """One sentence: how far the pipeline is behind, and what keeps it from scoring if something does.

    `called` is what a command line names it by: a pipeline of one's own is named by its file.
    """
    name, topic = found.pipeline, found.topic
    behind = f"{name} is {_records(found.lag, found.exact)} behind" if found.lag else f"{name} is caught up"
    if found.unowned and found.rebalancing:
        return f"{behind}, and its group is sharing {topic} out again: nobody has {_partitions(found.unowned)} yet."
    if found.unowned:
        return (
            f"{behind}, but nobody owns {_partitions(found.unowned)} of {topic}, so nothing there is scored: start "
            f"`streaminfer run {called}`."
        )
    hanging = [p for p in found.partitions if p.held and (p.held_seconds is None or p.held_seconds >= HANGS_S)]
    if hanging:
        known = [p.held_seconds for p in hanging if p.held_seconds is not None]
        age = f", open for {span(max(known))}," if known else ""
        return (
            f"{behind}, but a transaction of a producer{age} keeps back what follows in "
            f"{_partitions([p.partition for p in hanging])} of {topic}: it is scored when that transaction ends."
        )
    if found.lag:
        in_event_time = found.seconds_behind_event
        by = "" if in_event_time is None else f", {span(in_event_time)} by event time"
        return f"{behind}{by}; the oldest of them has waited for {span(found.seconds_behind_append)}."
    return f"{behind}: every committed record of {topic} has its answer."


def span(seconds: float | None) -> str:
    """`0.2 s`, `59 s`, `2.0 min`, `3.5 h`, `12.0 d`; `?` where it is not known."""
    if seconds is None:
        return "?"
    for length, unit in UNITS:
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{seconds:.0f} s"


def row(partition: PartitionLag) -> tuple[Any, ...]:
    """A partition's line of the table, cell by cell."""
    held, owner = "-", "nobody"
    if partition.held:
        held = f"{partition.held:,} for {span(partition.held_seconds)}"
    if partition.owner is not None:
        owner = printable(f"{partition.owner.client_id} @ {partition.owner.host}")
    behind, waited = span(partition.seconds_behind_event), span(partition.seconds_behind_append)
    return (partition.partition, _number(partition.lag, partition.exact), behind, waited, held, owner)


def _tell(found: PipelineLag, called: str) -> None:
    total = ("total", _number(found.lag, found.exact), span(found.seconds_behind_event))
    held = sum(partition.held for partition in found.partitions)
    rows = [HEAD, *map(row, found.partitions), (*total, span(found.seconds_behind_append), held or "-", "")]
    for line in table(rows, right=(0, 1, 2, 3, 4)):
        say(line)
    say(verdict(found, called))
    say(
        f"{counted(round(found.arriving), 'record')} a second arrive; "
        f"{counted(found.workers_wanted, 'worker')} wanted (worker_rate, drain_s)."
    )


def _number(lag: int, exact: bool) -> str:
    return f"{lag:,}" if exact else f"<= {lag:,}"


def _records(lag: int, exact: bool) -> str:
    return counted(lag, "record") if exact else f"at most {counted(lag, 'record')}"


def _partitions(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")
    return f"partition{'s' if len(numbers) > 1 else ''} {named}"


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value
