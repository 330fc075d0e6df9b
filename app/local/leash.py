"""What is started through a leash dies with the process that holds it, even if that one is killed with -9.

A watchdog beside the owner (app/local/watchdog.py) sees the owner's end and kills what is left. Nothing can slip away
between the start of a process and its registration: it begins to run only after that (app/local/process.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from app.errors import Refused, Unavailable
from app.local import watchdog
from app.local.process import Known, start, stop


class Leash:
    """Holds process groups and directories until `close`, or until the process that made it is gone.

    Belongs to that process: in a fork of it, `close` does nothing. Safe in several threads.
    """

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._lock = Lock()
        self._held: list[Known] = []
        self._children: list[subprocess.Popen[bytes]] = []
        argv = [sys.executable, "-I", "-S", watchdog.__file__, str(self._owner)]
        # Its own session: a closing terminal and Ctrl-C end the owner, and the watchdog must outlive it.
        self._watchdog = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, cwd="/"
        )

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Starts a program in a process group of its own, with no input. `options` are Popen's; `close` reaps it."""
        process = start(argv, self.hold, **options)
        self._children.append(process)
        return process

    def hold(self, process: Known) -> None:
        """The group that this process leads ends with the leash."""
        self._order(f"end {process.pid} {process.birth}")
        self._held.append(process)

    def remove_at_end(self, path: Path) -> None:
        """This directory, absent or empty now, goes when all processes have gone. Raises Refused if it holds anything.

        So nothing that was there before can be removed; and the watchdog touches no directory without the mark.
        """
        path = path.resolve()
        if path.exists() and any(path.iterdir()):
            raise Refused(f"{path} is not empty, and is not removed at the end: name a directory that is new.")
        path.parent.mkdir(parents=True, exist_ok=True)
        watchdog.mark(path).touch()
        self._order(f"remove {path}")

    def close(self, *, grace_s: float = 5.0) -> None:
        """Ends what is held: SIGTERM, `grace_s` seconds, SIGKILL; then the directories go. Again: nothing."""
        if os.getpid() != self._owner or self._watchdog.stdin is None or self._watchdog.stdin.closed:
            return
        stop(self._held, grace_s=grace_s)
        for child in self._children:
            child.wait()
        self._watchdog.stdin.close()
        self._watchdog.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _order(self, order: str) -> None:
        pipe = self._watchdog.stdin
        assert pipe is not None
        try:
            with self._lock:
                pipe.write(os.fsencode(order) + b"\0")
                pipe.flush()
        except (BrokenPipeError, ValueError) as gone:
            raise Unavailable(
                "Nothing can be started on a leash whose watchdog has ended: start the command again."
            ) from gone
