"""What Linux says of a process that a test or a bench looks at from outside, by its number."""

from __future__ import annotations

import os
from pathlib import Path


def stat(pid: int, *, thread: int | None = None) -> list[str]:
    """The words of /proc/PID/stat behind the process' name: its state first, then its parent; none where it is gone."""
    place = Path(f"/proc/{pid}/stat") if thread is None else Path(f"/proc/{pid}/task/{thread}/stat")
    try:
        return place.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def stands_still(pid: int) -> bool:
    """Whether a signal has stopped it."""
    return stat(pid)[:1] == ["T"]


def is_child(pid: int, parent: int) -> bool:
    """Whether the number is that of a living child of `parent`, and not of somebody who came after it."""
    words = stat(pid)
    return bool(words) and words[0] != "Z" and int(words[1]) == parent


def children(pid: int) -> list[int]:
    """The processes that a process has started, by any of its threads, the oldest first."""
    found = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return sorted(int(child) for some in found for child in some)


def threads(pid: int) -> list[int]:
    return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]


def cpu_s(pid: int) -> float:
    """User and system time so far, in seconds; 0.0 where it is gone."""
    words = stat(pid)
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") if words else 0.0


def memory_kb(pid: int, what: str = "VmRSS") -> int:
    """Its memory in kB: VmRSS now, VmHWM at most so far; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(what)), 0)
