"""The program as a user starts it, but that the workers of `run` are watched: `python -m tests.faults.started`."""

from __future__ import annotations

import functools
import sys

from app.stream import supervisor

WORKER = (sys.executable, "-m", "tests.faults.doomed")

if __name__ == "__main__":
    supervisor.Supervisor = functools.partial(supervisor.Supervisor, command=WORKER)  # type: ignore[misc, assignment]
    from app.cli.main import main

    main()
