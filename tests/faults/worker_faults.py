"""Faults of workers: killed after each step of the loop, paused until others have their work, restarted, made fewer."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from pathlib import Path

from tests.faults.faults import MET_S, Fault, Void, victim
from tests.faults.runs import Run, Worker, now_ms
from tests.faults.seen import wait_until
from tests.faults.servers import pause
from tests.faults.stage import PARTITIONS, PIPELINES, Hurt, Stage

START_S = 60.0  # for a worker to come up, and to wait for what its predecessor left open
TRIES = 3  # a worker that ends by itself is no victim
TOLD_S = 5.0  # workers tell what they have twice a second
KILL, STOP = signal.SIGKILL, signal.SIGSTOP
EVEN = {"fraud": 3.0, "fraud-labels": 1.0, "recommendation": 1.0}
SCORING = {"fraud": 3.0, "recommendation": 1.0}

# What every batch comes by, in the order of the loop.
STEPS = ("polled", "loaded", "prepared", "begun", "produced", "offsets-sent", "committed", "confirmed")
FLUSH = ("flushing", "flushed")
# What a worker comes by in its start.
STARTS = ("started", "assigned", "resolved", "caught-up")


def doomed(run: Run, worker: Worker, fate: tuple[str, signal.Signals, int]) -> tuple[Worker, Path]:
    """The worker that met the fate - step, signal, at which time - and the file that is there since.

    One that ends by itself before, as its watchdog has it, leaves its fate to its successor. Raises Void where nobody
    comes by the step.
    """
    step, number, nth = fate
    for _ in range(TRIES):
        met, pid = run.arm(worker.pid, step, number, nth=nth), worker.pid
        if not wait_until(lambda: met.exists() or run.workers[worker.slot].pid != pid, MET_S, 0.005):  # noqa: B023
            break
        if met.exists():
            return worker, met
        run.disarm()
        worker = _successor(run, worker)
    run.disarm()
    raise Void(f"{worker.slot} did not come by {step}")


def _successor(run: Run, worker: Worker) -> Worker:
    found: list[Worker] = []

    def look() -> bool:
        found[:] = [one for one in run.there() if one.slot == worker.slot and one.pid != worker.pid and one.live]
        return bool(found)

    if not wait_until(look, START_S):
        raise Void(f"{worker.slot} ended by itself, and nobody came after it")
    return found[0]


class Killed(Fault):
    """kill -9 at one step, by the worker's own hand: nothing comes between."""

    def __init__(self, step: str, pipelines: dict[str, float] | None = None) -> None:
        self.name = f"worker killed at {step}"
        self._step = step
        self._pipelines = pipelines or (EVEN if step in (*STEPS[:4], *STEPS[5:], *FLUSH) else SCORING)
        self._run: Run
        self._worker: Worker
        self._deaths = 0  # of the run, before this one

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        self._run, self._worker = victim(stage, draw, pipelines=self._pipelines)
        return self._die(self._run, self._worker, draw.randrange(1, 4))

    def _die(self, run: Run, worker: Worker, nth: int) -> Hurt:
        self._deaths = len(run.deaths)
        self._worker, met = doomed(run, worker, (self._step, KILL, nth))
        return Hurt(met.stat().st_mtime_ns // 1_000_000, {run.pipeline: self._worker.live})

    def seen(self, stage: Stage) -> str:  # noqa: ARG002 - others look at it
        if (self._worker.pid, -KILL) not in self._run.deaths[self._deaths :]:
            raise Void(f"{self._worker.slot} did not die")
        return f"{self._worker.slot} died with {len(self._worker.live)} partitions, and its successor answers"


class KilledInStart(Killed):
    """A worker dies before it has flushed, and its successor while it starts."""

    def __init__(self, step: str) -> None:
        super().__init__("flushing")
        self.name = f"worker killed at {step}, in its start"
        self._second = step

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        self._run, self._worker = victim(stage, draw, pipelines=EVEN)
        self._run.arm(None, self._second, KILL)
        self._die(self._run, self._worker, 1)
        new: set[int] = set()

        def met() -> bool:
            new.update(set(self._run.met()) - {self._worker.pid or 0})
            return bool(new)

        if not wait_until(met, START_S, 0.005):
            self._run.disarm()
            raise Void(f"nobody came by {self._second}")
        return Hurt(self._run.met()[new.pop()], {self._run.pipeline: self._worker.live})


class KilledInRebalance(Killed):
    """Another run joins, and a worker dies as its partitions are taken from it."""

    bound_s = 120.0

    def __init__(self) -> None:
        super().__init__("revoked")
        self.name = "worker killed in a rebalance"
        self._joined: Run

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        self._run, self._worker = victim(stage, draw, pipelines=SCORING)
        met = self._run.arm(self._worker.pid, self._step, KILL)
        self._joined = stage.run(self._run.pipeline, workers=1, instance="joined")
        if not wait_until(met.exists, START_S, 0.005):
            self._run.disarm()
            stage.stop(self._joined)
            raise Void(f"nothing was taken from {self._worker.slot}")
        return Hurt(met.stat().st_mtime_ns // 1_000_000, {self._run.pipeline: frozenset(range(PARTITIONS))})

    def mend(self, stage: Stage) -> None:
        stage.stop(self._joined)
        stage.all_live()


class Paused(Fault):
    """SIGSTOP at a step until others have the partitions, then SIGCONT: a zombie wakes up in the midst of work."""

    def __init__(self, step: str, past: str) -> None:
        self.name = f"worker paused at {step} past its {past}"
        self._step, self._past = step, past
        self._run: Run
        self._worker: Worker
        self._until_ms = 0
        self._taken = False

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        self._run, worker = victim(stage, draw, least=2, pipelines=SCORING)
        self._worker, met = doomed(self._run, worker, (self._step, STOP, 1))
        at_ms = met.stat().st_mtime_ns // 1_000_000
        shape = stage.shape
        seconds = shape.session_s + 1.5 if self._past == "session" else max(shape.session_s, shape.transaction_s) + 2.5
        self._until_ms = at_ms + int(seconds * 1000)
        return Hurt(at_ms, {self._run.pipeline: self._worker.live})

    def mend(self, stage: Stage) -> None:
        pause(max(0.0, (self._until_ms - now_ms()) / 1000))
        self._taken = wait_until(lambda: self._worker.live <= stage.live(self._run.pipeline), TOLD_S)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._worker.pid or 0, signal.SIGCONT)

    def seen(self, stage: Stage) -> str:  # noqa: ARG002 - others look at it
        if not self._taken:
            raise Void("nobody took its partitions")
        return f"{self._worker.slot} woke up when others had its {len(self._worker.live)} partitions"


class KilledInRecovery(Paused):
    """A worker whose transaction is overdue begins anew, and dies as it does."""

    def __init__(self) -> None:
        super().__init__("offsets-sent", "transaction's time-out")
        self.name = "worker killed as it recovers"

    def mend(self, stage: Stage) -> None:
        pid = self._worker.pid or 0
        met = self._run.arm(pid, "recovered", KILL)
        super().mend(stage)
        if not wait_until(met.exists, MET_S):
            self._run.disarm()
            self._taken = False


class Rolling(Fault):
    """Every worker of a pipeline is told to end, one after the other."""

    name = "rolling restart"

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        run = draw.choice(stage.of(draw.choice(sorted(PIPELINES))))
        self._run, self._ended = run, 0
        hurt = Hurt(now_ms(), {})
        for worker in run.there():
            assert worker.pid is not None
            hurt = Hurt(now_ms(), {run.pipeline: worker.live or frozenset(range(PARTITIONS))})
            os.kill(worker.pid, signal.SIGTERM)
            gone = (worker.pid, 0)
            if not wait_until(lambda gone=gone: gone in run.deaths, 60):
                raise Void(f"{worker.slot} does not end")
            self._ended += 1
            stage.all_live()
        return hurt

    def seen(self, stage: Stage) -> str:  # noqa: ARG002 - others look at it
        if not self._ended:
            raise Void("there was no worker")
        return f"{self._ended} workers of {self._run.pipeline} left with 0"


class Scaled(Fault):
    """One worker, then four, then two."""

    name = "scaled 1, 4, 2"
    bound_s = 120.0

    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        name = draw.choice(sorted(SCORING))
        self._pipeline = name
        for run in stage.of(name):
            stage.stop(run)
        self._one = stage.run(name, workers=1)
        stage.all_live()
        three = stage.run(name, workers=3, instance="three")
        shared = wait_until(lambda: sum(bool(w.live) for r in stage.of(name) for w in r.there()) == 4, 60)
        self._shared = shared
        stage.stop(three)
        hurt = Hurt.everything(now_ms(), [name])
        self._two = stage.run(name, workers=1, instance="two")
        return hurt

    def mend(self, stage: Stage) -> None:
        stage.all_live()
        for run in (self._one, self._two):
            stage.stop(run)
        stage.run(self._pipeline)
        stage.all_live()

    def seen(self, stage: Stage) -> str:  # noqa: ARG002 - others look at it
        if not self._shared:
            raise Void("four workers never had partitions")
        return f"{self._pipeline} had one, four and two workers with partitions"
