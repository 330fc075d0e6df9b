"""Whether a replay comes forward at all: it waits for others without an end of its own, so its owner counts time."""

from __future__ import annotations

import time
from collections.abc import Callable

STILL_S = 600.0  # in which nothing is answered and nothing folded, though nobody holds it still


class Still:
    """For how long nothing has moved."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._done: int | None = None

    def is_over(self, done: int, *, held: bool) -> bool:
        """Whether `done`, which counts what moves, has been the same for too long; time on hold is none."""
        if held or done != self._done:
            self._since, self._done = self._clock(), done
        return self._clock() - self._since > STILL_S
