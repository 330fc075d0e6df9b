"""ops/runbook.md, as somebody follows it at night: each of its commands is run as it stands, beside a live run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator

import pytest

from app.settings import PROJECT
from tests.contract.cli.shell import Shell
from tests.contract.loop.rig import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for block in BLOCK.findall((PROJECT / "ops" / "runbook.md").read_text())
    for line in block.splitlines()
    if line.strip()
]


@pytest.fixture(scope="module")
def shell(new_shell: Callable[[], Shell]) -> Iterator[Shell]:
    """Payments, some of them refused, and a run that goes on."""
    shell = new_shell()
    shell.run("topics", "apply")
    shell.run("produce", "payments.labels", "--simulate", "--count", "200")
    shell.run("produce", "payments", "--simulate", "--count", "500")
    shell.run("produce", "payments", "--raw", stdin=b"no payment\n" * 5)
    labels = shell.start("run", "fraud-labels")
    running = shell.start("run", "fraud", "--workers", "1", "--dead-letter-limit", "1")
    wait_for("a run that is ready", lambda: shell.json("lag", "fraud")["lag"] == 0, within_s=90)
    yield shell
    for process in (running, labels):
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_a_command_of_the_runbook_does_what_it_says(command: str, shell: Shell) -> None:
    program, *words = shlex.split(command)
    assert program == "streaminfer"
    out, _ = shell.run(*words)
    assert out.strip()
