"""`offsets recover`: the group's offsets from what it left."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.connection import Home, Json, Kafka, Redis, settings
from app.cli.naming import PipelineName
from app.cli.terminal import patience, say, say_json, table


def add_to(cli: typer.Typer) -> None:
    nouns = typer.Typer(help="Where a pipeline's group stands.", no_args_is_help=True)
    nouns.callback()(lambda: None)  # a noun with one verb would swallow it
    nouns.command("recover")(recover)
    cli.add_typer(nouns, name="offsets")


def recover(
    pipeline: PipelineName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the offsets, and set nothing.")] = False,
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Set a group's offsets to where its answers end: for a group that expired, or was deleted or moved by hand.

    Reads the answers and dead letters themselves: each names the record that it is of. A pipeline that only folds
    stands where its markers in Redis and its dead letters say. Refused while the group has members.

    \b
    Examples:
      streaminfer offsets recover fraud --dry-run
      streaminfer offsets recover fraud
    """
    from app.pipelines import pipeline_named
    from app.replay.recover import recover as find

    chosen = pipeline_named(pipeline)
    where = settings(kafka=kafka, redis=redis, home=home, needs="both" if chosen.fold_only else "kafka")
    at = [0, 0]

    def progress(done: int, total: int) -> None:
        at[:] = done, total

    with patience(f"Reading what {chosen.name} answered", lambda: f"{at[0]:,} of {at[1]:,} records"):
        found = find(where, chosen, dry_run=dry_run, progress=progress)
    if as_json:
        say_json({"pipeline": chosen.name, "set": not dry_run, "partitions": [asdict(part) for part in found]})
        return
    rows = [("partition", "had", "stands at")]
    rows += [(str(p.partition), "nothing" if p.before is None else f"{p.before:,}", f"{p.offset:,}") for p in found]
    for line in table(rows, right=(0, 1, 2)):
        say(f"  {line}")
    if dry_run:
        say("Nothing is set: leave --dry-run out to set these offsets.")
    else:
        say(f"The group {chosen.name} goes on from there.")
