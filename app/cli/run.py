"""`run`: score a pipeline's events."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.connection import Home, Json, Kafka, Redis, settings
from app.cli.terminal import StatusLine, counted, note, say, say_json
from app.errors import Unavailable
from app.stream.progress import Progress

if TYPE_CHECKING:
    from app.pipeline import Pipeline
    from app.settings import Settings

PATIENCE_S = 5.0
REFRESH_S = 0.25
EVERY_S = 10.0  # between two lines, where there is no terminal
AGAIN_S = 1.0  # between two questions to a Kafka that is away


def add_to(cli: typer.Typer) -> None:
    cli.command("run")(run)


def run(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE")],
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes that share the partitions.")] = 1,
    instance: Annotated[
        str | None,
        typer.Option("--instance", metavar="NAME", help="This run's name among others. Default: host and a number."),
    ] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop when all that is there now is answered and flushed.")
    ] = False,
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Score every event of a pipeline once, until Ctrl-C.

    A worker that dies is started again, and its events are answered once all the same. Ctrl-C finishes what is begun;
    a second Ctrl-C ends the workers at once, which loses nothing either. With --json each thing that happens is a line
    on standard output, the last one a summary.

    \b
    Examples:
      streaminfer run fraud --workers 2
      streaminfer run fraud --until-end
      streaminfer run fraud --instance blue --json
    """
    from app.pipelines import pipeline_named
    from app.stream.slot import instance as held
    from app.stream.supervisor import Supervisor

    chosen = pipeline_named(pipeline)
    where = settings(kafka=kafka, redis=redis, home=home)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with held(where.kafka, chosen.name, instance) as name:
        ends = _ready(where, chosen, until_end=until_end)
        watch = _Watch(chosen, ends, as_json=as_json)
        watch.begin(workers, name, where.kafka)
        supervisor = Supervisor(where, chosen.name, instance=name, workers=workers, ends=ends, tell=watch.hear)
        with watch.line:
            code = supervisor.run()
    raise typer.Exit(watch.end(code, supervisor.failure))


def _ready(where: Settings, pipeline: Pipeline, *, until_end: bool) -> dict[int, int] | None:
    """Waits for Kafka and looks whether the topics are there. Gives the input's ends where they are asked for."""
    from app.replay.log import Log
    from app.stream.topics import Topics, refuse_missing

    topics, source = Topics(where, patience_s=PATIENCE_S), pipeline.source.name
    waiting = False
    while True:
        try:
            refuse_missing(topics.missing([source, pipeline.answers.name, pipeline.dead_letters]))
            ends = None
            if until_end:
                with contextlib.closing(Log(where, pipeline.name, patience_s=PATIENCE_S)) as log:
                    ends = log.ends(source, log.partitions(source), settled=False)
        except Unavailable as error:
            if not waiting:
                note(f"{error} Waiting for it.")
            waiting = True
            time.sleep(AGAIN_S)
            continue
        if waiting:
            note("Kafka answers.")
        return ends


class _Watch:
    """Shows a run: one line that is written over on a terminal, now and then a line elsewhere, or JSON."""

    def __init__(self, pipeline: Pipeline, ends: dict[int, int] | None, *, as_json: bool) -> None:
        self._pipeline = pipeline
        self._ends = ends
        self._as_json = as_json
        self._progress = Progress()
        self._next = time.monotonic()
        self.line = StatusLine(wanted=not as_json)

    def begin(self, workers: int, instance: str, kafka: str) -> None:
        if not self._as_json:
            until = "to the end that is there now" if self._ends is not None else "until Ctrl-C"
            say(
                f"Scoring {self._pipeline.source.name} on {kafka} into {self._pipeline.answers.name} with "
                f"{counted(workers, 'worker')}, as instance {instance}, {until}."
            )
            sys.stdout.flush()

    def hear(self, event: dict[str, Any]) -> None:
        """What the supervisor tells."""
        self._progress.hear(event)
        now = time.monotonic()
        if self._as_json:
            say_json(event)
        elif now >= self._next:
            self._next = now + (REFRESH_S if self.line.is_live else EVERY_S)
            if self.line.is_live:
                self.line.show(self._words())
            elif self._progress.records:
                say(self._words())
        sys.stdout.flush()

    def _words(self) -> str:
        it = self._progress
        return (
            f"{it.records:,} scored  {it.speed:,.0f}/s  {counted(it.dead_letters, 'dead letter')}  "
            f"{counted(it.partitions, 'partition')}  {counted(it.workers, 'worker')}"
        )

    def end(self, code: int, failure: str | None) -> int:
        """Tell how it ended. Gives the exit code: 1 where the end that was asked for is not reached."""
        it = self._progress
        left = sorted(set(self._ends or ()) - it.reached)
        if left and not code:
            code, failure = 1, f"Stopped before the end of partition {', '.join(map(str, left))}."
        counts = {"records": it.records, "dead_letters": it.dead_letters, "deaths": it.deaths}
        if self._as_json:
            say_json({"event": "summary", **counts, "seconds": round(it.seconds, 3), "exit_code": code})
        else:
            least = "At least " if it.deaths else ""
            died = f", {counted(it.deaths, 'worker')} died on the way" if it.deaths else ""
            say(
                f"{least}{counted(it.records, 'record')} answered in {it.seconds:.1f} s, "
                f"{counted(it.dead_letters, 'dead letter')} among them{died}."
            )
        if failure:
            note(failure)
        return code
