"""A worker's process by itself: what it does when nobody is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from app.settings import Settings


def test_a_worker_whose_supervisor_is_gone_leaves(tmp_path: Path) -> None:
    """It waits for a Redis that never comes; its standard input ends, as when a supervisor dies."""
    settings = Settings(kafka="127.0.0.1:1", redis="redis://127.0.0.1:1/0", home=tmp_path)
    job = {"pipeline": "fraud", "slot": "fraud.x-0", "settings": json.loads(settings.model_dump_json())}
    with subprocess.Popen(
        [sys.executable, "-m", "app.stream"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as worker:
        assert worker.stdin is not None
        assert worker.stderr is not None
        worker.stdin.write(json.dumps(job).encode() + b"\n")
        worker.stdin.flush()
        assert b"Redis does not answer" in worker.stderr.readline()
        worker.stdin.close()
        assert worker.wait(60) == 0
