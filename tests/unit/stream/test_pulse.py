"""The note that outlives its process, and the alarm that ends a process which hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from app.stream.pulse import ALONE, BATCH, SIZE, Note, Suspected


@pytest.fixture
def page() -> int:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - its number is used
    file.truncate(SIZE)
    number = os.dup(file.fileno())
    file.close()
    return number


def test_what_one_side_writes_the_other_reads(page: int) -> None:
    mine, theirs = Note(page), Note(page)
    assert theirs.read() == Suspected()
    mine.write(BATCH, {0: (10, 20), 7: (1, 2)})
    assert theirs.read() == Suspected({0: (10, 20), 7: (1, 2)})
    mine.write(ALONE, {3: (4, 5)})
    assert theirs.read() == Suspected({3: (4, 5)}, alone=True)
    mine.clear()
    assert theirs.read() == Suspected()


def test_a_note_of_more_partitions_than_fit_holds_the_first_ones(page: int) -> None:
    note = Note(page)
    note.write(BATCH, dict.fromkeys(range(10_000), (0, 1)))
    assert len(note.read().ranges) == (SIZE - 16) // 24


def test_bytes_that_are_no_note_are_none(page: int) -> None:
    os.pwrite(page, b"\xff" * SIZE, 0)
    assert Note(page).read() == Suspected()


def test_a_note_says_which_offsets_in_words() -> None:
    assert Suspected({1: (5, 6), 0: (10, 20)}).words() == "0: 10 to 19, 1: 5 to 5"


HANGS = """
import re, sys, time
from app.stream.pulse import Note, Pulse
pulse = Pulse(Note(), turn_s={turn}, score_s={score})
pulse.beat()
{then}
re.match("(a+)+$", "a" * 64 + "b")
"""


@pytest.mark.parametrize(
    ("turn", "score", "then"),
    [(0.2, 1e6, ""), (1e6, 0.2, "pulse.scoring({0: (1, 2)})"), (1e6, 0.2, "pulse.alone(0, 1)"),
     (0.2, 1e6, "pulse.scoring({0: (1, 2)}); pulse.scored()")],
    ids=["in a turn", "in a batch", "in one record", "after a batch"],
)  # fmt: skip
def test_a_process_that_hangs_with_the_interpreter_s_lock_is_ended(turn: float, score: float, then: str) -> None:
    code = HANGS.format(turn=turn, score=score, then=then)
    ended = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert ended.returncode == -signal.SIGALRM


CALM = """
import signal
from app.stream.pulse import Note, Pulse
pulse = Pulse(Note())
pulse.beat(), pulse.scoring({0: (1, 2)}), pulse.scored()
assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
"""


def test_without_bounds_no_alarm_is_set() -> None:
    assert subprocess.run([sys.executable, "-c", CALM], timeout=60, check=False).returncode == 0
