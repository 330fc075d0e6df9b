"""N workers, each its own process, under one supervisor that restarts the dead.

A worker may be killed at any moment, so dying is ordinary and a restart is immediate; dying again and again without
one commit between is not, and neither is what a restart cannot mend.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.settings import Settings
from app.stream.process import FATAL, FENCED, Job
from app.stream.slot import slot

log = logging.getLogger(__name__)

DEATHS = 5  # with no commit between
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 4.0)
LEAVE_S = 45.0  # for a worker to finish; a transaction's deadline and then some
COMMAND = (sys.executable, "-m", "app.stream")

Event = dict[str, Any]


@dataclass
class _Seat:
    """One slot and the process in it. `deaths` counts those since its last commit."""

    index: int
    job: Job
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    start_at: float = 0.0
    batches: int = 0
    last: Event = field(default_factory=dict)


class Supervisor:
    """Runs `workers` processes until told to stop, or until every partition has reached its end in `ends`."""

    def __init__(
        self,
        settings: Settings,
        pipeline: str,
        *,
        instance: str,
        workers: int,
        ends: Mapping[int, int] | None = None,
        tell: Callable[[Event], None] = lambda _: None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._tell = tell
        self._command = command
        self._until = set(ends) if ends is not None else None
        whole = json.loads(settings.model_dump_json())
        self._seats = [
            _Seat(i, Job(pipeline, slot(pipeline, instance, i), whole, dict(ends or {}))) for i in range(workers)
        ]
        self._events: queue.SimpleQueue[tuple[_Seat, subprocess.Popen[bytes], Event | None]] = queue.SimpleQueue()
        self._reached: set[int] = set()
        self._stop = threading.Event()
        self.failure: str | None = None

    def stop(self, *_: object) -> None:
        """Ask for the end; a second time, end the workers at once: exactness does not depend on their manners."""
        if self._stop.is_set():
            for seat in self._seats:
                if seat.process is not None:
                    seat.process.kill()
        self._stop.set()

    def run(self) -> int:
        """Gives the exit code: 0 when stopped or all ends are reached, 1 when it gave up (`failure` says why)."""
        before = [(number, signal.signal(number, self.stop)) for number in (signal.SIGTERM, signal.SIGINT)]
        try:
            while not self._stop.is_set():
                for seat in self._seats:
                    if seat.process is None and time.monotonic() >= seat.start_at:
                        self._start(seat)
                self._hear(0.1)
                if self._until is not None and self._until <= self._reached:
                    self._stop.set()
        finally:
            self._leave()
            for number, handler in before:
                signal.signal(number, handler)
        return 1 if self.failure else 0

    def _start(self, seat: _Seat) -> None:
        process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        seat.process, seat.batches = process, 0
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead already; its end is heard like any other
            process.stdin.write(msgspec.json.encode(seat.job) + b"\n")
            process.stdin.flush()
        threading.Thread(target=self._listen, args=(seat, process), daemon=True).start()
        self._tell({"event": "worker", "slot": seat.job.slot, "pid": process.pid})

    def _listen(self, seat: _Seat, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a half line of a process that was killed
            if isinstance(event, dict) and "event" in event:  # a pipeline's own code may print
                self._events.put((seat, process, event))
        process.wait()
        self._events.put((seat, process, None))

    def _hear(self, wait_s: float) -> None:
        try:
            seat, process, event = self._events.get(timeout=wait_s)
        except queue.Empty:
            return
        if event is None:
            if seat.process is process:
                self._died(seat, process)
            return
        match event.get("event"):
            case "progress":
                seat.last = event
                if event["batches"] > seat.batches:
                    seat.batches, seat.deaths = event["batches"], 0
            case "reached":
                self._reached.add(event["partition"])
            case "fatal":
                self.failure = event["message"]
        self._tell({"slot": seat.job.slot, **event})

    def _died(self, seat: _Seat, process: subprocess.Popen[bytes]) -> None:
        _close(process)
        seat.process = None
        code = process.returncode
        self._tell({"event": "ended", "slot": seat.job.slot, "pid": process.pid, "code": code})
        if self._stop.is_set():
            return
        if code in (FATAL, FENCED):
            self.failure = self.failure or f"Worker {seat.job.slot} ended with {code}."
            self._stop.set()
            return
        seat.deaths += 1
        if seat.deaths >= DEATHS:
            self.failure = (
                f"Worker {seat.job.slot} died {DEATHS} times without committing anything between; the last time "
                f"{_how(code)}. Its log lines above say why."
            )
            self._stop.set()
            return
        seat.start_at = time.monotonic() + BACKOFF_S[seat.deaths - 1]
        log.warning("Worker %s %s; it is started again.", seat.job.slot, _how(code))

    def _leave(self) -> None:
        for seat in self._seats:
            if seat.process is not None:
                seat.process.terminate()
        deadline = time.monotonic() + LEAVE_S
        while any(seat.process is not None for seat in self._seats):
            if time.monotonic() > deadline:
                log.warning("A worker did not leave within %.0f s; it is killed.", LEAVE_S)
                for seat in self._seats:
                    if seat.process is not None:
                        seat.process.kill()
                deadline = time.monotonic() + LEAVE_S
            self._hear(0.1)


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _how(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
