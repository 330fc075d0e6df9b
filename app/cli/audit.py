"""`audit`: was every event answered exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from app.cli.connection import Home, Json, Kafka, settings
from app.cli.naming import PipelineName
from app.cli.terminal import patience, printable, say, say_json, table

if TYPE_CHECKING:
    from app.replay.audit import AuditResult

COUNTS = ("inputs", "predictions", "dead_letters", "missing", "duplicated", "unexplained")
MORE = ("redriven", "parked")  # what became of dead letters
SHOWN = 5  # examples of each kind


def add_to(cli: typer.Typer) -> None:
    cli.command("audit")(audit)


def audit(
    pipeline: PipelineName,
    kafka: Kafka = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Compare every committed input with its answers: one each, and none that nobody asked for.

    Reads the topics themselves, beside running workers. Exits with 1 unless nothing is missing, duplicated or
    unexplained.

    \b
    Examples:
      streaminfer audit fraud
      streaminfer audit fraud --json
    """
    from app.pipelines import pipeline_named
    from app.replay.audit import audit as compare

    chosen = pipeline_named(pipeline)
    where = settings(kafka=kafka, home=home, needs="kafka")
    done, total = 0, 0

    def progress(read: int, of: int) -> None:
        nonlocal done, total
        done, total = read, of

    with patience(f"Auditing {chosen.name}", lambda: f"{done:,} of {total:,} records"):
        found = compare(where, chosen, progress=progress)
    if as_json:
        say_json({name: getattr(found, name) for name in COUNTS + MORE})
    else:
        _tell(chosen.name, found)
    if not found.ok:
        raise typer.Exit(1)


def _tell(pipeline: str, found: AuditResult) -> None:
    names = [*COUNTS, *(name for name in MORE if getattr(found, name))]
    for line in table([(name.replace("_", " "), f"{getattr(found, name):,}") for name in names], right=(1,)):
        say(f"  {line}")
    if found.ok:
        say(f"Every committed input of {pipeline} has exactly one answer, and there is no other answer.")
        return
    for name in COUNTS[3:]:
        examples = getattr(found, f"{name}_examples")[:SHOWN]
        if examples:
            say(f"{name}: {printable(', '.join(examples))}{', ...' if getattr(found, name) > len(examples) else ''}")
