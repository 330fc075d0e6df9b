"""A `streaminfer run` that is watched from outside, and whose workers may be killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
from typing import Any

from app.stream.progress import Progress

LEAVE_S = 60.0


class Running:
    """One run command with --json: what its workers told, and their pids. Safe in several threads."""

    def __init__(self, process: subprocess.Popen[bytes], pipeline: str) -> None:
        self.pipeline = pipeline
        self.progress = Progress()
        self.kills = 0
        self._process = process
        self._pids: dict[str, int] = {}
        self._owners: dict[str, int] = {}  # slots that have partitions to work on, and their pids
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def code(self) -> int | None:
        """Its exit code once it has ended."""
        return self._process.poll()

    def kill_one(self, chance: random.Random) -> bool:
        """SIGKILL for one worker that works; False where there is none at this moment."""
        with self._lock:
            if self.code is not None or not self._owners:
                return False
            slot = chance.choice(sorted(self._owners))
            os.kill(self._owners.pop(slot), signal.SIGKILL)
            self.kills += 1
        return True

    def stop(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Its end, which has been asked for or has come. Gives the exit code."""
        code = self._process.wait(LEAVE_S)
        self._reader.join(LEAVE_S)
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] != "summary":
                with self._lock:
                    self._hear(event)

    def _hear(self, event: dict[str, Any]) -> None:
        self.progress.hear(event)
        if (slot := event.get("slot")) is None:
            return  # it tells of the run, not of a worker
        match event["event"]:
            case "worker":
                self._pids[slot] = event["pid"]
            case "progress" if "live" in event["partitions"].values() and event["batches"]:
                self._owners[slot] = self._pids[slot]
            case "ended":
                self._owners.pop(slot, None)
