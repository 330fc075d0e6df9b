"""`streaminfer run PIPELINE` in a process of its own: what it tells, its workers, and the hand on them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.local.leash import Leash
from tests.processes import is_child, stands_still

ROOT = Path(__file__).resolve().parents[2]
LEAVE_S = 90.0


@dataclass
class Worker:
    """One slot, as its supervisor tells of it."""

    slot: str
    pid: int | None = None
    live: frozenset[int] = frozenset()
    batches: int = 0
    aborted: int = 0


class Run:
    """One `run`, followed by a thread. `workers` by slot; `deaths` are (pid, exit code) in order."""

    def __init__(
        self, leash: Leash, home: Path, pipeline: str, *, workers: int, instance: str, env: Mapping[str, str]
    ) -> None:
        self.pipeline, self.instance = pipeline, instance
        self.fates = home / "fates" / f"{pipeline}.{instance}"
        self.fates.mkdir(parents=True, exist_ok=True)
        self.log = home / f"run-{pipeline}.{instance}.log"
        argv = [sys.executable, "-m", "tests.faults.started", "run", pipeline, "--workers", str(workers), "--json"]
        argv += ["--instance", instance, "--dead-letter-limit", "1", "--observe", "off"]
        with self.log.open("ab") as log:
            self.process = leash.popen(
                argv, cwd=ROOT, env={**env, "FAULTS_FATES": str(self.fates)}, stdout=subprocess.PIPE, stderr=log
            )
        self.workers: dict[str, Worker] = {}
        self.deaths: list[tuple[int, int]] = []
        self.fatal: str | None = None
        self.stopped = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                with self._lock:
                    self._hear(event)

    def _hear(self, event: dict[str, Any]) -> None:
        if "slot" not in event:
            return
        worker = self.workers.setdefault(event["slot"], Worker(event["slot"]))
        match event["event"]:
            case "worker":
                self.workers[event["slot"]] = Worker(event["slot"], event["pid"])
            case "progress":
                worker.live = frozenset(int(p) for p, phase in event["partitions"].items() if phase == "live")
                worker.batches, worker.aborted = event["batches"], event["aborted"]
            case "ended":
                self.deaths.append((event["pid"], event["code"]))
                worker.pid, worker.live = None, frozenset()
            case "fatal":
                self.fatal = event["message"]

    def there(self) -> list[Worker]:
        """Workers that are alive, those with partitions first."""
        with self._lock:
            alive = [Worker(**vars(one)) for one in self.workers.values() if one.pid and self.is_mine(one.pid)]
        return sorted(alive, key=lambda one: (not one.live, one.slot))

    def live(self) -> set[int]:
        """The partitions that are being scored, by workers that are awake."""
        return set().union(*(one.live for one in self.there() if one.pid and not stands_still(one.pid)))

    def is_mine(self, pid: int) -> bool:
        return is_child(pid, self.process.pid)

    def arm(self, who: int | None, step: str, number: signal.Signals, *, nth: int = 1) -> Path:
        """Give a worker its fate; None: to whoever starts next. Gives the file that is there once it was met.

        What was met before is forgotten: in a long run the kernel gives a number to a second process.
        """
        for met in self.fates.glob("*.done"):
            met.unlink(missing_ok=True)
        written = self.fates / f".{who or 'next'}"
        written.write_text(f"{step} {nth} {number.name}")
        os.rename(written, self.fates / str(who or "next"))
        return self.fates / f"{who}.done"

    def met(self) -> dict[int, int]:
        """When fates were met since the last was given, by pid, in milliseconds since 1970."""
        return {int(one.stem): one.stat().st_mtime_ns // 1_000_000 for one in self.fates.glob("*.done")}

    def disarm(self) -> None:
        for one in self.fates.iterdir():
            if one.suffix != ".done":
                one.unlink(missing_ok=True)

    def stop(self, within_s: float = LEAVE_S) -> int:
        """SIGTERM, as an operator does. Gives the exit code."""
        self.stopped = True
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(within_s)

    def wait(self, within_s: float) -> int:
        code = self.process.wait(within_s)
        self._thread.join(10)
        return code

    def words(self) -> str:
        """The end of what it said, for a finding."""
        return self.log.read_text(errors="replace")[-3000:]


def now_ms() -> int:
    return time.time_ns() // 1_000_000
