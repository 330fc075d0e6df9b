"""One at a time, over processes: a file lock that its holder's death lets go."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import Unavailable


@contextmanager
def locked(path: Path, *, timeout_s: float, busy: str) -> Iterator[None]:
    """Holds the lock at `path`, a file that stays. Raises Unavailable(busy) after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Unavailable(busy) from None
                time.sleep(0.05)
        yield
