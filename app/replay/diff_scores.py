"""What became of scores: how far they moved and which way, which decisions turned, for whom, and for how much money.

Everything is counted as it comes, so what is kept does not grow with what is compared.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from app.replay.diff_held import Place
from app.replay.diff_segments import Answer, Declared, feature

TOP = 20  # movers that are kept
BINS = 20  # of a score's histogram, over 0 to 1
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
# The bounds of a shift's bins: below -0.5, ... -0.001 to 0.001, ... from 0.5 on.
BOUNDS = (*(-step for step in reversed(STEPS)), *STEPS)

PASS, ALERT = "pass", "alert"


@dataclass
class Turned:
    """Decisions that turned one way: how many, for how much money, and how many the threshold alone would turn."""

    count: int = 0
    money: float = 0.0
    by_threshold: int = 0


@dataclass
class Part:
    """Some of the answers, the whole of them among others."""

    count: int = 0
    shift: float = 0.0  # new less old, summed
    absolute: float = 0.0
    alerts_old: int = 0
    alerts_new: int = 0
    to_alert: Turned = field(default_factory=Turned)
    to_pass: Turned = field(default_factory=Turned)

    @property
    def mean_shift(self) -> float:
        return self.shift / self.count if self.count else 0.0

    @property
    def mean_absolute(self) -> float:
        return self.absolute / self.count if self.count else 0.0

    @property
    def flips(self) -> int:
        return self.to_alert.count + self.to_pass.count


@dataclass(frozen=True)
class Mover:
    """One input whose score moved far. `features` are those that differ, each with its old and its new value."""

    source: Place
    event_id: str
    key: str
    old: float
    new: float
    old_decision: str
    new_decision: str
    features: dict[str, tuple[Any, Any]]


class Scores:
    """Counts pairs of scored answers. `segments` are by grouping and label, as they are declared."""

    def __init__(self, declared: Declared) -> None:
        self.whole = Part()
        self.shifts = [0] * (len(BOUNDS) + 1)
        self.old = [0] * BINS
        self.new = [0] * BINS
        self.thresholds: tuple[set[float], set[float]] = (set(), set())
        self.money = declared.money
        self.segments = {group.name: {label: Part() for label in group.labels} for group in declared.groupings}
        self._groupings = declared.groupings
        self._top: list[tuple[float, tuple[int, int], Mover]] = []

    def add(self, place: Place, key: str, old: Answer, new: Answer) -> None:
        """One input that was scored on both sides."""
        before, after = float(old["score"]), float(new["score"])
        shift = after - before
        self.shifts[bin_of(shift)] += 1
        self.old[_bin(before)] += 1
        self.new[_bin(after)] += 1
        for seen, answer in zip(self.thresholds, (old, new), strict=True):
            if len(seen) < TOP and isinstance(threshold := answer.get("threshold"), (int, float)):
                seen.add(float(threshold))
        worth = (feature(old, self.money) or 0.0) if self.money is not None else 0.0
        for part in (self.whole, *self._parts(old)):
            _count(part, old, new, shift=shift, worth=worth)
        self._keep(place, key, old, new)

    def movers(self) -> list[Mover]:
        """The farthest first."""
        return [mover for _, _, mover in sorted(self._top, reverse=True, key=lambda one: one[:2])]

    def _parts(self, answer: Answer) -> list[Part]:
        found = []
        for group in self._groupings:
            label = group.of(answer)
            if label is not None:
                found.append(self.segments[group.name][group.labels[label]])
        return found

    def _keep(self, place: Place, key: str, old: Answer, new: Answer) -> None:
        far = abs(float(new["score"]) - float(old["score"]))
        order = (far, (-place[0], -place[1]))  # of two that moved as far, the first in the log
        if not far or (len(self._top) == TOP and order <= self._top[0][:2]):
            return
        mover = Mover(
            place,
            str(old.get("event_id", "")),
            key,
            float(old["score"]),
            float(new["score"]),
            str(old.get("decision", "")),
            str(new.get("decision", "")),
            differing(old, new),
        )
        (heapq.heappushpop if len(self._top) == TOP else heapq.heappush)(self._top, (*order, mover))


def differing(old: Answer, new: Answer) -> dict[str, tuple[Any, Any]]:
    """The features that are not the same on both sides."""
    before, after = old.get("features"), new.get("features")
    if not isinstance(before, dict) or not isinstance(after, dict):
        return {}
    names = [*before, *(name for name in after if name not in before)]
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def is_scored(answer: Answer) -> bool:
    score = answer.get("score")
    return isinstance(score, (int, float)) and not isinstance(score, bool) and math.isfinite(score)


def bin_of(shift: float) -> int:
    """The number of a shift's bin; a bound belongs to the bin that is farther from zero."""
    if shift >= 0:
        return bisect_right(BOUNDS, round(shift, 9))
    return len(BOUNDS) - bisect_right(BOUNDS, round(-shift, 9))


def _bin(score: float) -> int:
    return min(BINS - 1, max(0, int(score * BINS)))


def _count(part: Part, old: Answer, new: Answer, *, shift: float, worth: float) -> None:
    part.count += 1
    part.shift += shift
    part.absolute += abs(shift)
    was, is_now = old.get("decision"), new.get("decision")
    part.alerts_old += was == ALERT
    part.alerts_new += is_now == ALERT
    if {was, is_now} != {PASS, ALERT}:
        return
    turned = part.to_alert if is_now == ALERT else part.to_pass
    turned.count += 1
    turned.money += worth
    threshold = new.get("threshold")
    if isinstance(threshold, (int, float)):
        turned.by_threshold += (ALERT if float(old["score"]) >= threshold else PASS) == is_now
