"""Outcomes: how often something was known to have happened, over spans that end a delay before now.

A payment turns out to be fraud days after it was made. What may be counted at time t is only what was known at t, so
spans end `delay_ms` before t, and an outcome that became known later than its delay is left out until it was known.
Other pipelines read these views as of their own events' times.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from app.errors import Refused
from app.features.series import NARROW, WIDE, Series
from app.features.views import PRUNE_AT, digest_of
from app.features.window import USUAL, measured, refuse_measures

NEVER_MS = -(1 << 53)
HEAD = struct.Struct("<qqII")  # kept_ms, newest_ms, how many outcomes, how many of them were slow


class OutcomesState(Series):
    """One entity's outcomes by the time of what they are the outcome of.

    `ids` has a digest of each one's identity, `slow` the (time, known at, amount) of those known later than the delay.
    Nothing at or before `kept_ms` is promised to be here; `newest_ms` is when the latest outcome was known.
    """

    __slots__ = ("ids", "kept_ms", "newest_ms", "slow")

    def __init__(self) -> None:
        super().__init__()
        self.ids = array(NARROW)
        self.slow: list[tuple[int, int, int]] = []
        self.kept_ms = NEVER_MS
        self.newest_ms = NEVER_MS


@dataclass(frozen=True)
class Outcomes:
    """Measures of `amount` (an integer or a bool) over (t - delay - span, t - delay], as known at t.

    `at` names the field with the time that spans are taken over; the event's own time is when the outcome was known.
    `measures` gives each column word its measure: {"count": "count", "risk": "mean"}. Of several outcomes with the
    same `id` and time the first stands; the others are not folded, and counted. `keep_ms` more than any read at the
    newest time needs is kept for readers that are behind (protocol C3); None keeps everything.
    """

    name: str
    amount: str
    at: str
    id: str
    spans_ms: Mapping[str, int]
    delay_ms: int
    measures: Mapping[str, str]
    unit: int = 1
    lateness_ms: int = 0
    keep_ms: int | None = 0

    def __post_init__(self) -> None:
        if not self.spans_ms or min(self.spans_ms.values()) <= 0 or self.unit <= 0:
            raise Refused(f"The view {self.name} needs at least one span, and spans and a unit above nought.")
        if self.delay_ms < 0 or self.lateness_ms < 0 or (self.keep_ms or 0) < 0:
            raise Refused(f"The view {self.name} needs a delay, a lateness and a keep that are not below nought.")
        refuse_measures(self.name, tuple(self.measures.values()))

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.amount, self.at, self.id)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{word}_{span}" for span in self.spans_ms for word in self.measures)

    @cached_property
    def within_ms(self) -> int:
        """Reads at t ignore what is the outcome of something at or before t less this."""
        return self.delay_ms + max(self.spans_ms.values())

    @cached_property
    def digest(self) -> str:
        spans = sorted(self.spans_ms.items())
        return digest_of("outcomes", self.name, self.amount, self.at, self.id, spans, self.delay_ms, self.lateness_ms)

    @cached_property
    def _spans(self) -> tuple[int, ...]:
        return tuple(self.spans_ms.values())

    @cached_property
    def _measures(self) -> tuple[str, ...]:
        return tuple(self.measures.values())

    @cached_property
    def _of(self) -> Any:
        return attrgetter(self.at, self.amount, self.id)

    def new(self) -> OutcomesState:
        return OutcomesState()

    def repeat(self, state: OutcomesState, event: Any) -> str | None:
        """`repeated` for an outcome that is here already, `contradicted` if it says something else."""
        at, amount, name = self._of(event)
        step = at - state.base
        digest = zlib.crc32(name.encode())
        for place in range(bisect_left(state.steps, step), bisect_right(state.steps, step)):
            if state.ids[place] == digest:
                same = state.sums[place + 1] - state.sums[place] == int(amount)
                return "repeated" if same else "contradicted"
        return None

    def fold(self, state: OutcomesState, event: Any, time_ms: int) -> bool:
        """Take one outcome in that became known at `time_ms`. True if it is the newest by its own time."""
        at, amount, name = self._of(event)
        state.newest_ms = max(state.newest_ms, time_ms)
        if at <= time_ms - self.within_ms:
            return False  # no read at or after the time when it was known looks back so far
        place = state.add(at, int(amount))
        state.ids.insert(place, zlib.crc32(name.encode()))
        if time_ms > at + self.delay_ms:
            state.slow.append((at, time_ms, int(amount)))
        if len(state) > PRUNE_AT and state.base + state.steps[PRUNE_AT - 1] <= self._cut(state):
            self._prune(state)
        return place + 1 == len(state)

    def read(self, state: OutcomesState, time_ms: int) -> tuple[float, ...]:
        """The columns' values as they were known at `time_ms`, as float64."""
        steps, sums, until = state.steps, state.sums, time_ms - self.delay_ms
        end, step = state.until(until), until - state.base
        total, unit, measures = sums[end], self.unit, self._measures
        usual = measures == USUAL and not state.slow  # then without a call for each span
        slow = (
            [(at, amount) for at, known, amount in state.slow if known > time_ms and at <= until] if state.slow else []
        )
        row: list[float] = []
        for span in self._spans:
            start = bisect_right(steps, step - span, 0, end)
            count, among = end - start, total - sums[start]
            if usual and count:
                row += (float(count), among / count / unit)
                continue
            for at, amount in slow:
                if at > until - span:
                    count -= 1
                    among -= amount
            row += measured(measures, count, among, unit)
        return tuple(row)

    def is_whole(self, state: OutcomesState, time_ms: int) -> bool:
        """Whether all that a read at `time_ms` looks back on is promised to be here."""
        return time_ms - self.within_ms >= state.kept_ms

    def pack(self, state: OutcomesState) -> bytes:
        """The outcomes that are kept, as a compact blob."""
        if state.newest_ms == NEVER_MS:
            return b""
        self._prune(state)
        head = HEAD.pack(state.kept_ms, state.newest_ms, len(state), len(state.slow))
        slow = array(WIDE, [number for entry in state.slow for number in entry])
        return head + slow.tobytes() + state.ids.tobytes() + state.pack()

    def unpack(self, body: bytes) -> OutcomesState:
        """The inverse of pack. Raises ValueError for what pack never made."""
        state = OutcomesState()
        if body:
            if len(body) < HEAD.size:
                raise ValueError("it was cut short")
            state.kept_ms, state.newest_ms, count, slow = HEAD.unpack_from(body)
            ids = HEAD.size + 24 * slow
            rest = ids + 4 * count
            if slow:
                numbers = array(WIDE, body[HEAD.size : ids])
                state.slow = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))
            state.ids = array(NARROW, body[ids:rest])
            state.fill(body[rest:])
            if len(state.ids) != count or len(state) != count or len(state.slow) != slow:
                raise ValueError("it was cut short")
        return state

    def describe(self, state: OutcomesState) -> dict[str, object]:
        """A state in words that a person can check against the log."""
        if state.newest_ms == NEVER_MS:
            return {"outcomes": 0, "newest_ms": None, "as_of_newest": {}}
        values = dict(zip(self.columns, self.read(state, state.newest_ms), strict=True))
        return {"outcomes": len(state), "newest_ms": state.newest_ms, "as_of_newest": values}

    def _cut(self, state: OutcomesState) -> int:
        """Readers at the newest time, and those that may be behind it, need nothing at or before this."""
        if self.keep_ms is None:
            return NEVER_MS
        return state.newest_ms - self.within_ms - self.lateness_ms - self.keep_ms

    def _prune(self, state: OutcomesState) -> None:
        cut = self._cut(state)
        if cut > state.kept_ms:
            state.kept_ms = cut
            gone = state.until(cut)
            state.drop(gone)
            del state.ids[:gone]
            state.slow = [entry for entry in state.slow if entry[0] > cut]
