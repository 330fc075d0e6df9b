"""The monitor's process: told what to do by one line on standard input, which stays open as a tether.

When standard input ends, whoever started it is gone, and it leaves. It may be killed at any moment.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Any

import faust
import msgspec

from app.cli.lag import verdict
from app.errors import StreamInferError
from app.monitor.app import monitor_app
from app.monitor.state import State
from app.pipelines import pipeline_named
from app.settings import Settings
from app.telemetry.logs import begin_logs
from app.telemetry.masking import learn, mask

FATAL = 64


class Job(msgspec.Struct, frozen=True):
    """What is asked of the process. `settings` are those of whoever asks, whole."""

    pipelines: list[str]
    settings: dict[str, Any]
    host: str
    port: int


def main() -> int:
    """Run until told to stop. Gives the exit code; what Faust dies of is 1, and is started again."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    settings = Settings.model_validate(job.settings)
    begin_logs(settings, pipeline="monitor")
    learn([], {"token": settings.monitor_token or ""})
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_ours)
    threading.Thread(target=_tether, daemon=True).start()
    try:
        pipelines = {name: pipeline_named(name) for name in job.pipelines}
        called = {pipeline.name: name for name, pipeline in pipelines.items()}
        state = State(settings, list(pipelines.values()), lambda lag: verdict(lag, called[lag.pipeline]))
        app = monitor_app(settings, state, host=job.host, port=job.port)
    except StreamInferError as error:
        print(mask(str(error)), file=sys.stderr)
        return FATAL
    worker = faust.Worker(app, loglevel="ERROR", redirect_stdouts=False, override_logging=False, quiet=True)
    return _run(worker)


def _run(worker: faust.Worker) -> int:
    """Faust exits by itself; what it dies of is told by its log."""
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


def _is_ours(record: logging.LogRecord) -> bool:
    """Of the libraries only what went wrong: each tells of itself at every turn."""
    return record.levelno >= logging.ERROR or hasattr(record, "event")


def _tether() -> None:
    """Whoever holds the other end of standard input is gone: leave, in no order, for none is needed."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(5.0)
    os._exit(0)
