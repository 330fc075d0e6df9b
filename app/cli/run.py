"""`run`: score a pipeline's events."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.connection import Home, Json, Kafka, Redis, settings
from app.cli.naming import PipelineName
from app.cli.terminal import StatusLine, counted, note, patience, say, say_json
from app.errors import Unavailable
from app.stream.progress import Progress

if TYPE_CHECKING:
    from app.pipeline import Pipeline
    from app.replay.elsewhere import Elsewhere
    from app.settings import Settings
    from app.telemetry.outside import Outside

PATIENCE_S = 5.0
REFRESH_S = 0.25
EVERY_S = 10.0  # between two lines, where there is no terminal
AGAIN_S = 1.0  # between two questions to a Kafka that is away


def add_to(cli: typer.Typer) -> None:
    cli.command("run")(run)


def run(
    pipeline: PipelineName,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes that share the partitions.")] = 1,
    instance: Annotated[
        str | None,
        typer.Option("--instance", metavar="NAME", help="This run's name among others. Default: host and a number."),
    ] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop when all that is there now is answered and flushed.")
    ] = False,
    dead_letter_limit: Annotated[
        float | None,
        typer.Option(
            "--dead-letter-limit",
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="End when more than this share of a worker's last 1,000 records are dead letters. Default: 0.05.",
        ),
    ] = None,
    accept_dead_letters: Annotated[
        int | None,
        typer.Option("--accept-dead-letters", metavar="N", min=0, help="Let each worker go on for N beyond the limit."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME@VERSION", help="Score with this version, not the one that is declared."),
    ] = None,
    observe: Annotated[
        str | None,
        typer.Option(
            "--observe", metavar="ADDRESS", help="Where /metrics, /healthz, /readyz are: HOST:PORT, auto, off."
        ),
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="human|json", help="How log lines look.")
    ] = None,
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Score every event of a pipeline once, until Ctrl-C.

    A worker that dies is started again, and its events are answered once all the same. Ctrl-C finishes what is begun;
    a second Ctrl-C ends the workers at once, which loses nothing either. With --json each thing that happens is a line
    on standard output, the last one a summary.

    A run that ends gives its partitions up at once. One that --instance names keeps them for a session (6 s), so that
    nobody else notices when it is started again by then; leave_at_end decides otherwise.

    While it runs, /metrics (for Prometheus), /healthz and /readyz are answered on loopback, from port 9464 on.

    \b
    Examples:
      streaminfer run fraud --workers 2
      streaminfer run fraud --until-end
      streaminfer run shop/pipeline.py:pipeline
      streaminfer run fraud --model fraud@2
      streaminfer run fraud --instance blue --json
      streaminfer run fraud --observe 0.0.0.0:9464 --log-format json
    """
    from app.inference.serving import pinned
    from app.pipelines import lasting, pipeline_named
    from app.replay.elsewhere import Elsewhere, OtherRuns
    from app.replay.idle import idle_sentence
    from app.stream.slot import instance as held
    from app.stream.slot import slot
    from app.stream.supervisor import Supervisor
    from app.telemetry.logs import begin_logs
    from app.telemetry.outside import Outside
    from app.telemetry.place import announced

    chosen = pipeline_named(pipeline)
    where = settings(
        kafka=kafka,
        redis=redis,
        home=home,
        pipeline=pipeline,
        enter=False,
        dead_letter_limit=dead_letter_limit,
        accept_dead_letters=accept_dead_letters,
        observe=observe,
        log_format=log_format,
    )
    if where.leave_at_end is None:  # who names a run means to start it again under that name
        where = where.model_copy(update={"leave_at_end": until_end or instance is None})
    where = pinned(where, chosen, model)
    _try(pipeline, chosen, where)
    begin_logs(where, pipeline=chosen.name)
    with (
        held(where.kafka, chosen.name, instance) as name,
        Outside(where, chosen) as outside,
        announced(where.kafka, chosen.name, name, outside.url),
    ):
        ends = _ready(where, chosen, outside, named=pipeline, until_end=until_end)
        mine = [slot(chosen.name, name, i) for i in range(workers)]
        if idle := idle_sentence(where, chosen, mine, patience_s=PATIENCE_S):
            note(idle)
        elsewhere = Elsewhere(OtherRuns(where, chosen, ends or {}, mine=mine).look)
        watch = _Watch(chosen, ends, outside, elsewhere, as_json=as_json)
        watch.begin(workers, name, where.kafka)
        supervisor = Supervisor(
            where,
            chosen.name,
            instance=name,
            workers=workers,
            ends=ends,
            tell=watch.hear,
            reference=lasting(pipeline),
            elsewhere=lambda: elsewhere.ended,
        )
        outside.turned = lambda: supervisor.turned
        with watch.line, elsewhere if until_end else contextlib.nullcontext():
            code = supervisor.run()
    raise typer.Exit(watch.end(code, supervisor.failure))


