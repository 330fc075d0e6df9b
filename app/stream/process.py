"""A worker's process: told what to do by one line on standard input, tells what it did by lines on standard output.

Standard input stays open as a tether: when it ends, the supervisor is gone, and the worker finishes and leaves.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import Fatal, Fenced, Refused, Unavailable
from app.pipeline import Pipeline
from app.pipelines import pipeline_named
from app.replay.plan import Plan
from app.settings import Settings
from app.stream.build import build_worker
from app.stream.observe import Observer, nobody
from app.stream.pulse import Note, Pulse
from app.stream.report import report_of, waiting
from app.stream.suspects import Verdict
from app.stream.throttle import Throttle
from app.stream.worker import Worker
from app.telemetry.logs import begin_logs
from app.telemetry.masking import mask

if TYPE_CHECKING:
    from app.telemetry.spans import Spans

log = logging.getLogger(__name__)

# Exit codes that no crash of the interpreter has: any other end is a death, and the supervisor restarts it.
FATAL, FENCED = 64, 65
REPORT_EVERY_S = 0.5
REPLAYS_NICE = 15  # where cores are short, who scores what comes now goes before who scores what was
FIRST_S = 0.05  # the first commit is told at once: it is what the supervisor counts deaths by


class Job(msgspec.Struct, frozen=True):
    """What the supervisor asks of a worker. `settings` are those of the supervisor, whole.

    `pipeline` is a name or a reference to a file of its own (app/pipelines). `note` is the number of an inherited file,
    where the worker notes what it is scoring. With a `replay` it is the part of that plan whose group is `part`, up to
    the plan's ends. `rate` is records a second; each further line of standard input may set another.
    """

    pipeline: str
    slot: str
    settings: dict[str, Any]
    ends: dict[int, int] = {}
    note: int | None = None
    verdict: Verdict = Verdict()
    replay: Plan | None = None
    part: str = ""
    rate: float | None = None


class Pacing(msgspec.Struct, frozen=True):
    """A further line of standard input."""

    rate: float | None


def main(
    observe: Observer = nobody,
    find: Callable[[str], Pipeline] = pipeline_named,
    build: Callable[..., Worker] = build_worker,
) -> int:
    """Run the job that the first line of standard input describes, by the worker that `build` makes.

    Gives the exit code.
    """
    sys.setswitchinterval(0.0005)  # a commit that is confirmed must not wait 5 ms for the other thread
    line, rest = _first_line()
    job = msgspec.json.decode(line, type=Job)
    settings = Settings.model_validate(job.settings)
    if job.replay is not None:
        os.nice(REPLAYS_NICE)
    begin_logs(settings, pipeline=job.pipeline, slot=job.slot)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    throttle = Throttle(job.rate)
    threading.Thread(target=_tether, args=(rest, stopping, throttle), daemon=True).start()
    # A worker that does not poll for so long has lost its partitions; what still holds it does not end by itself.
    pulse = Pulse(Note(job.note), turn_s=settings.max_poll_interval_ms / 1000, score_s=settings.score_deadline_s)
    pulse.beat()
    try:
        pipeline, fold_from = _part(job, find(job.pipeline))
        made = partial(
            build,
            settings,
            pipeline,
            slot=job.slot,
            ends=job.ends,
            pulse=pulse,
            verdict=job.verdict,
            observe=observe,
            fold_from=fold_from,
            throttle=throttle,
        )
        worker = _built(made, stopping=stopping, pulse=pulse)
        if worker is not None:
            worker.stopping = stopping
            spans = _spans(worker, settings, job.slot)
            gc.collect()
            gc.freeze()
            threading.Thread(target=_report, args=(worker,), daemon=True).start()
            worker.run()
            _tell(worker, set())
            if spans is not None:
                spans.close()
    except (Fatal, Refused) as error:
        _say(event="fatal", message=mask(str(error)))
        return FENCED if isinstance(error, Fenced) else FATAL
    return 0


def _spans(worker: Worker, settings: Settings, slot: str) -> Spans | None:
    """Who draws the worker's batches, where settings name somebody to draw them for."""
    if settings.otlp_url is None or worker.meter is None:
        return None
    from app.telemetry.spans import spans_to

    spans = spans_to(settings.otlp_url, worker.processor.pipeline, slot)
    worker.meter.drawn = spans.draw
    return spans


def _part(job: Job, pipeline: Pipeline) -> tuple[Pipeline, dict[int, int] | None]:
    """What the job runs, and where its state begins if that is planned."""
    if job.replay is None:
        return pipeline, None
    from app.replay.derived import derived

    part = next(part for part in job.replay.parts if part.group == job.part)
    return derived(job.replay, pipeline)[job.part], part.fold_from


def _built(build: Callable[[], Worker], *, stopping: threading.Event, pulse: Pulse) -> Worker | None:
    """The worker; waits for a Redis that is away, and says so once. None if told to stop meanwhile."""
    said = False
    while not stopping.is_set():
        pulse.beat()
        try:
            worker = build()
        except Unavailable as error:
            if not said:
                log.warning("%s Waiting for it.", error, extra={"event": "waits-for-redis"})
            said = True
            _say(**waiting(f"Redis: {mask(str(error))}"))
            stopping.wait(0.5)
            continue
        if said:
            log.info("Redis answers.", extra={"event": "redis-answers"})
        return worker
    return None


def _first_line() -> tuple[bytes, bytes]:
    """And what came behind it. Without a buffer: a thread that waits in a buffered read would not let Python end."""
    read = b""
    while b"\n" not in read and (more := os.read(0, 65536)):
        read += more
    line, _, rest = read.partition(b"\n")
    return line, rest


def _tether(rest: bytes, stopping: threading.Event, throttle: Throttle) -> None:
    while True:
        *lines, rest = rest.split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                throttle.rate = msgspec.json.decode(line, type=Pacing).rate
        if not (more := os.read(0, 4096)):
            break
        rest += more
    stopping.set()


def _report(worker: Worker) -> None:
    told: set[int] = set()
    while True:
        _tell(worker, told)
        until = time.monotonic() + REPORT_EVERY_S
        uncommitted = worker.counts.batches == 0
        while time.monotonic() < until and not (uncommitted and worker.counts.batches):
            time.sleep(FIRST_S if uncommitted else REPORT_EVERY_S)


def _tell(worker: Worker, told: set[int]) -> None:
    counts = worker.counts
    shares = dict(worker.shares)
    _say(
        event="progress",
        records=counts.records,
        folded=counts.folded,
        dead_letters=counts.dead_letters,
        batches=counts.batches,
        aborted=counts.aborted,
        skipped=dict(worker.memory.skipped),
        partitions={p: share.phase.value for p, share in sorted(shares.items())},
        offsets=dict(sorted(counts.offsets.items())),
        waits=worker.waits,
    )
    if worker.meter is not None:
        _say(**report_of(worker, worker.meter))
    for partition, share in shares.items():
        if share.reached and partition not in told:
            told.add(partition)
            _say(event="reached", partition=partition)


_saying = threading.Lock()


def _say(**event: Any) -> None:
    line = json.dumps(event)
    with _saying, contextlib.suppress(OSError):  # without its supervisor the tether ends this process
        print(line, flush=True)
