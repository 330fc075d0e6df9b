"""The demo as a newcomer runs it: what it prints, and that nothing is left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from app.cli.demo_replay import PAGE
from app.settings import PROJECT, home_folder
from tests.contract.loop.rig import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]
MARK = "streaminfer-demo-"


def left() -> list[str]:
    """What is left of any demo: processes that know its home, and homes."""
    found = [str(path) for path in Path(tempfile.gettempdir()).glob(f"{MARK}*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if MARK.encode() in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has just ended, or is none of ours
    return found


def demo() -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMINFER_")}
    # Where somebody's own Kafka is must not decide where the demo writes.
    environment |= {"STREAMINFER_KAFKA": "127.0.0.1:1", "STREAMINFER_REDIS": "redis://127.0.0.1:1/0"}
    return subprocess.Popen(
        [PROJECT / "ops" / "demo", "--quick"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_demo_kills_a_worker_and_every_payment_is_answered_once() -> None:
    process = demo()
    told, _ = process.communicate(timeout=240)

    assert process.returncode == 0, told
    assert re.search(r"was killed at 1\d,\d{3} of 20,000", " ".join(told.split()))
    for name, count in (("inputs", "20,000"), ("missing", "0"), ("duplicated", "0"), ("unexplained", "0")):
        assert re.search(rf"^ +{name} +{count}$", told, re.MULTILINE)
    assert "100.0% of the predictions bear no mark" in told
    assert len(re.findall(r"^ +Customer \d+ pays [\d,.]+: score 0\.\d{3}", told, re.MULTILINE)) == 3
    told_in_one = " ".join(told.split())
    assert "20,000 inputs: fraud@1 on payments.scored before, fraud@2 on payments.scored.replay-" in told_in_one
    assert "Nothing is broken: every input that had an answer has one, and every change has a reason." in told_in_one
    assert "</html>" in (home_folder() / PAGE).read_text()
    assert "all is right" in told
    assert left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("after", ["$ streaminfer topics apply", "both have their partitions"])
def test_nothing_is_left_of_a_demo_that_is_ended(number: signal.Signals, after: str) -> None:
    process = demo()
    assert process.stdout is not None
    while after not in (line := process.stdout.readline()):
        assert line, "the demo ended by itself"
    assert left() != []
    process.send_signal(number)
    process.communicate(timeout=60)

    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    wait_for("the end of all that the demo started", lambda: left() == [])