def _try(name: str, pipeline: Pipeline, where: Settings) -> None:
    """Load the model where it can do no harm. Raises Refused where it, or a pipeline of one's own, does not fit.

    Those of this project fit, as their tests say. Each worker looks at the model once more.
    """
    from app.inference.apart import try_version
    from app.inference.serving import serving
    from app.pipelines import declared_at, own

    if pipeline.model is None:
        return
    with patience(f"Trying the model of {pipeline.name}"), declared_at(name):
        folder = serving(pipeline, where.models, where.versions)
        try_version(folder, pipeline.features, home=where.home)
        if own.is_reference(name):
            from app.offline import trial

            trial(pipeline, where.models, where.versions)


def _ready(
    where: Settings, pipeline: Pipeline, outside: Outside, *, named: str, until_end: bool
) -> dict[int, int] | None:
    """Waits for Kafka and looks whether it may be used, and whether the topics are there.

    Gives the input's ends where they are asked for.
    """
    from app.access.entry import enter_kafka, enter_redis
    from app.access.granted import refuse_ungranted
    from app.access.rights import to_run
    from app.replay.log import Log
    from app.replay.recover import refuse_forgotten
    from app.stream.topics import Topics, refuse_missing

    topics, source = Topics(where, patience_s=PATIENCE_S), pipeline.source.name
    waiting = False
    while True:
        try:
            enter_kafka(where)
            enter_redis(where)
            refuse_ungranted(where, to_run(pipeline, where), patience_s=PATIENCE_S)
            refuse_missing(topics.missing([spec.name for spec in pipeline.topics()]), of=named)
            refuse_forgotten(where, pipeline, patience_s=PATIENCE_S)
            ends = None
            if until_end:
                with contextlib.closing(Log(where, pipeline.name, patience_s=PATIENCE_S)) as log:
                    ends = log.ends(source, log.partitions(source), settled=False)
        except Unavailable as error:
            if not waiting:
                where_told = f" {outside.url}/readyz tells how it goes." if outside.url is not None else ""
                note(f"{error} Waiting for it.{where_told}")
            waiting, outside.waits = True, str(error)
            time.sleep(AGAIN_S)
            continue
        if waiting:
            note("Kafka answers.")
        outside.waits = ""
        return ends


class _Watch:
    """Shows a run: one line that is written over on a terminal, now and then a line elsewhere, or JSON."""

    def __init__(
        self,
        pipeline: Pipeline,
        ends: dict[int, int] | None,
        outside: Outside,
        elsewhere: Elsewhere,
        *,
        as_json: bool,
    ) -> None:
        self._pipeline = pipeline
        self._outside = outside
        self._elsewhere = elsewhere
        self._ends = ends
        self._as_json = as_json
        self._progress = Progress()
        self._begun = False
        self._next = time.monotonic()
        self.line = StatusLine(wanted=not as_json)

    def begin(self, workers: int, instance: str, kafka: str) -> None:
        if not self._as_json:
            until = "to the end that is there now" if self._ends is not None else "until Ctrl-C"
            source, answers = self._pipeline.source.name, self._pipeline.answers
            what = (
                f"Folding {source} on {kafka}"
                if answers is None
                else f"Scoring {source} on {kafka} into {answers.name}"
            )
            say(f"{what} with {counted(workers, 'worker')}, as instance {instance}, {until}.")
            if self._outside.url is not None:
                say(f"Seen from outside at {self._outside.url}: /metrics, /healthz, /readyz.")
        sys.stdout.flush()

    def hear(self, event: dict[str, Any]) -> None:
        """What the supervisor tells."""
        self._outside.hear(event)
        if event["event"] == "report":
            return
        self._progress.hear(event)
        now = time.monotonic()
        if self._as_json:
            if not self._begun and self._outside.url is not None:
                say_json({"event": "observed", "url": self._outside.url})
            self._begun = True
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
        did = "folded" if self._pipeline.fold_only else "scored"
        return (
            f"{it.records:,} {did}  {it.speed:,.0f}/s  {counted(it.dead_letters, 'dead letter')}  "
            f"{counted(it.partitions, 'partition')}  {counted(it.workers, 'worker')}"
        )

    def end(self, code: int, failure: str | None) -> int:
        """Tell how it ended. Gives the exit code: 1 where the end that was asked for is not reached."""
        it = self._progress
        left = sorted(set(self._ends or ()) - it.reached - self._elsewhere.ended)
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
