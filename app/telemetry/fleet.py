"""What the workers of a run have told, added up over their lives: what has been counted never becomes less.

A worker that is killed takes its last half second with it, so after a death the sums are what was done at least.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.stream.measures import BOUNDS, bounded
from app.stream.report import Place, Report, Spread, Sums


@dataclass(frozen=True)
class Member:
    """One worker's place as of now. Seconds since it was started, and since it last told something (None: never)."""

    slot: str
    alive: bool
    started_s: float
    silent_s: float | None
    report: Report


@dataclass
class _Slot:
    """`before` is what earlier processes in it had done."""

    before: Sums = field(default_factory=Sums)
    alive: bool = False
    started: float = 0.0
    heard: float | None = None
    report: Report = field(default_factory=Report)


class Fleet:
    """Hears what the supervisor tells. May be asked from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot] = {}
        self._starts = 0
        self._deaths: Counter[str] = Counter()

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in one event. What is no report of ours is passed over: a pipeline's own code may print."""
        with self._lock:
            slot = self._slots.setdefault(str(event["slot"]), _Slot())
            match event["event"]:
                case "worker":
                    self._starts += 1
                    slot.alive, slot.started, slot.heard, slot.report = True, self._clock(), None, Report()
                case "report" if (report := _read(event)) is not None:
                    slot.report, slot.heard = report, self._clock()
                case "ended":
                    slot.before = add(slot.before, slot.report.sums)
                    slot.alive, slot.report = False, Report()
                    if event["code"] != 0:
                        self._deaths["killed" if event["code"] < 0 else "failed"] += 1
                case _:
                    pass

    @property
    def members(self) -> list[Member]:
        """Every worker's place, by slot."""
        now = self._clock()
        with self._lock:
            return [
                Member(name, s.alive, now - s.started, None if s.heard is None else now - s.heard, s.report)
                for name, s in sorted(self._slots.items())
            ]

    @property
    def places(self) -> dict[int, tuple[str, Place]]:
        """Each partition that a worker here owns, and the worker's slot."""
        return {p: (one.slot, place) for one in self.members if one.alive for p, place in one.report.places.items()}

    @property
    def sums(self) -> Sums:
        """What all workers have done in all their lives."""
        with self._lock:
            total = Sums(spreads={name: _empty(len(bounds) + 1) for name, bounds in _BOUNDS.items()})
            for slot in self._slots.values():
                total = add(add(total, slot.before), slot.report.sums)
            return total

    @property
    def starts(self) -> int:
        with self._lock:
            return self._starts

    @property
    def deaths(self) -> dict[str, int]:
        """How often a worker ended otherwise than by order: killed by a signal, or failed by itself."""
        with self._lock:
            return {how: self._deaths[how] for how in ("killed", "failed")}


_BOUNDS = {measure.value: bounds for measure, bounds in BOUNDS.items()}


def _read(event: Mapping[str, Any]) -> Report | None:
    try:
        report = msgspec.convert(event, Report, strict=False, str_keys=True)
    except msgspec.ValidationError:
        return None
    spreads = report.sums.spreads.items()
    fits = all(name in _BOUNDS and len(spread.counts) == len(_BOUNDS[name]) + 1 for name, spread in spreads)
    return report if fits else None


def _empty(buckets: int) -> Spread:
    return Spread([0] * buckets, 0.0)


def add(a: Sums, b: Sums) -> Sums:
    """Both, label by label and bucket by bucket."""
    return Sums(
        predictions=a.predictions + b.predictions,
        folded=a.folded + b.folded,
        committed=a.committed + b.committed,
        cpu_s=a.cpu_s + b.cpu_s,
        dead=_counts(a.dead, b.dead),
        marks=_counts(a.marks, b.marks),
        aborted=_counts(a.aborted, b.aborted),
        spreads={name: _both(a.spreads.get(name), b.spreads.get(name)) for name in {**a.spreads, **b.spreads}},
    )


def _counts(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    total = dict(a)
    for kind, count in b.items():
        known = bounded(total, kind)
        total[known] = total.get(known, 0) + count
    return total


def _both(a: Spread | None, b: Spread | None) -> Spread:
    if a is None or b is None:
        found = a or b
        assert found is not None, "one of them has it"
        return found
    return Spread([x + y for x, y in zip(a.counts, b.counts, strict=True)], a.sum + b.sum)
