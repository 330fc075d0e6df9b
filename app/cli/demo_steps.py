"""What the demo does, step by step: servers, topics, features, two workers, payments, a kill, and an audit.

Has a home of its own, away from what `streaminfer up` keeps; everything that it starts or writes is on the leash that
it is given. Uses the commands that a user would, and prints how long each step took.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.cli.alerts import chosen, in_words
from app.cli.terminal import counted, patience, say
from app.errors import Fatal
from app.local.leash import Leash
from app.local.stack import Stack
from app.pipelines.fraud import FRAUD
from app.replay.log import Log
from app.replay.tail import BEGINNING, tail
from app.settings import Settings, home_folder, load_settings
from app.simulate.offline import write_terminal_features
from app.simulate.payments import DAY_S, EPOCH_MS, simulate
from app.stream.progress import Progress

EVENTS = 20_000
RATE = 5_000  # a second, so that half way is a moment that can be met
START_DAY = 129
HITS = 0.95  # the least share of lookups that must hit
PATIENCE_S = 90.0  # for any one step
STREAMINFER = (sys.executable, "-m", "app.cli.main")


def run() -> bool:
    """The whole demo. Gives whether the audit was right and the lookups hit."""
    leash = Leash()
    try:
        return Demo(leash).run()
    finally:
        leash.close(grace_s=0.0)  # nothing of it is kept, so nothing has to end well


class Demo:
    """One run. What is started goes on the leash, what is told to commands is the environment."""

    def __init__(self, leash: Leash) -> None:
        self._leash = leash
        self.home = Path(tempfile.gettempdir()) / f"streaminfer-demo-{uuid.uuid4().hex[:8]}"
        leash.remove_at_end(self.home)
        self.home.mkdir(exist_ok=True)
        self.home.chmod(0o700)
        shared = home_folder() / "cache"  # simulated once for every home
        shared.mkdir(parents=True, exist_ok=True)
        (self.home / "cache").symlink_to(shared)
        # Where somebody's own Kafka is must not decide where the demo writes.
        for name in [name for name in os.environ if name.startswith("STREAMINFER_")]:
            del os.environ[name]
        os.environ["STREAMINFER_HOME"] = str(self.home)

    def run(self) -> bool:
        """Gives whether the audit was right and the lookups hit."""
        with step("a real Kafka and a real Redis, for the demo only"):
            Stack(self.home).up(1, self._leash)
        settings = load_settings(home=self.home)
        self._step("topics", "apply")
        file = self.home / "terminals.csv"
        with step("what was known of each terminal that day, as a nightly job would write it"):
            payments = simulate(cache=self.home / "cache")
            write_terminal_features(file, EPOCH_MS + START_DAY * DAY_S * 1000, payments=payments)
        self._step("features", "load", "terminal", "--file", str(file), shown="features load terminal --file FILE")
        self._score(settings)
        audited = self._audit()
        return self._judge(settings) and audited

    def _score(self, settings: Settings) -> None:
        workers = Workers(self._command("run", "fraud", "--workers", "2", "--json"), self.home / "run.log")
        with step("$ streaminfer run fraud --workers 2", "both have their partitions"):
            workers.await_(lambda: workers.progress.partitions == FRAUD.partitions and len(workers.owners) == 2)
        flags = ["--simulate", "--count", str(EVENTS), "--rate", str(RATE), "--start-day", str(START_DAY)]
        with step(f"$ streaminfer produce payments {' '.join(flags)}", "and half way one worker is killed with -9"):
            producer = self._command("produce", "payments", *flags)
            workers.await_(lambda: workers.progress.records >= EVENTS // 2)
            slot, pid = workers.kill_one()
            at = workers.progress.records
            self._end(producer, "produce")
        with step("all payments are answered"), contextlib.closing(Log(settings, FRAUD.name, patience_s=10)) as log:
            partitions = log.partitions(FRAUD.source.name)
            ends = log.ends(FRAUD.source.name, partitions, settled=False)
            workers.await_(lambda: log.committed(FRAUD.source.name, partitions) == ends)
        tell(f"worker {slot} (pid {pid}) was killed at {at:,} of {EVENTS:,} payments; a new one took its place")
        with step("Ctrl-C: the workers finish, flush and leave"):
            workers.stop()

    def _audit(self) -> bool:
        process = self._command("audit", "fraud")
        with step("$ streaminfer audit fraud"):
            told, _ = process.communicate(timeout=PATIENCE_S)
        for line in told.decode().splitlines():
            tell(line)
        return process.returncode == 0

    def _judge(self, settings: Settings) -> bool:
        with step("$ streaminfer tail payments.scored --from beginning --until-end"):
            batches = tail(settings, FRAUD.answers.name, start=BEGINNING, until_end=True)
            scored = [json.loads(record.value or b"") for records in batches for record in records]
        hits = sum("defaulted" not in prediction["marks"] for prediction in scored) / max(1, len(scored))
        alerts = [prediction for prediction in scored if prediction["decision"] == "alert"]
        tell(f"{hits:.1%} of the terminal lookups hit; {counted(len(alerts), 'alert')}, three of them:")
        for alert in chosen(alerts, 3):
            for line in in_words(alert):
                tell(line)
        if hits < HITS:
            tell(f"At least {HITS:.0%} of the lookups should hit: the terminal features do not fit.")
        return hits >= HITS

    def _step(self, *arguments: str, shown: str = "") -> None:
        with step(f"$ streaminfer {shown or ' '.join(arguments)}"):
            self._end(self._command(*arguments), arguments[0])

    def _command(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = self.home / f"{arguments[0]}.log"
        with log.open("wb") as stderr:
            return self._leash.popen([*STREAMINFER, *arguments], stdout=subprocess.PIPE, stderr=stderr)

    def _end(self, process: subprocess.Popen[bytes], name: str) -> None:
        process.communicate(timeout=PATIENCE_S)
        if process.returncode:
            told = (self.home / f"{name}.log").read_text(errors="backslashreplace").strip()
            raise Fatal(f"`streaminfer {name}` ended with {process.returncode}:\n{told}")


class Workers:
    """The run command and what it tells, a line an event."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.progress = Progress()
        self.owners: dict[str, int] = {}  # slots that score partitions, and their pids
        self._pids: dict[str, int] = {}
        self._process = process
        self._log = log
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def await_(self, happened: Any) -> None:
        """Take in what is told until `happened()`. Raises Fatal where it does not happen."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            with contextlib.suppress(queue.Empty):
                self._hear(json.loads(self._lines.get(timeout=0.2)))
            if self._process.poll() is not None or time.monotonic() > deadline:
                told = self._log.read_text(errors="backslashreplace").strip()
                raise Fatal(f"The workers did not get on; their log ends:\n{told[-2000:]}")

    def kill_one(self) -> tuple[str, int]:
        """SIGKILL for a worker that scores. Gives its slot and pid."""
        slot, pid = next(iter(self.owners.items()))
        os.kill(pid, signal.SIGKILL)
        return slot, pid

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(PATIENCE_S)

    def _hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "summary":
            return
        self.progress.hear(event)
        slot = event["slot"]
        match event["event"]:
            case "worker":
                self._pids[slot] = event["pid"]
            case "progress" if "live" in event["partitions"].values():
                self.owners[slot] = self._pids[slot]
            case "ended":
                self.owners.pop(slot, None)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)


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
    width = min(100, shutil.get_terminal_size().columns)
    wrapped = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=" " * 12, break_on_hyphens=False)
    for line in [indent + text] if text.startswith(" ") else wrapped:
        say(line)
