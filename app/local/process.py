"""Processes that are ours: started so that none is lost, known again after a restart of ours, stopped in good order."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import Unavailable
from app.local.watchdog import birth, kill_group

# Waits until it is told to go on, and becomes the program: same pid, same group. At the end of input it gives up.
_GATE = 'read -r go && exec "$@"'

_detached: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class Known:
    """One process and no other, also when its pid has been given to somebody else."""

    pid: int
    birth: str

    @property
    def alive(self) -> bool:
        return birth(self.pid) == self.birth


def start(argv: Sequence[str], register: Callable[[Known], None], **options: Any) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own, with no input; `options` are Popen's.

    The program begins only after `register` has returned. Whoever dies in between leaves nothing behind: the child
    sees its end of the pipe close, and ends. Raises Unavailable when there is no such program.
    """
    if shutil.which(argv[0]) is None:
        raise Unavailable(f"{argv[0]} cannot be started: there is no such program.")
    process = subprocess.Popen(
        ["/bin/sh", "-c", _GATE, "sh", *argv], stdin=subprocess.PIPE, start_new_session=True, **options
    )
    gate, process.stdin = process.stdin, None
    assert gate is not None
    born = birth(process.pid)
    try:
        if born is not None:
            register(Known(process.pid, born))
            with suppress(BrokenPipeError):  # killed already: its exit code will say so
                gate.write(b"go\n")
                gate.flush()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        with suppress(BrokenPipeError):
            gate.close()
    return process


def detach(process: subprocess.Popen[bytes]) -> None:
    """This process lives on without us. It is kept in sight only to be reaped, should it end before we do."""
    _detached.append(process)


def reap() -> None:
    """Buries the detached that have ended."""
    _detached[:] = [process for process in _detached if process.poll() is None]


def stop(processes: Iterable[Known], *, grace_s: float) -> None:
    """SIGTERM to each one's group, SIGKILL to those that are still there after `grace_s` seconds. Returns when none is.

    Foreign processes that have got one of the pids are left alone.
    """
    known = [process for process in processes if process.alive]
    if grace_s > 0:
        for process in known:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        wait_until(lambda: not any(process.alive for process in known), timeout_s=grace_s)
    for process in known:
        kill_group(process.pid, process.birth)
    wait_until(lambda: not any(process.alive for process in known), timeout_s=10.0)
    reap()


def wait_until(happened: Callable[[], bool], *, timeout_s: float, every_s: float = 0.02) -> bool:
    """Asks every `every_s` seconds; False when it has not happened after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, indented, for an error's text."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        lines = file.read().decode(errors="replace").splitlines()[-count:]
        return "\n".join(f"    {line[:300]}" for line in lines)
    return "    (nothing)"
