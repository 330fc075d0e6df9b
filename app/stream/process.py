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
from typing import Any

import msgspec

from app.errors import Fatal, Fenced, Refused, Unavailable
from app.pipeline import Pipeline
from app.pipelines import pipeline_named
from app.settings import Settings
from app.stream.build import build_worker
from app.stream.observe import Observer, nobody
from app.stream.worker import Worker

log = logging.getLogger(__name__)

# Exit codes that no crash of the interpreter has: any other end is a death, and the supervisor restarts it.
FATAL, FENCED = 64, 65
REPORT_EVERY_S = 0.5
FIRST_S = 0.05  # the first commit is told at once: it is what the supervisor counts deaths by


class Job(msgspec.Struct, frozen=True):
    """What the supervisor asks of a worker. `settings` are those of the supervisor, whole."""

    pipeline: str
    slot: str
    settings: dict[str, Any]
    ends: dict[int, int] = {}


def main(observe: Observer = nobody, find: Callable[[str], Pipeline] = pipeline_named) -> int:
    """Run the job that the first line of standard input describes. Gives the exit code."""
    sys.setswitchinterval(0.0005)  # a commit that is confirmed must not wait 5 ms for the other thread
    job = msgspec.json.decode(_first_line(), type=Job)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format=f"%(asctime)s {job.slot} %(levelname)s %(message)s"
    )
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    threading.Thread(target=_tether, args=(stopping,), daemon=True).start()
    try:
        worker = _built(job, find(job.pipeline), stopping, observe=observe)
        if worker is not None:
            worker.stopping = stopping
            gc.collect()
            gc.freeze()
            threading.Thread(target=_report, args=(worker,), daemon=True).start()
            worker.run()
            _tell(worker, set())
    except (Fatal, Refused) as error:
        _say(event="fatal", message=str(error))
        return FENCED if isinstance(error, Fenced) else FATAL
    return 0


def _built(job: Job, pipeline: Pipeline, stopping: threading.Event, *, observe: Observer) -> Worker | None:
    """The worker; waits for a Redis that is away, and says so once. None if told to stop meanwhile."""
    settings = Settings.model_validate(job.settings)
    said = False
    while not stopping.is_set():
        try:
            worker = build_worker(settings, pipeline, slot=job.slot, ends=job.ends, observe=observe)
        except Unavailable as error:
            if not said:
                log.warning("%s Waiting for it.", error)
            said = True
            stopping.wait(0.5)
            continue
        if said:
            log.info("Redis answers.")
        return worker
    return None


def _first_line() -> bytes:
    """Read without a buffer: a thread that waits in a buffered read would not let the interpreter end."""
    line = b""
    while not line.endswith(b"\n") and (more := os.read(0, 65536)):
        line += more
    return line


def _tether(stopping: threading.Event) -> None:
    while os.read(0, 4096):
        pass
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
        dead_letters=counts.dead_letters,
        batches=counts.batches,
        aborted=counts.aborted,
        partitions={p: share.phase.value for p, share in sorted(shares.items())},
        offsets=dict(sorted(counts.offsets.items())),
    )
    for partition, share in shares.items():
        if share.reached and partition not in told:
            told.add(partition)
            _say(event="reached", partition=partition)


_saying = threading.Lock()


def _say(**event: Any) -> None:
    line = json.dumps(event)
    with _saying, contextlib.suppress(OSError):  # without its supervisor the tether ends this process
        print(line, flush=True)
