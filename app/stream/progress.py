"""How a run comes along: what the workers told, added up over restarts, for those who watch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

WINDOW_S = 5.0  # over which a speed is taken


@dataclass
class _Slot:
    """One worker's place. `before` is what earlier processes in it had done."""

    alive: bool = False
    before: int = 0
    before_dead: int = 0
    before_folded: int = 0
    records: int = 0
    folded: int = 0
    dead_letters: int = 0
    live: frozenset[int] = frozenset()


@dataclass
class Progress:
    """Sums of what the supervisor's events tell.

    A worker tells what it has done twice a second. One that is killed takes its last half second with it, so after
    `deaths` the counts are what was done at least.
    """

    clock: Callable[[], float] = time.monotonic
    deaths: int = 0
    reached: set[int] = field(default_factory=set)
    _slots: dict[str, _Slot] = field(default_factory=dict)
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.started = self.clock()
        self._seen.append((self.started, 0))

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in one event of a run. What is of no slot, such as where the run is observed, is nothing to count."""
        if "slot" not in event:
            return
        slot = self._slots.setdefault(event["slot"], _Slot())
        match event["event"]:
            case "worker":
                slot.alive = True
            case "progress":
                slot.records, slot.dead_letters = event["records"], event["dead_letters"]
                slot.folded = event.get("folded", 0)
                slot.live = frozenset(p for p, phase in event["partitions"].items() if phase == "live")
                self._note()
            case "reached":
                self.reached.add(event["partition"])
            case "ended":
                slot.before += slot.records
                slot.before_dead += slot.dead_letters
                slot.before_folded += slot.folded
                slot.alive, slot.records, slot.folded, slot.dead_letters, slot.live = False, 0, 0, 0, frozenset()
                self.deaths += event["code"] != 0

    @property
    def records(self) -> int:
        """Answered in committed transactions, dead letters too."""
        return sum(slot.before + slot.records for slot in self._slots.values())

    @property
    def folded(self) -> int:
        """Records that were only folded, before others were answered; again after a death."""
        return sum(slot.before_folded + slot.folded for slot in self._slots.values())

    @property
    def dead_letters(self) -> int:
        return sum(slot.before_dead + slot.dead_letters for slot in self._slots.values())

    @property
    def workers(self) -> int:
        """How many live."""
        return sum(slot.alive for slot in self._slots.values())

    @property
    def partitions(self) -> int:
        """How many are being scored."""
        return len(frozenset().union(*(slot.live for slot in self._slots.values())))

    @property
    def seconds(self) -> float:
        return self.clock() - self.started

    @property
    def speed(self) -> float:
        """Records a second, of late."""
        (then, before), now = self._seen[0], self.clock()
        return (self.records - before) / (now - then) if now > then else 0.0

    def _note(self) -> None:
        now = self.clock()
        self._seen.append((now, self.records))
        while len(self._seen) > 2 and self._seen[1][0] < now - WINDOW_S:
            self._seen.popleft()
