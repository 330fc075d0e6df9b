"""A series: one entity's events by time with running totals, in the narrowest arrays that hold them.

What windows are counted in. Half a million of them fit into a worker's memory, and a sum over any span is one
subtraction. Times are kept as steps from `base`, so that both arrays start narrow and widen when they must.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from itertools import pairwise

NARROW, WIDE = "I", "q"  # 32 bits without a sign, 64 bits with one
HEAD = struct.Struct("<cq")  # how wide the numbers are, and the first time
_SIZES = {code.encode(): array(code).itemsize for code in (NARROW, WIDE)}


class Series:
    """`steps[i]` is the i-th event's time less `base`; `sums[i]` is the sum of the first i amounts.

    `sums` is one longer than `steps`. Events of the same time are in the log's order.
    """

    __slots__ = ("base", "next_offset", "steps", "sums")

    def __init__(self) -> None:
        self.next_offset = 0
        self.base = 0
        self.steps = array(NARROW)
        self.sums = array(NARROW, (0,))

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def times(self) -> list[int]:
        base = self.base
        return [base + step for step in self.steps]

    @property
    def amounts(self) -> list[int]:
        return [after - before for before, after in pairwise(self.sums)]

    def add(self, time_ms: int, amount: int) -> int:
        """Take an event in at its time, behind those of the same time. Gives its place."""
        steps, sums = self.steps, self.sums
        if not steps:
            self.base = time_ms
        step = time_ms - self.base
        try:
            if not steps or step >= steps[-1]:
                sums.append(sums[-1] + amount)
                steps.append(step)
                return len(steps) - 1
            place = bisect_right(steps, step)
            self._insert(place, step, amount)
            return place
        except OverflowError:
            del sums[len(steps) + 1 :]  # the sum may have fitted where the step did not
            if steps.typecode == WIDE and sums.typecode == WIDE:
                raise
            self.steps, self.sums = array(WIDE, steps), array(WIDE, sums)
            return self.add(time_ms, amount)

    def _insert(self, place: int, step: int, amount: int) -> None:
        sums = self.sums
        after = array(sums.typecode, [total + amount for total in sums[place:]])
        self.steps.insert(place, step)
        del sums[place + 1 :]
        sums.extend(after)

    def until(self, time_ms: int) -> int:
        """How many events lie at or before this time."""
        steps, step = self.steps, time_ms - self.base
        return len(steps) if not steps or steps[-1] <= step else bisect_right(steps, step)

    def drop(self, count: int) -> None:
        """Forget the first `count` events."""
        del self.steps[:count]
        del self.sums[:count]

    def pack(self) -> bytes:
        """The events as bytes: the first time, then steps and running totals, in the narrowest type that fits."""
        if not self.steps:
            return b""
        first, zero = self.steps[0], self.sums[0]
        steps = [step - first for step in self.steps]
        sums = [total - zero for total in self.sums]
        code = NARROW if steps[-1] < 1 << 32 and min(sums) >= 0 and max(sums) < 1 << 32 else WIDE
        return HEAD.pack(code.encode(), self.base + first) + array(code, steps + sums).tobytes()

    def fill(self, body: bytes) -> None:
        """The inverse of pack, into an empty series. Raises ValueError for what pack never made."""
        if not body:
            return
        if len(body) <= HEAD.size:
            raise ValueError("it was cut short")
        code, self.base = HEAD.unpack_from(body)
        if code not in _SIZES:
            raise ValueError("its layout is unknown")
        count, rest = divmod(len(body) - HEAD.size, 2 * _SIZES[code])
        if not count or rest != _SIZES[code]:
            raise ValueError("it was cut short")
        half = HEAD.size + count * _SIZES[code]
        self.steps = array(code.decode(), body[HEAD.size : half])
        self.sums = array(code.decode(), body[half:])
