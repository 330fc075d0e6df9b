"""What became of rankings: how much of an answer's items stayed, and whether the first of them did.

Told apart by how many answers the same person had before, in what is compared: a longer history, a steadier answer.
Those are counted in a table of a fixed size, so that two people may be counted as one; what is kept does not grow.
"""

from __future__ import annotations

import heapq
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.replay.diff_held import Place
from app.replay.diff_segments import Answer

TOP = 20  # changed answers that are kept
COUNTERS = 1 << 20
BEFORE = "earlier answers to the same person"
HISTORIES = ("first answer", "1 to 9 before", "10 to 99 before", "100 and more before")


@dataclass
class Ranked:
    """Some of the answers, the whole of them among others. `overlap` sums the share of old items that stayed."""

    count: int = 0
    overlap: float = 0.0
    same_order: int = 0
    same_first: int = 0

    @property
    def mean_overlap(self) -> float:
        return self.overlap / self.count if self.count else 1.0


@dataclass(frozen=True)
class Reranked:
    """One input whose items changed much."""

    source: Place
    event_id: str
    key: str
    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def left(self) -> int:
        """How many of the old items are in the new answer."""
        return len(set(self.old) & set(self.new))


class Items:
    """Counts pairs of answers that rank. `stayed[n]` counts those of which n items stayed."""

    def __init__(self) -> None:
        self.whole = Ranked()
        self.stayed: list[int] = [0]
        self.segments = {BEFORE: {label: Ranked() for label in HISTORIES}}
        self._seen = np.zeros(COUNTERS, np.uint32)
        self._top: list[tuple[float, tuple[int, int], Reranked]] = []

    def add(self, place: Place, key: str, old: Answer, new: Answer) -> None:
        """One input that was ranked for on both sides."""
        before, after = items_of(old), items_of(new)
        one = Reranked(place, str(old.get("event_id", "")), key, before, after)
        overlap = one.left / len(set(before)) if before else float(not after)
        self.stayed += [0] * (one.left + 1 - len(self.stayed))
        self.stayed[one.left] += 1
        history = self.segments[BEFORE][HISTORIES[self._before(key)]]
        for part in (self.whole, history):
            part.count += 1
            part.overlap += overlap
            part.same_order += before == after
            part.same_first += before[:1] == after[:1]
        if before != after:
            order = (1 - overlap, (-place[0], -place[1]))
            if len(self._top) < TOP:
                heapq.heappush(self._top, (*order, one))
            elif order > self._top[0][:2]:
                heapq.heappushpop(self._top, (*order, one))

    def movers(self) -> list[Reranked]:
        """Those with the fewest items left first."""
        return [one for _, _, one in sorted(self._top, reverse=True, key=lambda one: one[:2])]

    def _before(self, key: str) -> int:
        place = zlib.crc32(key.encode()) % COUNTERS
        count = int(self._seen[place])
        self._seen[place] += 1
        return bisect_right((1, 10, 100), count)


def is_ranked(answer: Answer) -> bool:
    return isinstance(answer.get("items"), list)


def items_of(answer: Answer) -> tuple[str, ...]:
    """The items in their order."""
    items: list[Any] = answer["items"]
    return tuple(str(item.get("item_id", "")) for item in items if isinstance(item, dict))
