"""How parity tells a person how far it is: a bar for what goes on, a line for what is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.cli.terminal import StatusLine, note, say

BAR = 20
SURE_S = 3.0  # before that, nobody knows how long it will take
EVERY_S = 10.0  # between two lines, where there is no terminal


class Shown:
    """Steps and bars. `quiet`: the answer is JSON, and nothing else goes to standard output."""

    def __init__(self, *, quiet: bool) -> None:
        self._say: Callable[[str], None] = note if quiet else say

    @contextmanager
    def step(self, what: str) -> Iterator[Bar]:
        """Tell how long it took and what it was; a bar shows how far it is."""
        started = time.monotonic()
        with StatusLine() as line:
            yield Bar(line, what)
        self.took(time.monotonic() - started, what)

    def took(self, seconds: float, what: str) -> None:
        self.tell(f"{seconds:7.1f} s  {what}")

    def tell(self, text: str) -> None:
        self._say(text)
        sys.stdout.flush()


class Bar:
    """How far one step is. Calling it often costs nothing."""

    def __init__(self, line: StatusLine, what: str) -> None:
        self._line = line
        self._what = what
        self._started = time.monotonic()
        self._next = self._started + (0.0 if line.is_live else EVERY_S)
        self._first: tuple[float, int] | None = None  # when something was done, and how much: speed is taken from there

    def show(self, done: int, of: int, more: str = "") -> None:
        now = time.monotonic()
        if self._first is None and done:
            self._first = now, done
        if now < self._next:
            return
        self._next = now + (0.2 if self._line.is_live else EVERY_S)
        share = min(1.0, done / max(1, of))
        full = round(share * BAR)
        text = f"[{'#' * full}{'.' * (BAR - full)}] {share:4.0%}  {done:,} of {of:,}"
        text = "  ".join(part for part in (text, more, self._left(now, done, of)) if part)
        if self._line.is_live:
            self._line.show(f"{now - self._started:7.1f} s  {text}")
        else:
            note(f"{self._what}: {text}")

    def _left(self, now: float, done: int, of: int) -> str:
        if self._first is None or done <= self._first[1] or now < self._first[0] + SURE_S:
            return ""
        return f"{(of - done) * (now - self._first[0]) / (done - self._first[1]):,.0f} s left"
