"""Where the demo's frames go: over each other on a terminal, or a line now and then elsewhere.

A frame is written over the one before, line by line, and in one go: nothing is erased first, so nothing flickers.
(rich's own Live erases every line before it writes it again.)
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType

from app.cli.demo_frame import Seen, clock, frame, in_one_line
from app.cli.terminal import say

REFRESH_S = 0.25
EVERY_S = 5.0  # between two lines, where there is no terminal
TO_ITS_END = Control((ControlType.ERASE_IN_LINE, 0))


class Screen:
    """Shows what is seen until it is left; the last frame stays."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self.is_live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._size = self._console.size
        self._lines = 0  # of the frame that the cursor is below
        self._next = time.monotonic()
        self._line_at = 0.0
        self._told = 0

    def __enter__(self) -> Self:
        if self.is_live:
            self._console.show_cursor(False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_live:
            self._console.show_cursor(True)
            self._console.print()

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    def show(self, seen: Seen) -> None:
        self._next = time.monotonic() + REFRESH_S
        if self.is_live:
            self._write_over(seen)
        else:
            self._tell(seen)

    def _write_over(self, seen: Seen) -> None:
        size = self._console.size
        lines = frame(seen, size.width, size.height)
        with self._console:  # written when it is left
            if size != self._size:  # nobody knows what the terminal has made of the lines
                self._console.control(Control.clear(), Control.home())
            elif self._lines:
                self._console.control(Control((ControlType.CARRIAGE_RETURN,)), Control.move(0, -self._lines))
            for line in lines:
                self._console.print(line, end="", no_wrap=True, overflow="crop")
                self._console.control(TO_ITS_END)
                self._console.print()
        self._size, self._lines = size, len(lines)

    def _tell(self, seen: Seen) -> None:
        for one in seen.happenings[self._told :]:
            say(f"{clock(one.at_s)}  {one.words}")
        self._told = len(seen.happenings)
        if seen.elapsed_s > 0 and time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + EVERY_S
            say(in_one_line(seen))
        sys.stdout.flush()
