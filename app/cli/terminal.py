"""What a person or a program sees: sentences, JSON lines, and one line on a terminal that is written over.

Answers go to standard output, everything about how it is going to standard error.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from app.telemetry.masking import mask

SOON_S = 2.0  # a wait that is longer is explained
REFRESH_S = 0.5
EVERY_S = 10.0  # how often a line tells that it goes on, where nothing can be written over


def say(text: str) -> None:
    """A line of the answer."""
    print(text)


def say_json(value: object) -> None:
    """The answer as one line of ASCII, whatever is in it."""
    print(json.dumps(value))


def note(text: str) -> None:
    """A sentence that is not the answer."""
    with suppress(BrokenPipeError):
        print("\n".join(map(printable, mask(text).split("\n"))), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text with everything that could move a cursor, hide or pretend written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


class StatusLine:
    """One line at the end of the terminal that is written over; lines that others print appear above it.

    Others are our child processes, too: while it is open, standard error is a pipe that is read here. Where standard
    error is no terminal nothing is shown, and `is_live` is false.
    """

    def __init__(self, *, wanted: bool = True) -> None:
        self.is_live = wanted and sys.stderr.isatty()
        self._text = ""
        self._lock = threading.Lock()
        self._terminal = -1
        self._reader: threading.Thread | None = None

    def __enter__(self) -> StatusLine:
        if self.is_live:
            sys.stderr.flush()
            read, write = os.pipe()
            self._terminal = os.dup(2)
            os.dup2(write, 2)
            os.close(write)
            self._reader = threading.Thread(target=self._pass_on, args=(read,), daemon=True)
            self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self.show("")
            sys.stderr.flush()
            os.dup2(self._terminal, 2)  # the pipe ends, once no child has it
            self._reader.join(timeout=1.0)

    def show(self, text: str) -> None:
        """Write the line over. Cut where the terminal ends: a line that wraps cannot be written over."""
        if self._reader is not None:
            with self._lock:
                self._text = text[: shutil.get_terminal_size().columns - 1]
                self._write(b"")

    def _pass_on(self, read: int) -> None:
        with os.fdopen(read, "rb", buffering=0) as pipe:
            rest = b""
            while part := pipe.read(65536):
                *lines, rest = (rest + part).split(b"\n")
                with self._lock:
                    self._write(b"".join(line + b"\n" for line in lines))
            with self._lock:
                self._write(rest)

    def _write(self, lines: bytes) -> None:
        os.write(self._terminal, b"\r\x1b[K" + lines + self._text.encode(errors="backslashreplace"))


@contextmanager
def patience(what: str, how_far: Callable[[], str] = str) -> Iterator[None]:
    """Tells what is being waited for, and how far it is, once it takes longer than a person expects."""
    done = threading.Event()
    started = time.monotonic()

    def text() -> str:
        return f"{what} ... {time.monotonic() - started:.0f} s  {how_far()}".rstrip()

    def tell() -> None:
        if done.wait(SOON_S):
            return
        with StatusLine() as line:
            while True:
                if line.is_live:
                    line.show(text())
                else:
                    note(text())
                if done.wait(REFRESH_S if line.is_live else EVERY_S):
                    return

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def table(rows: list[tuple[Any, ...]], *, right: tuple[int, ...] = ()) -> Iterator[str]:
    """Rows as aligned columns, two spaces apart; the columns in `right` are aligned at their end."""
    texts = [tuple(str(cell) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        cells = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        yield "  ".join(cells).rstrip()


def moment(time_ms: int) -> str:
    """A time as people read it."""
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms"


def counted(count: int, what: str) -> str:
    """`1 event`, `20,000 events`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def in_words(values: Mapping[str, Any], before: str = "") -> list[str]:
    """A line for each value; times as times."""
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{before}{name.replace('_', ' ')}:", *in_words(value, before + "  ")]
        elif name.endswith("_ms") and isinstance(value, int):
            lines.append(f"{before}{name.removesuffix('_ms').replace('_', ' ')}: {moment(value)}")
        else:
            number = f"{name}: {value:.6g}" if isinstance(value, float) else f"{name.replace('_', ' ')}: {value}"
            lines.append(before + number)
    return lines
