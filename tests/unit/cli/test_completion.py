"""What a shell completes, in real shells: bash on a terminal; zsh and fish where this machine has them."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.cli.test_main import ran

BIN = Path(sys.executable).parent
LOAD = {
    "bash": "source <(streaminfer completion bash)",
    "zsh": "autoload -Uz compinit; compinit -u -D; source <(streaminfer completion zsh)",
}
START = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}
WITHIN_S = 30.0
BEGUN = {
    "aud": "audit",
    "features reb": "features rebuild",
    "run fraud --until-": "run fraud --until-end",
    "audit fraud-": "audit fraud-labels",
    "tail payments.sc": "tail payments.scored",
    "produce payments.labels.d": "produce payments.labels.dead",
    "features get cus": "features get customer",
    "completion fi": "completion fish",
    "run mine.p": "run mine.py",
}


class Terminal:
    """A shell on a terminal, typed at."""

    def __init__(self, shell: str, folder: Path) -> None:
        self._pid, self._handle = pty.fork()
        if self._pid == 0:  # the shell itself
            os.chdir(folder)
            os.environ.update({"PATH": f"{BIN}:{os.environ['PATH']}", "PS1": "ready> ", "TERM": "dumb"})
            for name in [name for name in os.environ if name.startswith("STREAMINFER_")]:
                del os.environ[name]
            # A home in which nothing may be asked for: completing connects to nothing.
            os.environ["STREAMINFER_HOME"] = str(folder / "home")
            os.execvp(START[shell][0], START[shell])
        fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self._seen = ""
        self._wait_for("ready> ")
        self._type(f"{LOAD[shell]}; echo load''ed\n")
        self._wait_for("loaded\n")
        self._wait_for("ready> ", after="loaded\n")

    def completed(self, begun: str) -> str:
        """The line as it is after a tab: the shell itself is made to print it."""
        self._type(f"{begun}\t\x01echo got:\n")
        self._wait_for("\n", after="\ngot:")
        line = self._seen.partition("\ngot:")[2].partition("\n")[0]
        self._wait_for("ready> ", after="\ngot:")
        return line.strip()

    def _type(self, keys: str) -> None:
        self._seen = ""
        os.write(self._handle, keys.encode())

    def _wait_for(self, text: str, *, after: str = "") -> None:
        deadline = time.monotonic() + WITHIN_S
        while text not in (self._seen.partition(after)[2] if after else self._seen):
            ready, _, _ = select.select([self._handle], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} never came; there is {self._seen!r}"
            self._seen += os.read(self._handle, 65536).decode(errors="replace").replace("\r", "")

    def close(self) -> None:
        os.close(self._handle)
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[[str], Terminal]]:
    opened: list[Terminal] = []

    def make(shell: str) -> Terminal:
        if shutil.which(shell) is None:
            pytest.skip(f"there is no {shell} on this machine")
        opened.append(Terminal(shell, tmp_path))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_completes_what_was_begun(terminal: Callable[[str], Terminal], tmp_path: Path, shell: str) -> None:
    (tmp_path / "mine.py").touch()
    at = terminal(shell)

    assert {typed: at.completed(f"streaminfer {typed}") for typed in BEGUN} == {
        typed: f"streaminfer {completed}" for typed, completed in BEGUN.items()
    }


def test_fish_completes_what_was_begun(tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("there is no fish on this machine")
    begun = ("aud", "audit fraud-", "tail payments.sc", "features get cus", "run fraud --until-", "run mine.p")
    (tmp_path / "mine.py").touch()
    asked = "; ".join(f"complete -C 'streaminfer {typed}'" for typed in begun)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMINFER_")}
    environment = kept | {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    argv = ["fish", "--no-config", "-c", f"streaminfer completion fish | source; {asked}"]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=120)

    found = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert found == ["audit", "fraud-labels", "payments.scored", "customer", "--until-end", "mine.py"]


@pytest.mark.parametrize(
    ("shell", "has"),
    [
        ("bash", "complete -o default -F _streaminfer_completion streaminfer"),
        ("zsh", "compdef _streaminfer_completion streaminfer"),
        ("fish", "complete --command streaminfer"),
    ],
)
def test_the_script_of_a_shell_asks_the_command_itself(shell: str, has: str) -> None:
    code, told, why = ran("completion", shell)

    assert (code, why) == (0, "")
    assert has in told
    assert f"_STREAMINFER_COMPLETE=complete_{shell}" in told


def test_a_shell_that_is_not_known_is_wrong_use() -> None:
    code, told, why = ran("completion", "tcsh")

    assert (code, told) == (2, "")
    assert "'bash', 'zsh', 'fish'" in why


def test_nothing_is_written_into_the_start_files_of_a_shell() -> None:
    assert ran("--install-completion")[0] == 2
    assert ran("--show-completion")[0] == 2
