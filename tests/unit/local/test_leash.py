from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import Refused, Unavailable
from app.local import watchdog
from app.local.leash import Leash
from app.local.process import wait_until
from app.local.watchdog import birth

PROJECT = Path(__file__).resolve().parents[3]

# Starts a program with a child of its own on a leash, says their pids, and then does what {rest} says.
OWNER = """
import os, sys, time
from pathlib import Path
from app.local.leash import Leash
folder = Path(sys.argv[1])
leash = Leash()
leash.remove_at_end(folder)
folder.mkdir()
leash.popen(["sh", "-c", 'sleep 60 & echo $$ $! > "$0.new" && mv "$0.new" "$0.pids"; wait', str(folder)])
{rest}
"""


def start_owner(folder: Path, rest: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER.format(rest=rest), str(folder)], cwd=PROJECT)
    pids = Path(f"{folder}.pids")  # beside the folder: that one may be gone before it is looked into
    assert wait_until(pids.exists, timeout_s=20)
    return owner, [int(pid) for pid in pids.read_text().split()]


def all_gone(pids: list[int], folder: Path) -> bool:
    return wait_until(lambda: not any(map(birth, pids)) and not folder.exists(), timeout_s=10)


def test_when_the_owner_is_killed_everything_goes_grandchildren_too(tmp_path: Path) -> None:
    owner, pids = start_owner(tmp_path / "home", "time.sleep(60)")
    assert all(map(birth, pids))
    owner.kill()
    owner.wait()
    assert all_gone(pids, tmp_path / "home")


def test_when_the_owner_ends_without_a_word_everything_goes(tmp_path: Path) -> None:
    owner, pids = start_owner(tmp_path / "home", "while not Path(f'{folder}.pids').exists(): time.sleep(0.01)")
    owner.wait()
    assert all_gone(pids, tmp_path / "home")


def test_a_fork_of_the_owner_does_not_hold_the_leash_for_it(tmp_path: Path) -> None:
    fork = "if os.fork() == 0: (folder.parent / 'fork').write_text(str(os.getpid()))\ntime.sleep(60)"
    owner, pids = start_owner(tmp_path / "home", fork)
    assert wait_until((tmp_path / "fork").exists, timeout_s=10)
    owner.kill()
    owner.wait()
    try:
        assert all_gone(pids, tmp_path / "home")
    finally:
        os.kill(int((tmp_path / "fork").read_text()), signal.SIGKILL)


def test_a_fork_of_the_owner_cannot_end_what_the_owner_holds() -> None:
    with Leash() as leash:
        held = leash.popen(["sleep", "60"])
        fork = os.fork()
        if fork == 0:
            leash.close(grace_s=0.0)
            os._exit(0)
        os.waitpid(fork, 0)
        assert held.poll() is None


def test_the_end_of_a_with_block_is_orderly(tmp_path: Path) -> None:
    asked, home = tmp_path / "asked", tmp_path / "home"
    with Leash() as leash:
        leash.remove_at_end(home)
        home.mkdir()
        (home / "file").touch()
        held = leash.popen(
            ["sh", "-c", f"trap 'touch {asked}; exit 7' TERM; touch {asked}.ready; while :; do sleep 0.05; done"]
        )
        assert wait_until(lambda: Path(f"{asked}.ready").exists(), timeout_s=10)
    assert held.returncode == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked", "asked.ready"]
    leash.close()


def test_a_held_program_has_no_input() -> None:
    with Leash() as leash:
        assert leash.popen(["cat"]).wait(10) == 0


def test_nothing_is_started_on_a_leash_that_cannot_hold(tmp_path: Path) -> None:
    leash = Leash()
    leash.close()
    with pytest.raises(Unavailable, match="watchdog has ended"):
        leash.popen(["touch", str(tmp_path / "began")])
    assert not (tmp_path / "began").exists()


def test_a_directory_that_holds_something_is_not_taken_and_not_removed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    with Leash() as leash, pytest.raises(Refused, match="is not empty, and is not removed"):
        leash.remove_at_end(kept)
    assert (kept / "file").exists()


def test_the_watchdog_removes_only_what_a_leash_has_marked(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "file").touch()
    argv = [sys.executable, "-I", "-S", watchdog.__file__, str(os.getpid())]
    subprocess.run(argv, input=f"remove {foreign}\0".encode(), check=True, timeout=30)
    assert (foreign / "file").exists()
