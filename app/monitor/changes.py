"""Changes of the mean score, found by ADWIN: sooner than bins tell of drift, and without a reference.

Works on the scores in the order in which they are read, since the monitor was started; a restart begins anew.
"""

from __future__ import annotations

import time
from typing import Any

from river.drift import ADWIN

from app.monitor.counts import Pairs
from app.monitor.seen import ChangeSeen

DELTA = 1e-5  # how likely a change that is none may be: scores come by the million
SETTLED = 2_000  # scores before a change is told: the first window is not full


class Changes:
    """One pipeline's scores."""

    def __init__(self) -> None:
        self.newest: ChangeSeen | None = None
        self._adwin: Any = ADWIN(delta=DELTA, clock=256)  # type: ignore[no-untyped-call]
        self._next: dict[int, int] = {}
        self._seen = 0

    def see(self, partition: int, events: Pairs) -> None:
        for record, event in events:
            if record.offset < self._next.get(partition, 0):
                continue
            self._next[partition] = record.next_offset
            before = self._adwin.estimation
            self._adwin.update(event.score)
            self._seen += 1
            if self._adwin.drift_detected and self._seen > SETTLED:
                self.newest = ChangeSeen(
                    found_ms=int(time.time() * 1000),
                    event_time_ms=event.time_ms,
                    before=before,
                    after=self._adwin.estimation,
                )
