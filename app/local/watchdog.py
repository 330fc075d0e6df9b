"""Ends what its owner started, once the owner is gone. A program of its own, beside the owner.

It is run by path and without site packages, so that it is there within milliseconds and imports nothing of ours. Its
standard input is a pipe whose only write end the owner holds: the end of input means that the owner has died, by
whatever signal, or has closed it on purpose. Until then it reads orders, each ended by a NUL byte:

    end PID BIRTH      kill this process group (BIRTH: see `birth`) at the end
    remove PATH        remove this directory at the end, after the groups, if it bears the mark
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_BOOT = "/proc/sys/kernel/random/boot_id"
_LAST_WORDS_S = 5.0  # for killed processes to go, before the directories that they write to are removed


def birth(pid: int) -> str | None:
    """When this process began, in a form to compare; None if it is dead, a zombie too.

    A pid alone is no name: it is given again, to anybody. The pair (pid, birth) is one, also over a reboot.
    """
    if sys.platform != "linux":
        return _birth_by_ps(pid)
    stat = _stat(str(pid))
    return f"{Path(_BOOT).read_text().strip()}:{stat[19]}" if stat else None


def _stat(pid: str) -> list[str] | None:
    """Linux' own words on a process, from its state on: 0 state, 1 parent, 2 group, 19 start. None if it is dead."""
    try:
        stat = Path("/proc", pid, "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = stat.rpartition(")")[2].split()  # the name may hold blanks and brackets
    return None if after_name[0] in "ZX" else after_name


def _birth_by_ps(pid: int) -> str | None:
    import subprocess  # only here: it takes half of this program's start

    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(maxsplit=1)
    return None if len(asked) < 2 or asked[0].startswith("Z") else asked[1].strip()


def kill_group(pid: int, born: str) -> bool:
    """Kills the group that (pid, birth) leads or led. False when nothing that lives is left of it."""
    now = birth(pid)
    # No new process gets a pid while a group bears it: with the leader dead, the group is still the one we know.
    if now is not None and now != born:
        return False
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    if sys.platform != "linux":
        return True
    # A zombie still counts for the call above, and whether somebody buries it is not ours to say.
    everybody = (_stat(process) for process in os.listdir("/proc") if process.isdigit())
    return any(stat is not None and stat[2] == str(pid) for stat in everybody)


def mark(path: Path) -> Path:
    """The file beside a directory that says: a leash found it absent or empty, what is in it now may go."""
    return path.with_name(f".{path.name}.leashed")


def remove(path: Path) -> None:
    """Removes a marked directory and its mark, and touches no other."""
    if mark(path).is_file():
        with suppress(OSError):
            shutil.rmtree(path)
        mark(path).unlink(missing_ok=True)


def _orders(owner: int) -> list[list[str]]:
    """Reads until the owner is gone."""
    read = b""
    while True:
        # A child that the owner forked without exec holds the pipe open too: so its parenthood is looked at as well.
        if select.select([0], [], [], 0.5)[0]:
            more = os.read(0, 65536)
            if not more:
                break
            read += more
        elif os.getppid() != owner:
            break
    # What has no NUL behind it was cut off by the owner's death.
    return [os.fsdecode(order).split(" ", 1) for order in read.split(b"\0")[:-1]]


def main() -> None:
    owner = int(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    orders = _orders(owner)
    groups = [(int(pid), born) for verb, rest in orders if verb == "end" for pid, born in [rest.split(" ", 1)]]
    deadline = time.monotonic() + _LAST_WORDS_S
    while time.monotonic() < deadline:
        groups = [(pid, born) for pid, born in groups if kill_group(pid, born)]
        if not groups:
            break
        time.sleep(0.02)
    for path in [rest for verb, rest in orders if verb == "remove"]:
        remove(Path(path))


if __name__ == "__main__":
    main()
