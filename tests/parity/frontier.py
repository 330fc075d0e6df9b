"""How far payments may be scored with so many outcomes, to the record: where the product must wait, worked out by hand.

A payment at t may be scored once its terminal's partition of outcomes has one that became known after t. One that
became known at t itself is not enough, because the next may bear the same time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from confluent_kafka import murmur2
from numpy.typing import NDArray

from app.simulate.events import LABEL_DELAY_MS
from app.simulate.payments import Payments

NEVER_MS = -(2**53)

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Stop:
    """With the first `outcomes` of all: by partition of the payments, the offset of the first that must wait."""

    outcomes: int
    offsets: dict[int, int]

    @property
    def scored(self) -> int:
        return sum(self.offsets.values())


class Frontier:
    """The payments and their outcomes as they lie in their topics, each from offset 0."""

    def __init__(self, payments: Payments, *, width: int, outcomes_width: int) -> None:
        self._times = payments.time_ms
        self._outcomes_width = outcomes_width
        self._place = _placed(payments.terminal, outcomes_width)
        place = _placed(payments.customer, width)
        self._partitions = [np.flatnonzero(place == partition) for partition in range(width)]

    def at(self, outcomes: int, *, ties_wait: bool = True) -> Stop:
        """`ties_wait`: whether a payment waits at the time of the newest outcome itself, as it must."""
        newest = np.full(self._outcomes_width, NEVER_MS)
        np.maximum.at(newest, self._place[:outcomes], self._times[:outcomes] + LABEL_DELAY_MS)
        passed = newest[self._place] - (0 if ties_wait else -1)
        waits = passed <= self._times
        offsets = {}
        for partition, rows in enumerate(self._partitions):
            waiting = np.flatnonzero(waits[rows])
            offsets[partition] = int(waiting[0]) if len(waiting) else len(rows)
        return Stop(outcomes, offsets)

    def tied(self, first: int) -> Stop:
        """The first stop from so many outcomes on at which some payment waits for nothing but a tie."""
        for outcome in range(first, len(self._times)):
            known = self._times[outcome] + LABEL_DELAY_MS
            low, high = np.searchsorted(self._times, (known, known + 1))
            if (self._place[low:high] == self._place[outcome]).any():
                stop = self.at(outcome + 1)
                if stop != self.at(outcome + 1, ties_wait=False):
                    return stop
        return self.at(first)


def _placed(entities: Rows, width: int) -> Rows:
    """Each one's partition, as every producer of Kafka's default places its key."""
    places = [murmur2(str(entity).encode(), width) for entity in range(int(entities.max()) + 1)]
    return np.array(places, np.int64)[entities]
