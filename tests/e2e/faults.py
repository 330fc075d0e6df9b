"""`streaminfer run fraud` as a user starts it, and the hand that kills and pauses its workers by a seeded plan."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.local.leash import Leash
from tests.processes import is_child

BEGIN_S = 1.5  # without faults
PAUSE_S = 9.0  # the longest: half as much again as a session, so that a paused worker comes back as a zombie
SESSION_S = 6.0  # the setting as it comes
SPARED = 0.9  # the share of kills that leave paused workers alone: without it hardly one would live to be a zombie
AT_WORK = 0.9  # the share of kills that look for a worker with partitions; the others hit some in their start
LOOK_S = 1.0  # for so long
FRUITLESS = 2  # deaths in a row without a commit that are dealt to one slot; the supervisor gives up at five


@dataclass(frozen=True)
class Fault:
    """A kill, or a pause of some seconds, of a worker that is drawn when it is time.

    `spares`: only of one that is awake. `at_work`: of one that has partitions, where there is such a one.
    """

    at_s: float
    pause_s: float
    spares: bool
    at_work: bool


@dataclass(frozen=True)
class Scenario:
    """How much, for how long, and what goes wrong meanwhile."""

    name: str
    seconds: int
    rate: int
    kills: int
    pauses: int
    aborted_batches: int
    seed: int
    workers: int = 3

    @property
    def count(self) -> int:
        return self.seconds * self.rate

    def plan(self) -> list[Fault]:
        """The faults in order of time, kills and pauses each spread evenly, but for where in its share one falls.

        Drawn without that they come in heaps, and the later ones of a heap find nobody at work.
        """
        draw = random.Random(self.seed)
        kills = [
            Fault(at_s, 0.0, spares=draw.random() < SPARED, at_work=draw.random() < AT_WORK)
            for at_s in self._moments(self.kills, draw)
        ]
        pauses = [
            Fault(at_s, draw.uniform(1.0, PAUSE_S), spares=True, at_work=True)
            for at_s in self._moments(self.pauses, draw)
        ]
        return sorted([*kills, *pauses], key=lambda fault: fault.at_s)

    def _moments(self, count: int, draw: random.Random) -> list[float]:
        share = (self.seconds - BEGIN_S) / count
        return [BEGIN_S + draw.uniform(i, i + 1) * share for i in range(count)]


@dataclass
class Seat:
    """One slot, as the supervisor tells of it."""

    pid: int | None = None
    live: frozenset[int] = frozenset()
    fruitless: int = 0


@dataclass
class Done:
    """What was dealt, within how many seconds. A zombie is a worker that woke up after its session had ended."""

    kills: int = 0
    at_work: int = 0
    pauses: int = 0
    zombies: int = 0
    seconds: float = 0.0


class Run:
    """The command in a process of its own, on a leash; its events are followed by a thread."""

    def __init__(self, leash: Leash, home: Path, workers: int) -> None:
        self.log = home / "run.log"
        with self.log.open("wb") as log:
            self.process = leash.popen(
                [sys.executable, "-m", "app.cli.main", "run", "fraud", "--workers", str(workers), "--json"],
                env=os.environ | {"STREAMINFER_HOME": str(home)},
                stdout=-1,
                stderr=log,
            )
        self.seats: dict[str, Seat] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                event = json.loads(line)
                with self._lock:
                    self._hear(event)

    def _hear(self, event: dict[str, Any]) -> None:
        if "slot" not in event:
            return
        seat = self.seats.setdefault(event["slot"], Seat())
        match event["event"]:
            case "worker":
                seat.pid, seat.live = event["pid"], frozenset()
            case "progress":
                seat.live = frozenset(int(p) for p, phase in event["partitions"].items() if phase == "live")
                if event["batches"]:
                    seat.fruitless = 0
            case "ended":
                seat.pid, seat.live = None, frozenset()
                seat.fruitless += 1

    def live(self) -> set[int]:
        """The partitions that are being scored."""
        with self._lock:
            return set().union(*(seat.live for seat in self.seats.values()))

    def signal(self, number: signal.Signals, choose: Callable[[list[Seat]], Seat | None]) -> int | None:
        """Signal a worker, chosen among those that may be. Gives its pid, or None if there was none.

        A worker that died again and again before it could commit is let be: the supervisor would rightly give up.
        """
        with self._lock:
            there = [s for s in self.seats.values() if s.pid is not None and s.fruitless < FRUITLESS]
            seat = choose(sorted(there, key=lambda s: s.pid or 0))
            if seat is None or seat.pid is None or not self._is_mine(seat.pid):
                return None
            os.kill(seat.pid, number)
            pid = seat.pid
            if number == signal.SIGKILL:
                seat.pid = None  # until the supervisor tells of the next one
            return pid

    def wake(self, pid: int) -> bool:
        """Let a paused worker go on, if it is there."""
        if not self._is_mine(pid):
            return False
        os.kill(pid, signal.SIGCONT)
        return True

    def _is_mine(self, pid: int) -> bool:
        """Whether the number still is a worker of this run."""
        return is_child(pid, self.process.pid)

    def stop(self, within_s: float) -> int:
        """SIGTERM, as an operator does. Gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(within_s)
        self._thread.join(10)
        return code

    def words(self) -> str:
        """The end of what it said, for a failed test."""
        return self.log.read_text(errors="replace")[-4000:]


@dataclass
class Faults:
    """Deals a scenario's kills and pauses to a run."""

    run: Run
    scenario: Scenario
    done: Done = field(default_factory=Done)

    def deal(self) -> None:
        """Go through the plan; returns when all is dealt and everybody is awake."""
        began = time.monotonic()
        draw = random.Random(self.scenario.seed + 1)
        asleep: dict[int, tuple[float, float]] = {}  # since when, and until when
        left = self.scenario.plan()
        while left or asleep:
            assert self.run.process.poll() is None, f"the run has ended:\n{self.run.words()}"
            now = time.monotonic() - began
            for pid in [pid for pid, (_, until) in asleep.items() if until <= now]:
                since, _ = asleep.pop(pid)
                self.done.zombies += self.run.wake(pid) and now - since > SESSION_S
            if left and left[0].at_s <= now and self._deal(left[0], draw, asleep, now=now):
                left.pop(0)
            time.sleep(0.01)
        self.done.seconds = round(time.monotonic() - began, 1)

    def _deal(
        self,
        fault: Fault,
        draw: random.Random,
        asleep: dict[int, tuple[float, float]],
        *,
        now: float,
    ) -> bool:
        """Whether it could be dealt; else it is tried again."""
        at_work: list[bool] = []

        def one(seats: list[Seat]) -> Seat | None:
            found = [seat for seat in seats if not (fault.spares and seat.pid in asleep)]
            working = [seat for seat in found if seat.live]
            if fault.at_work and (working or now < fault.at_s + LOOK_S):
                found = working
            seat = draw.choice(found) if found else None
            at_work[:] = [bool(seat and seat.live)]
            return seat

        pid = self.run.signal(signal.SIGSTOP if fault.pause_s else signal.SIGKILL, one)
        if pid is None:
            return False
        if fault.pause_s:
            self.done.pauses += 1
            asleep[pid] = now, now + fault.pause_s
        else:
            self.done.kills += 1
            self.done.at_work += at_work[0]
        return True
