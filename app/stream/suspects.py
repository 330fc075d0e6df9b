"""What the deaths of workers say about records: who is scored alone, and who is not scored again (protocol A6).

A worker may be killed at any moment and from outside, so one death says nothing. Two while the same offsets were being
scored: the next process scores these one by one. One that dies while it scores a record alone condemns that record;
where SIGKILL ended it, which is the outside's usual means, only the second death on that very record does. Three kills
from outside in the scoring of the same offsets, two of them in the same millisecond's work, do not happen by chance.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from app.stream.pulse import Suspected

Range = tuple[int, int]
Place = tuple[int, int]  # partition and offset


class Verdict(msgspec.Struct, frozen=True):
    """What a worker is told: offsets to be scored one by one, by partition, and records that are not to be scored."""

    alone: dict[int, Range] = {}
    condemned: list[Place] = []


class Suspects:
    """One run's knowledge, over all its workers: a partition may die with one and come back with another."""

    def __init__(self) -> None:
        self._seen: dict[int, Range] = {}
        self._alone: dict[int, Range] = {}
        self._condemned: set[Place] = set()
        self._deaths: Counter[Place] = Counter()

    @property
    def verdict(self) -> Verdict:
        return Verdict(dict(self._alone), sorted(self._condemned))

    def died(self, noted: Suspected, *, from_outside: bool) -> Place | None:
        """A worker died over what it had noted. Gives the record that this condemns."""
        for partition, (first, after) in noted.ranges.items():
            if noted.alone:
                place = (partition, first)
                self._deaths[place] += 1
                if from_outside and self._deaths[place] < 2:
                    return None
                self._condemned.add(place)
                return place
            seen = self._seen.get(partition, (first, first))
            if first < seen[1] and seen[0] < after:
                self._alone[partition] = (first, after)
            self._seen[partition] = (min(first, seen[0]), max(after, seen[1]))
        return None

    def committed(self, partition: int, offset: int) -> None:
        """What lies before is answered, whoever was suspected of what."""
        for ranges in (self._seen, self._alone):
            if partition in ranges and ranges[partition][1] <= offset:
                del ranges[partition]
        for place in [place for place in self._condemned | set(self._deaths) if _is_before(place, partition, offset)]:
            self._condemned.discard(place)
            del self._deaths[place]


def _is_before(place: Place, partition: int, offset: int) -> bool:
    return place[0] == partition and place[1] < offset
