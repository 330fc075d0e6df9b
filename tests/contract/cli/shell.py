"""A shell with one home: runs the commands as a user does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

from app.local.leash import Leash
from app.local.stack import Stack
from app.replay.log import Log
from app.settings import Settings
from tests.progress import without_progress


class Shell:
    """Runs commands on one home, with no setting but that."""

    def __init__(self, stack: Stack, leash: Leash) -> None:
        self.stack = stack
        self._leash = leash
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMINFER_")}
        self.environment = {**kept, "STREAMINFER_HOME": str(stack.home)}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "app.cli.main", *arguments]
        return self._leash.popen(argv, env=self.environment, **options)

    def run(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> tuple[str, str]:
        """Standard output, and standard error without progress, of a command that exits with `code`."""
        argv = [sys.executable, "-m", "app.cli.main", *arguments]
        done = subprocess.run(argv, input=stdin, capture_output=True, env=self.environment, timeout=120, check=False)
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, f"{arguments} exited with {done.returncode}:\n{out}\n{err}"
        assert "Traceback" not in err
        return out, without_progress(err)

    def json(self, *arguments: str, **options: Any) -> Any:
        return json.loads(self.run(*arguments, "--json", **options)[0])

    def sent(self, topic: str) -> int:
        """How many records a topic of no transactions has."""
        endpoints = self.stack.endpoints()
        assert endpoints is not None
        with contextlib.closing(Log(Settings(kafka=endpoints.kafka, redis="-"), "test", patience_s=20.0)) as log:
            return sum(log.ends(topic, log.partitions(topic), settled=False).values())

    def records(self, topic: str) -> list[dict[str, Any]]:
        out, _ = self.run("tail", topic, "--from", "beginning", "--until-end", "--json")
        return [json.loads(line) for line in out.splitlines()]
