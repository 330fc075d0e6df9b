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
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import msgspec

from app.replay.plan import Plan
from app.settings import Settings
from app.stream.committer import WATCHDOG_EXIT
from app.stream.process import FATAL, FENCED, Job, Pacing
from app.stream.pulse import SIZE, Note
from app.stream.slot import slot
from app.stream.suspects import Suspects

log = logging.getLogger(__name__)

DEATHS = 5  # with no commit between
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 4.0)
FENCES, FENCES_WITHIN_S = 3, 60.0  # so many, so soon: another process has the slot
LEAVE_S = 45.0  # for a worker to finish; a transaction's deadline and then some
ECHO_S = 2.0  # for the last lines of a worker that has ended; a child of its own may hold its output open for ever
COMMAND = (sys.executable, "-m", "app.stream")

Event = dict[str, Any]


@dataclass
class _Seat:
    """One slot and the process in it. `deaths` counts those since its last commit, or since one said something."""

    index: int
    job: Job
    page: IO[bytes]
    note: Note
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    start_at: float = 0.0
    batches: int = 0
    fences: list[float] = field(default_factory=list)
    silent_at: float | None = None  # since when the process has ended and its output has not
    last: Event = field(default_factory=dict)
    told: threading.Lock = field(default_factory=threading.Lock)  # held while its job is on the way
    paced: Pacing | None = None  # what the process was told last; None before it has its job


