"""What a worker's process shows of its life: an alarm that ends it when it hangs, and a note of what it is scoring.

The alarm is the kernel's timer with the default action. A thread could not be relied on: code that hangs while it holds
the interpreter's lock would hang the watchdog too. The note lies in memory shared with the supervisor, so that it
outlives a process that is killed at any instruction (protocol A6).
"""

from __future__ import annotations

import mmap
import signal
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

SIZE = 1 << 16
NOTHING, BATCH, ALONE = 0, 1, 2
_HEAD = struct.Struct("=qq")  # what is being scored, and how many ranges follow
_RANGE = struct.Struct("=qqq")  # partition, first offset, next offset
_MOST = (SIZE - _HEAD.size) // _RANGE.size


@dataclass(frozen=True)
class Suspected:
    """What a process was scoring when it ended: offsets from first up to next, by partition; or one record alone."""

    ranges: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    alone: bool = False

    def words(self) -> str:
        return ", ".join(f"{p}: {first} to {after - 1}" for p, (first, after) in sorted(self.ranges.items()))


class Note:
    """The shared page. `file` is an open file of SIZE bytes, None for a page that nobody else sees."""

    def __init__(self, file: int | None = None) -> None:
        self._page = mmap.mmap(-1, SIZE) if file is None else mmap.mmap(file, SIZE)

    def write(self, what: int, ranges: Mapping[int, tuple[int, int]]) -> None:
        """The head goes last: whoever reads after a death never takes old ranges for new ones."""
        self.clear()
        at = _HEAD.size
        for partition, (first, after) in list(ranges.items())[:_MOST]:
            _RANGE.pack_into(self._page, at, partition, first, after)
            at += _RANGE.size
        _HEAD.pack_into(self._page, 0, what, min(len(ranges), _MOST))

    def clear(self) -> None:
        _HEAD.pack_into(self._page, 0, NOTHING, 0)

    def read(self) -> Suspected:
        what, count = _HEAD.unpack_from(self._page, 0)
        if what not in (BATCH, ALONE) or not 0 < count <= _MOST:
            return Suspected()
        found = [_RANGE.unpack_from(self._page, _HEAD.size + i * _RANGE.size) for i in range(count)]
        return Suspected({partition: (first, after) for partition, first, after in found}, alone=what == ALONE)

    def close(self) -> None:
        self._page.close()


class Pulse:
    """Arms the alarm for each turn of the loop, and for each batch while it is scored. Without bounds it never rings.

    The timer also runs while the process is paused: one that was stopped for longer than the bound ends when it
    wakes, which is as good as any other death.
    """

    def __init__(self, note: Note, *, turn_s: float = 0.0, score_s: float = 0.0) -> None:
        self._note = note
        self._turn_s = turn_s
        self._score_s = score_s

    def beat(self) -> None:
        """A turn begins, or whatever else is alive."""
        if self._turn_s:
            signal.setitimer(signal.ITIMER_REAL, self._turn_s)

    def scoring(self, ranges: Mapping[int, tuple[int, int]]) -> None:
        """The note says which offsets are being scored, from here to `scored`."""
        self._begin(BATCH, ranges)

    def alone(self, partition: int, offset: int) -> None:
        """The same for one record that is scored by itself."""
        self._begin(ALONE, {partition: (offset, offset + 1)})

    def scored(self) -> None:
        self._note.clear()
        self.beat()

    def _begin(self, what: int, ranges: Mapping[int, tuple[int, int]]) -> None:
        self._note.write(what, ranges)
        if self._score_s:
            signal.setitimer(signal.ITIMER_REAL, self._score_s)
