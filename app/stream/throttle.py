"""How many records a worker may take now: as many as it likes, so many a second, or none for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

QUANTUM_S = 0.1  # records of so long are taken at once: small batches cost more than the records in them
BURST_S = 0.5  # what was not taken in time may be caught up with, up to so much


class Throttle:
    """`rate` is records a second: None for any, 0 to hold still. Another thread may set it at any time."""

    def __init__(self, rate: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._left = 0.0
        self._seen = clock()

    @property
    def held(self) -> bool:
        return self.rate == 0

    def allowed(self, most: int) -> int:
        """How many records may be taken now, up to `most`: 0 until it is worth a batch."""
        rate, now = self.rate, self._clock()
        if rate is None:
            return most
        self._left = min(self._left + rate * (now - self._seen), max(1.0, rate * BURST_S))
        self._seen = now
        return min(most, int(self._left)) if self._left >= self._quantum(rate, most) else 0

    def spend(self, records: int) -> None:
        if self.rate:
            self._left -= records

    def wait_s(self, most: int) -> float:
        """How long until a batch may be taken, if nothing is set meanwhile."""
        rate = self.rate
        return max(0.0, self._quantum(rate, most) - self._left) / rate if rate else QUANTUM_S

    def _quantum(self, rate: float, most: int) -> float:
        return max(1.0, min(most, rate * QUANTUM_S))
