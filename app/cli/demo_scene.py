"""Where a demo plays: a home of its own, servers and commands on a leash, and how its steps are told.

Away from what `streaminfer up` keeps; everything that is started or written here is on the leash. Uses the commands
that a user would.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from app.cli.terminal import patience, say
from app.errors import Fatal
from app.local.leash import Leash
from app.local.stack import Stack
from app.settings import Settings, home_folder, load_settings
from app.simulate.events import LABEL_DELAY_MS
from app.simulate.payments import Payments
from app.stream.progress import Progress

START_DAY = 20  # early, so that few outcomes are known yet: they are folded first
PATIENCE_S = 90.0  # for any one step
STREAMINFER = (sys.executable, "-m", "app.cli.main")
TOLD = 2_000  # characters of a log's end


class Scene:
    """One demo's servers and commands. What is started goes on the leash; commands are told by the environment."""

    def __init__(self, leash: Leash) -> None:
        self._leash = leash
        self.home = Path(tempfile.gettempdir()) / f"streaminfer-demo-{uuid.uuid4().hex[:8]}"
        leash.remove_at_end(self.home)
        self.home.mkdir(exist_ok=True)
        self.home.chmod(0o700)
        self.kept = home_folder()  # what is for somebody to look at later
        shared = self.kept / "cache"  # simulated once for every home
        shared.mkdir(parents=True, exist_ok=True)
        (self.home / "cache").symlink_to(shared)
        # Where somebody's own Kafka is must not decide where the demo writes.
        for name in [name for name in os.environ if name.startswith("STREAMINFER_")]:
            del os.environ[name]
        os.environ["STREAMINFER_HOME"] = str(self.home)

    def up(self) -> Settings:
        """Start the servers and make the topics."""
        with step("a real Kafka and a real Redis, for the demo only"):
            Stack(self.home).up(1, self._leash)
        settings = load_settings(home=self.home)
        self.step("topics", "apply")
        return settings

    def step(self, *arguments: str) -> None:
        """Run a command to its end, and tell how long it took."""
        with step(f"$ streaminfer {' '.join(arguments)}"):
            self.end(self.command(*arguments), arguments[0])

    def command(self, *arguments: str, log: str = "") -> subprocess.Popen[bytes]:
        """Start a command; its standard error goes to the log of that name."""
        with self.log(log or arguments[0]).open("wb") as stderr:
            return self._leash.popen([*STREAMINFER, *arguments], stdout=subprocess.PIPE, stderr=stderr)

    def run(self, *arguments: str, log: str) -> Workers:
        """Start `run` with these arguments."""
        return Workers(self.command("run", *arguments, "--json", log=log), self.log(log))

    def page(self) -> str:
        """Start the monitor beside, and give the address of its page; nothing where it does not come up."""
        process = self.command("monitor", "--json", log="monitor")
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
        line = process.stdout.readline() if ready else b""
        return str(json.loads(line)["url"]) if line else ""

    def log(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def end(self, process: subprocess.Popen[bytes], name: str, *, answers_no: bool = False) -> bytes:
        """Wait for a command's end. Gives its output; raises Fatal with what it said where it did not end well.

        `answers_no`: it ends well with 1, too, whose reason is in its output.
        """
        told, _ = process.communicate(timeout=PATIENCE_S)
        if process.returncode not in ((0, 1) if answers_no else (0,)):
            raise Fatal(f"`streaminfer {name}` ended with {process.returncode}:\n{end_of(self.log(name))}")
        return told


class Workers:
    """The run command and what it tells, a line an event."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.progress = Progress()
        self.owners: dict[str, int] = {}  # slots that score partitions, and their pids
        self.process = process
        self.log = log
        self._pids: dict[str, int] = {}
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def await_(self, happened: Callable[[], bool]) -> None:
        """Take in what is told until `happened()`. Raises Fatal where it does not happen."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            self.listen(0.2)
            if time.monotonic() > deadline:
                raise Fatal(f"The workers did not get on; their log ends:\n{end_of(self.log)}")

    def listen(self, wait_s: float = 0.0) -> None:
        """Take in what was told. Raises Fatal where the command has ended."""
        with contextlib.suppress(queue.Empty):
            self._hear(json.loads(self._lines.get(timeout=wait_s) if wait_s else self._lines.get_nowait()))
            while True:
                self._hear(json.loads(self._lines.get_nowait()))
        if self.process.poll() is not None:
            raise Fatal(f"The workers ended; their log ends:\n{end_of(self.log)}")

    def kill_one(self) -> tuple[str, int]:
        """SIGKILL for a worker that scores. Gives its slot and pid."""
        slot, pid = next(iter(self.owners.items()))
        os.kill(pid, signal.SIGKILL)
        return slot, pid

    def kill_all(self) -> None:
        """SIGKILL for the command and its workers, as if their machine had gone."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """As after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_S)

    def _hear(self, event: dict[str, Any]) -> None:
        slot = event.get("slot")
        if slot is None:
            return  # it is about the run and not about a worker
        self.progress.hear(event)
        match event["event"]:
            case "worker":
                self._pids[slot] = event["pid"]
            case "progress" if "live" in event["partitions"].values():
                self.owners[slot] = self._pids[slot]
            case "ended":
                self.owners.pop(slot, None)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)


def end_of(log: Path) -> str:
    return log.read_text(errors="backslashreplace").strip()[-TOLD:]


def known_labels(payments: Payments, row: int) -> int:
    """How many outcomes are known by the time of the payment in `row`, and the next one."""
    last_ms = int(payments.time_ms[min(row, len(payments.time_ms)) - 1])
    return int(np.searchsorted(payments.time_ms, last_ms - LABEL_DELAY_MS, side="right")) + 1


@contextmanager
def step(what: str, more: str = "") -> Iterator[None]:
    """Print how long it took, and what it was."""
    started = time.monotonic()
    with patience(what):
        yield
    took(time.monotonic() - started, what, more)


def took(seconds: float, what: str, more: str = "") -> None:
    tell(what, indent=f"{seconds:6.1f} s  ")
    if more:
        tell(more)
    sys.stdout.flush()


def tell(text: str, indent: str = " " * 10) -> None:
    """A sentence, as wide as the terminal allows; a row of a table stays as it is."""
    wrapped = textwrap.wrap(text, columns(), initial_indent=indent, subsequent_indent=" " * 12, break_on_hyphens=False)
    for line in [indent + text] if text.startswith(" ") else wrapped:
        say(line)


def columns() -> int:
    """How wide what is told may be."""
    return min(100, shutil.get_terminal_size().columns)
