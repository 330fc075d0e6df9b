"""What is written to a terminal and what must never reach it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from app.cli.terminal import StatusLine, counted, printable, say_json, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ordinary – text, é 漢字", "ordinary – text, é 漢字"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202ecba", "abc\\u202ecba"),
        ("line\u2028end", "line\\u2028end"),
        ("\ud800", "\\ud800"),
        ("\x00", "\\x00"),
    ],
)
def test_what_could_move_a_cursor_or_pretend_is_written_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_json_is_one_line_of_ascii_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a": "\x1b\x9b\u2028\n\ud800", "b": None}
    say_json(value)
    line = capsys.readouterr().out

    assert line.isascii()
    assert line.isprintable() or line[:-1].isprintable()
    assert len(line.splitlines()) == 1
    assert json.loads(line) == value


def test_a_table_aligns_its_columns() -> None:
    lines = list(table([("NAME", "COUNT"), ("a", 5), ("longer", 1234)], right=(1,)))

    assert lines == ["NAME    COUNT", "a           5", "longer   1234"]


def test_one_is_not_a_plural() -> None:
    assert (counted(1, "event"), counted(0, "event"), counted(20000, "event")) == (
        "1 event",
        "0 events",
        "20,000 events",
    )


def test_without_a_terminal_no_status_line_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with StatusLine() as line:
        line.show("unseen")

    assert not line.is_live
    assert capsys.readouterr() == ("", "")


SHOWING = """
import subprocess, sys
from app.cli.terminal import StatusLine
with StatusLine() as line:
    line.show("status " + "x" * 500)
    subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('of a child\\\\n')"])
    line.show("status two")
sys.stderr.write("after\\n")
"""


def all_of(terminal: int) -> str:
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:
        pass  # so a terminal ends that nobody writes to any more
    os.close(terminal)
    return shown.decode()


def test_lines_of_child_processes_appear_whole_above_the_status_line() -> None:
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", SHOWING], stderr=theirs, check=True, env={**os.environ, "COLUMNS": "40"})
    os.close(theirs)
    shown = all_of(ours)

    clear = "\r\x1b[K"
    assert f"{clear}status {'x' * 32}" in shown
    assert f"{clear}of a child\r\n" in shown
    assert shown.endswith(f"{clear}after\r\n")
