from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.local.process import Known, last_lines, start, stop, wait_until
from app.local.watchdog import birth, kill_group

PROJECT = Path(__file__).resolve().parents[3]


def test_a_program_begins_only_after_it_is_registered(tmp_path: Path) -> None:
    began = tmp_path / "began"
    seen: list[tuple[Known, bool]] = []
    process = start(["touch", str(began)], lambda known: seen.append((known, began.exists())))
    assert process.wait(10) == 0
    assert seen == [(Known(process.pid, seen[0][0].birth), False)]
    assert began.exists()


def test_a_program_that_could_not_be_registered_never_runs(tmp_path: Path) -> None:
    began = tmp_path / "began"

    def refuse(known: Known) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        start(["touch", str(began)], refuse)
    assert not began.exists()


def test_a_starter_killed_before_the_registration_leaves_nothing(tmp_path: Path) -> None:
    began, pid = tmp_path / "began", tmp_path / "pid"
    code = (
        "import os, signal, sys; from pathlib import Path; from app.local.process import start\n"
        "def die(known): Path(sys.argv[1]).write_text(str(known.pid)); os.kill(os.getpid(), signal.SIGKILL)\n"
        "start(['touch', sys.argv[2]], die)"
    )
    subprocess.run([sys.executable, "-c", code, str(pid), str(began)], cwd=PROJECT, check=False, timeout=30)
    assert wait_until(lambda: birth(int(pid.read_text())) is None, timeout_s=10)
    assert not began.exists()


def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(Unavailable, match="no-such-program cannot be started"):
        start(["no-such-program"], lambda _: None)


def test_a_pid_that_was_given_to_another_process_is_not_the_one_we_know() -> None:
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    stale = Known(other.pid, "an earlier birth")
    assert not stale.alive
    stop([stale], grace_s=1.0)
    assert not kill_group(stale.pid, stale.birth)
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_zombie_is_dead() -> None:
    process = start(["true"], lambda _: None)
    assert wait_until(lambda: birth(process.pid) is None, timeout_s=10)
    assert process.wait() == 0


def test_stop_asks_first_and_kills_what_does_not_listen(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    known: list[Known] = []
    polite = start(
        ["sh", "-c", f"trap 'touch {asked}; exit 0' TERM; touch {asked}.ready; while :; do sleep 0.05; done"],
        known.append,
    )
    deaf = start(["sh", "-c", f"trap '' TERM; touch {asked}.deaf; sleep 60"], known.append)
    assert wait_until(lambda: all(Path(f"{asked}.{name}").exists() for name in ("ready", "deaf")), timeout_s=10)
    stop(known, grace_s=0.5)
    assert asked.exists()
    assert (polite.wait(), deaf.wait()) == (0, -signal.SIGKILL)


def test_the_end_of_a_log_is_shown_and_a_missing_one_does_no_harm(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_lines(log) == "    (nothing)"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert last_lines(log, 2) == "    line 9998\n    line 9999"


def test_our_own_birth_does_not_change() -> None:
    assert birth(os.getpid()) == birth(os.getpid()) is not None
