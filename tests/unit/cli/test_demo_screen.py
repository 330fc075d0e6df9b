"""Frames on a terminal: one over the other, at every size, and never half of one."""

from __future__ import annotations

import os
import sys

import pytest

from tests.terminal import Screen, Terminal

SHOWN = ("streaminfer: ", "PIPELINE", "PARTITION", "NEWEST ALERTS", "NEWEST RECOMMENDATIONS")
PROGRAM = """
import sys, time
from dataclasses import replace
from app.cli.demo_screen import Screen
from app.cli.demo_frame import PartitionSeen
from tests.unit.cli.test_demo_frame import SEEN
if "dead" in sys.argv:
    SEEN = replace(SEEN, partitions={5: PartitionSeen(3, "b-0", alive=False)})
print("before")
try:
    with Screen() as screen:
        for second in range(int(sys.argv[1])):
            if screen.due or "fast" in sys.argv:
                screen.show(replace(SEEN, elapsed_s=second))
            time.sleep(0.01)
        if "breaks" in sys.argv:
            raise KeyboardInterrupt
except KeyboardInterrupt:
    print("interrupted")
print("after")
"""


def shown(columns: int, rows: int, *arguments: str, **environment: str) -> Terminal:
    own = {"TERM": "xterm-256color"} | environment
    clean = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    return Terminal([sys.executable, "-c", PROGRAM, *arguments], columns, rows, clean | own)


def whole(screen: Screen) -> bool:
    return all(sum(line.startswith(name) for line in screen.visible) == 1 for name in SHOWN)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (160, 50)])
def test_every_frame_is_written_over_the_one_before_and_is_whole_at_every_moment(columns: int, rows: int) -> None:
    terminal = shown(columns, rows, "100", "fast")
    torn, parts = 0, 0

    def look(screen: Screen) -> None:
        nonlocal torn, parts
        if not screen.cursor_shown:  # what comes when it is shown again moves the frame up
            parts += parts > 0 or whole(screen)
            torn += parts > 0 and not whole(screen)

    terminal.on_data = look
    terminal.until(lambda screen: "1:39 of" in screen.text, within_s=60)
    assert terminal.end(within_s=60) == 0

    assert parts > 10
    assert torn == 0
    assert terminal.screen.wrapped == 0
    assert terminal.screen.text.startswith("before\nstreaminfer: ")
    assert terminal.screen.text.rstrip().endswith("\nafter")


def test_without_colours_the_words_are_the_same() -> None:
    told = {}
    for no_color in ("", "1"):
        terminal = shown(80, 24, "1", "dead", NO_COLOR=no_color)
        assert terminal.end(within_s=60) == 0
        told[no_color] = terminal.screen.text
        assert bool(terminal.screen.colours) is not bool(no_color)
    assert told[""] == told["1"]
    assert "b-0 dead" in told[""]


def test_the_cursor_comes_back_however_it_is_left() -> None:
    terminal = shown(80, 24, "200", "breaks")
    terminal.until(lambda screen: not screen.cursor_shown, within_s=60)
    assert terminal.end(within_s=60) == 0

    assert terminal.screen.cursor_shown
    assert terminal.screen.text.rstrip().endswith("\ninterrupted\nafter")


def test_a_terminal_that_changes_its_size_gets_frames_of_that_size() -> None:
    terminal = shown(160, 50, "6000")
    terminal.until(whole, within_s=60)
    terminal.resize(80, 24)
    terminal.until(lambda screen: whole(screen) and max(map(len, screen.visible)) < 80, within_s=60)
    terminal.process.kill()
    terminal.end(within_s=60)

    assert terminal.screen.wrapped == 0


def test_a_dumb_terminal_gets_lines() -> None:
    terminal = shown(80, 24, "1", TERM="dumb")
    assert terminal.end(within_s=60) == 0

    assert "PIPELINE" not in terminal.screen.text
    assert "something number 8 happened" in terminal.screen.text
