"""ops/walkthrough.md, as a stranger follows it: each command is run as it stands there and prints what it says."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.local.leash import Leash
from app.local.stack import Stack
from app.settings import PROJECT

pytestmark = [pytest.mark.broker, pytest.mark.redis]

DOCUMENT = PROJECT / "ops" / "walkthrough.md"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIMIT_S = 270


@dataclass
class Step:
    """The commands of one block, and the lines that they must print, in this order."""

    commands: str
    lines: list[str]


def steps(text: str) -> list[Step]:
    found: list[Step] = []
    for kind, body in BLOCK.findall(text):
        if kind == "sh":
            found.append(Step(body, []))
        else:
            found[-1].lines = body.splitlines()
    return found


def missing(lines: list[str], printed: str) -> str | None:
    """The first line that was not printed after those before it. `…` stands for anything, a line for its beginning."""
    remaining = iter(printed.splitlines())
    for line in lines:
        wanted = re.compile(".*".join(map(re.escape, line.split("…"))))
        if not any(wanted.match(one) for one in remaining):
            return line
    return None


@pytest.fixture
def environment(new_stack: Callable[[], Stack], leash: Leash) -> Iterator[dict[str, str]]:
    """A stranger's: nothing set but a home of its own, whose servers end with the suite whatever happens."""
    stack = new_stack()
    stack.up(leash=leash)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMINFER_", "PYTEST_"))}
    yield kept | {"STREAMINFER_HOME": str(stack.home)}
    stack.down()


def test_every_command_of_the_walk_through_does_what_it_says(environment: dict[str, str], tmp_path: Path) -> None:
    walk = steps(DOCUMENT.read_text())
    assert len(walk) > 5
    script = "set -euo pipefail\n" + "\n".join(f"echo '@@ {n}'\n{step.commands}" for n, step in enumerate(walk))
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=PROJECT,
        env=environment | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )

    assert done.returncode == 0, done.stdout
    printed = re.split(r"^@@ \d+\n", done.stdout, flags=re.MULTILINE)[1:]
    assert len(printed) == len(walk)
    for step, said in zip(walk, printed, strict=True):
        assert (never := missing(step.lines, said)) is None, f"{never!r} is not among, or not in its place:\n{said}"
    assert "Traceback" not in done.stdout


def test_a_line_that_is_not_printed_is_found() -> None:
    assert missing(["a … c", "d"], "x\na b c\nd\n") is None
    assert missing(["d", "a"], "a\nd\n") == "a"
    assert missing(["a … c"], "a b\n") == "a … c"
