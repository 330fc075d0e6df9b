"""`health`: is a run ready? For probes and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.connection import Home, Json, Kafka, settings
from app.cli.terminal import printable, say, say_json

if TYPE_CHECKING:
    from app.telemetry.ask import Verdict


def add_to(cli: typer.Typer) -> None:
    cli.command("health")(health)


def health(
    pipeline: Annotated[str | None, typer.Argument(metavar="PIPELINE", help="Default: all that run here.")] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Ask there, and not the runs of this machine.")
    ] = None,
    alive: Annotated[bool, typer.Option("--alive", help="Ask whether it lives, not whether it is ready.")] = False,
    kafka: Kafka = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Ask the runs of this machine whether they are ready: every record that comes now is scored.

    Exits with 0 where all of them say so, and with 1 where one does not or none runs. Each part that is not well is
    named. A container's health check needs nothing else.

    \b
    Examples:
      streaminfer health
      streaminfer health fraud --alive
      streaminfer health --url http://10.0.0.7:9464 --json
    """
    found = _verdicts(pipeline, url, alive=alive, kafka=kafka, home=home)
    for verdict in found:
        if as_json:
            say_json({"run": verdict.name, "url": verdict.url, "well": verdict.well, "wrong": dict(verdict.wrong)})
        else:
            say(printable(sentence(verdict, alive=alive)))
    if not found and not as_json:
        say(f"No run of {pipeline or 'any pipeline'} is on this machine: `streaminfer run` starts one.")
    if not found or not all(verdict.well for verdict in found):
        raise typer.Exit(1)


def _verdicts(pipeline: str | None, url: str | None, *, alive: bool, kafka: str | None, home: Home) -> list[Verdict]:
    from app.telemetry.ask import ask, asked
    from app.telemetry.place import runs

    if url is not None:
        return [asked(url, url.rstrip("/"), alive=alive)]
    where = settings(kafka=kafka, home=home, needs="kafka", enter=False)
    return [ask(run, alive=alive) for run in runs(where.kafka, pipeline)]


def sentence(verdict: Verdict, *, alive: bool = False) -> str:
    """One run's verdict for a person."""
    if verdict.url is None:
        return f"{verdict.name} runs, and does not say how: it was started with observe=off."
    word = "alive" if alive else "ready"
    if verdict.well:
        return f"{verdict.name} is {word}."
    return f"{verdict.name} is not {word}. {' '.join(verdict.wrong.values())}".rstrip()
