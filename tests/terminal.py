"""A terminal to run a command in, and what is on its screen: as much of one as the demo writes to.

Lines that are too long wrap as they would for a person, and what scrolls off the top is kept.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Screen:
    """Characters in their places. Raises AssertionError for what it does not know."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.lines = [""]  # the last `rows` of them are on the screen
        self.wrapped = 0
        self.colours: set[str] = set()
        self.cursor_shown = True
        self._row = self._column = 0
        self._rest = ""

    @property
    def text(self) -> str:
        """All that is and was on it, trailing spaces cut."""
        return "\n".join(line.rstrip() for line in self.lines)

    @property
    def visible(self) -> list[str]:
        return [line.rstrip() for line in self.lines[-self.rows :]]

    def write(self, data: str) -> None:
        data, self._rest, place = self._rest + data, "", 0
        while place < len(data):
            if data[place] != "\x1b":
                self._put(data[place])
                place += 1
            elif found := SEQUENCE.match(data, place):
                self._order(found[2], found[1])
                place = found.end()
            else:
                self._rest = data[place:]  # the other half is on its way
                return

    def _put(self, character: str) -> None:
        match character:
            case "\r":
                self._column = 0
            case "\n":
                self._down()
            case _:
                if self._column == self.columns:
                    self.wrapped += 1
                    self._down()
                    self._column = 0
                line = self.lines[self._row].ljust(self._column)
                self.lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
                self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")

    def _order(self, letter: str, numbers: str) -> None:
        match letter:
            case "A":
                self._row = max(len(self.lines) - self.rows, self._row - int(numbers or 1))
            case "K":
                line = self.lines[self._row]
                self.lines[self._row] = "" if numbers == "2" else line[: self._column]
            case "m":
                self.colours |= {n for n in numbers.split(";") if n.isdecimal() and 30 <= int(n) < 108}
            case "H" if not numbers:
                self._row, self._column = max(0, len(self.lines) - self.rows), 0
            case "J" if numbers == "2":
                self.lines[-self.rows :] = [""] * min(self.rows, len(self.lines))
            case "h" | "l" if numbers == "?25":
                self.cursor_shown = letter == "h"
            case _:
                raise AssertionError(f"The screen does not know ESC[{numbers}{letter}.")


class Terminal:
    """A command in a terminal of its own, which is its controlling one."""

    def __init__(self, command: Sequence[str | Path], columns: int, rows: int, environment: dict[str, str]) -> None:
        self.screen = Screen(columns, rows)
        self.on_data: Callable[[Screen], None] = lambda _: None  # after each part that is read
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            command, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)

    def resize(self, columns: int, rows: int) -> None:
        """What is on the screen stays as it is: a real terminal does what it likes with it."""
        self.screen.columns, self.screen.rows = columns, rows
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, seen: Callable[[Screen], bool], *, within_s: float) -> None:
        """Read until it is seen. Raises AssertionError with the screen where it is not."""
        deadline = time.monotonic() + within_s
        while not seen(self.screen):
            assert time.monotonic() < deadline, self.screen.text
            assert self._read(0.5), f"it ended before:\n{self.screen.text}"

    def end(self, *, within_s: float) -> int:
        """Read to the end. Gives the exit code."""
        deadline = time.monotonic() + within_s
        while self._read(0.5):
            assert time.monotonic() < deadline, self.screen.text
        os.close(self._master)
        return self.process.wait(max(1.0, deadline - time.monotonic()))

    def _read(self, wait_s: float) -> bool:
        """Whether there may be more."""
        if not select.select([self._master], [], [], wait_s)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # nobody has the other end any more
            return False
        self.screen.write(data.decode(errors="replace"))
        self.on_data(self.screen)
        return bool(data)