class Supervisor:
    """Runs `workers` processes until told to stop, or until every partition has reached its end in `ends`.

    `pipeline` is its name; `reference` is what a worker's process finds it by, where that is not its name. With a
    `replay`, `pipeline` is the group of the plan's part that is to be run. `rate` is records a second, of each worker.
    `elsewhere` gives the partitions that other runs brought to their ends.
    """

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
        reference: str | None = None,
        elsewhere: Callable[[], Collection[int]] = tuple,
        replay: Plan | None = None,
        rate: float | None = None,
    ) -> None:
        self._tell = tell
        self._elsewhere = elsewhere
        self._command = command
        self._settings = settings
        self._until = set(ends) if ends is not None else None
        self._suspects = Suspects()
        whole = json.loads(settings.model_dump_json())
        job = Job(reference or pipeline, "", whole, dict(ends or {}), replay=replay, part=pipeline, rate=rate)
        self._seats = [_seat(i, msgspec.structs.replace(job, slot=slot(pipeline, instance, i))) for i in range(workers)]
        self._events: queue.SimpleQueue[tuple[_Seat, subprocess.Popen[bytes], Event | None]] = queue.SimpleQueue()
        self._reached: set[int] = set()
        self._stop = threading.Event()
        self.failure: str | None = None
        self.turned = time.monotonic()

    def stop(self, *_: object) -> None:
        """Ask for the end; a second time, end the workers at once: exactness does not depend on their manners."""
        if self._stop.is_set():
            for seat in self._seats:
                if seat.process is not None:
                    seat.process.kill()
        self._stop.set()

    def pace(self, rates: Mapping[int, float | None]) -> None:
        """Let workers go so fast from now on, by their number: records a second, None for any, 0 to hold still.

        Never waits; to be called again now and then, for a worker that is only starting is told by its next call.
        """
        for seat in self._seats:
            if seat.index not in rates:
                continue
            seat.job = msgspec.structs.replace(seat.job, rate=rates[seat.index])
            if seat.told.acquire(blocking=False):
                with contextlib.suppress(OSError, ValueError):  # it is dead; the next one is told with its job
                    if seat.paced is not None and seat.paced != Pacing(seat.job.rate):
                        seat.paced = Pacing(seat.job.rate)
                        self._write(seat.process, seat.paced)
                seat.told.release()

    def run(self) -> int:
        """Gives the exit code: 0 when stopped or all ends are reached, 1 when it gave up (`failure` says why).

        Answers signals where it runs on the main thread.
        """
        answered = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
        before = [(number, signal.signal(number, self.stop)) for number in answered]
        try:
            while not self._stop.is_set():
                for seat in self._seats:
                    if seat.process is None and time.monotonic() >= seat.start_at:
                        self._start(seat)
                self._hear(0.1)
                self._listen_no_longer()
                if self._until is not None and self._until <= self._reached.union(self._elsewhere()):
                    self._stop.set()
        finally:
            self._leave()
            for seat in self._seats:
                seat.note.close()
                seat.page.close()
            for number, handler in before:
                signal.signal(number, handler)
        return 1 if self.failure else 0

    def _start(self, seat: _Seat) -> None:
        note = seat.page.fileno()
        seat.note.clear()
        process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(note,))
        seat.process, seat.batches, seat.silent_at, seat.paced = process, 0, None, None
        job = msgspec.structs.replace(seat.job, note=note, verdict=self._suspects.verdict)
        threading.Thread(target=self._listen, args=(seat, process, job), daemon=True).start()
        self._tell({"event": "worker", "slot": seat.job.slot, "pid": process.pid})

    def _listen(self, seat: _Seat, process: subprocess.Popen[bytes], job: Job) -> None:
        """Talk with a process, which may neither read nor say anything: on a thread of its own."""
        assert process.stdout is not None
        with seat.told, contextlib.suppress(BrokenPipeError, ValueError):  # it is dead; its end is heard like any other
            self._write(process, job)
            seat.paced = Pacing(job.rate)
        with process.stdout as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue  # a half line of a process that was killed
                if isinstance(event, dict) and "event" in event:  # a pipeline's own code may print
                    self._events.put((seat, process, event))
        process.wait()
        self._events.put((seat, process, None))

    def _write(self, process: subprocess.Popen[bytes] | None, line: Job | Pacing) -> None:
        if process is not None and process.stdin is not None:
            process.stdin.write(msgspec.json.encode(line) + b"\n")
            process.stdin.flush()

    def _hear(self, wait_s: float) -> None:
        self.turned = time.monotonic()
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
                for partition, offset in event.get("offsets", {}).items():
                    self._suspects.committed(int(partition), offset)
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
        if code == FENCED and not self._is_another(seat):
            self.failure = None
            log.warning(
                "Worker %s was told that another process has its slot; it is started again to see whether it has.",
                seat.job.slot,
                extra={"event": "worker-fenced"},
            )
            return
        if code in (FATAL, FENCED):
            self.failure = self.failure or f"Worker {seat.job.slot} ended with {code}."
            self._stop.set()
            return
        seat.deaths += 1
        how = self._learn(seat, code)
        if seat.deaths >= DEATHS:
            self.failure = (
                f"Worker {seat.job.slot} died {DEATHS} times without committing anything between; the last time it "
                f"{how}. Its log lines above say why."
            )
            self._stop.set()
            return
        seat.start_at = time.monotonic() + BACKOFF_S[max(0, seat.deaths - 1)]
        log.warning("Worker %s %s; it is started again.", seat.job.slot, how, extra={"event": "worker-died"})

    def _is_another(self, seat: _Seat) -> bool:
        """Whether a fence must be another process' (protocol A7).

        A member whose session ran out because its coordinator was away joins under a new name, and what it had asked
        under the old one is answered in the same words. A process that is really there fences the next ones, too.
        """
        now = time.monotonic()
        seat.fences = [at for at in seat.fences if now - at < FENCES_WITHIN_S] + [now]
        return len(seat.fences) >= FENCES

    def _learn(self, seat: _Seat, code: int) -> str:
        """What a death tells about the records that were being scored. Gives how it came, as a part of a sentence."""
        noted = seat.note.read()
        if code == WATCHDOG_EXIT:  # a transaction overran, whatever was scored meanwhile
            return _how(code)
        how = self._overran(scoring=bool(noted.ranges)) if code == -signal.SIGALRM else _how(code)
        if not noted.ranges:
            return how
        condemned = self._suspects.died(noted, from_outside=code == -signal.SIGKILL)
        if condemned is not None:
            seat.deaths = 0
            log.error(
                "Partition %d, offset %d is answered with a dead letter: it kills who scores it.",
                *condemned,
                extra={"event": "record-condemned"},
            )
        return f"{how} while it scored (partition: offsets) {noted.words()}"

    def _overran(self, *, scoring: bool) -> str:
        if scoring:
            return f"was ended after {self._settings.score_deadline_s:g} s (score_deadline_s)"
        return f"stood still for {self._settings.max_poll_interval_ms / 1000:g} s (max_poll_interval_ms) and was ended"

    def _listen_no_longer(self) -> None:
        """A process that has ended counts as ended, though something that it started holds its output open."""
        for seat in self._seats:
            if seat.process is None or seat.process.poll() is None:
                continue
            seat.silent_at = seat.silent_at or time.monotonic()
            if time.monotonic() - seat.silent_at > ECHO_S:
                self._died(seat, seat.process)

    def _leave(self) -> None:
        for seat in self._seats:
            if seat.process is not None:
                seat.process.terminate()
        deadline = time.monotonic() + LEAVE_S
        while any(seat.process is not None for seat in self._seats):
            if time.monotonic() > deadline:
                log.warning(
                    "A worker did not leave within %.0f s; it is killed.", LEAVE_S, extra={"event": "worker-killed"}
                )
                for seat in self._seats:
                    if seat.process is not None:
                        seat.process.kill()
                deadline = time.monotonic() + LEAVE_S
            self._hear(0.1)
            self._listen_no_longer()


def _seat(index: int, job: Job) -> _Seat:
    page = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the supervisor leaves
    page.truncate(SIZE)
    return _Seat(index, job, page, Note(page.fileno()))


def _close(process: subprocess.Popen[bytes]) -> None:
    """Its output is closed by the thread that reads it."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _how(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
