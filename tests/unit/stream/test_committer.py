"""A call of the transactions' thread that never returns ends the process, whatever the loop waits for meanwhile."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.stream.committer import WATCHDOG_EXIT

HANGS = """
import threading
from app.stream.committer import Committer
from app.stream.transaction import Batch

class Transactions:
    handing_over = {handing_over}
    def recover(self, timeout_s):
        {recover}
    def commit(self, batch):
        threading.Event().wait()

committer = Committer(Transactions(), limit_s={limit_s})
committer.start()
committer.ask_recovery()
{then}
threading.Event().wait()
"""
WAITS = {
    "a producer that is never initialised": ("threading.Event().wait()", ""),
    "a commit that never ends": ("pass", "committer.submit(Batch([], {}, None))"),
    "a batch that is never taken": ("pass", "for _ in range(3): committer.submit(Batch([], {}, None))"),
    "a recovery that is never begun": ("pass", "for _ in range(2): committer.submit(Batch([], {}, None))\n"
                                               "committer.ask_recovery()"),
    "an outcome that never comes": ("pass", "committer.submit(Batch([], {}, None))\n"
                                            "while True: committer.next_done(1.0)"),
    "an end that never comes": ("pass", "committer.submit(Batch([], {}, None))\ncommitter.stop()\nraise SystemExit"),
}  # fmt: skip


@pytest.mark.parametrize("wait", WAITS)
def test_what_waits_for_a_call_that_never_returns_is_ended_with_the_process(wait: str) -> None:
    recover, then = WAITS[wait]
    code = HANGS.format(recover=recover, then=then, handing_over=None, limit_s=0.2)
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, check=False, stderr=subprocess.PIPE)
    if wait == "an end that never comes":
        # Who leaves waits for the thread no longer than the limit: it goes by itself, or the watchdog was quicker.
        assert ended.returncode in (0, WATCHDOG_EXIT), ended.stderr
    else:
        assert ended.returncode == WATCHDOG_EXIT, ended.stderr


def test_offsets_that_are_never_handed_over_end_the_process_after_the_time_out_that_they_were_given() -> None:
    """Twice as long is for a commit as a whole: here it would be an hour."""
    code = HANGS.format(
        recover="pass",
        then="import app.stream.committer as room\nroom.SLACK_S = -1800.0\ncommitter.submit(Batch([], {}, None))",
        handing_over="1.0",
        limit_s=3600,
    )
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, check=False, stderr=subprocess.PIPE)
    assert ended.returncode == WATCHDOG_EXIT, ended.stderr
