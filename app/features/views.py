"""Folded views: what a pipeline remembers of each entity of its own topic, as pure functions of the log.

`fold` takes one event into a state, `read` gives the features as of an event's time. Both know no clock but event
time and are deterministic, so that a state can be folded again from the log and come out the same. Money is summed
as integers: sums neither drift nor depend on the order.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, Protocol

from app.errors import Refused

FOLD_VERSION = 1  # part of every digest: raise it when a fold or a blob's layout changes
PRUNE_AT = 64  # entries out of the horizon before a list is cut: cutting costs as much as folding a few events


class State(Protocol):
    """What a view remembers of one entity. `next_offset` is the first offset that is not folded in yet."""

    next_offset: int


class View(Protocol):
    """A declaration of folded state. A state of one view is made, changed, read and packed by that view only."""

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def fields(self) -> tuple[str, ...]: ...
    @property
    def lateness_ms(self) -> int: ...
    @property
    def within_ms(self) -> int: ...
    @property
    def digest(self) -> str: ...
    def new(self) -> Any: ...
    def fold(self, state: Any, event: Any, time_ms: int) -> bool: ...
    def read(self, state: Any, time_ms: int) -> tuple[float, ...]: ...
    def pack(self, state: Any) -> bytes: ...
    def unpack(self, body: bytes) -> Any: ...
    def describe(self, state: Any) -> dict[str, object]: ...


class WindowState:
    """The times of one entity's events in order, and the running total of their amounts up to each."""

    __slots__ = ("next_offset", "times", "totals")

    def __init__(self) -> None:
        self.next_offset = 0
        self.times: list[int] = []
        self.totals: list[int] = [0]  # totals[i] is the sum of the first i amounts: one longer than times


@dataclass(frozen=True)
class Window:
    """Count and mean of an integer field over (t - span, t], for several spans at once; the event at t is included.

    `spans_ms` names each span; the columns are `<name>_count_<span>` and `<name>_mean_<span>` in that order, means in
    units of `unit` (100 turns cents into the currency). An event that comes later than `lateness_ms` behind the
    newest of its partition is not folded by the caller, so nothing that such a bound promises is pruned here.
    """

    name: str
    amount: str
    spans_ms: Mapping[str, int]
    unit: int = 100
    lateness_ms: int = 3_600_000

    def __post_init__(self) -> None:
        if not self.spans_ms or min(self.spans_ms.values()) <= 0 or self.unit <= 0 or self.lateness_ms < 0:
            raise Refused(
                f"The window {self.name} needs at least one span, spans and a unit above nought, and a lateness that "
                "is not below it."
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """The event's fields that a fold reads."""
        return (self.amount,)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{what}_{span}" for span in self.spans_ms for what in ("count", "mean"))

    @cached_property
    def within_ms(self) -> int:
        """Reads ignore what is older than this."""
        return max(self.spans_ms.values())

    @cached_property
    def digest(self) -> str:
        """Names what a state means. Another digest is another build of the state."""
        words = ("window", FOLD_VERSION, self.name, self.amount, sorted(self.spans_ms.items()), self.lateness_ms)
        return hashlib.blake2b(repr(words).encode(), digest_size=8).hexdigest()

    @cached_property
    def _spans(self) -> tuple[int, ...]:
        return tuple(self.spans_ms.values())

    @cached_property
    def _amount(self) -> Any:
        return attrgetter(self.amount)

    def new(self) -> WindowState:
        return WindowState()

    def fold(self, state: WindowState, event: Any, time_ms: int) -> bool:
        """Take one event in. True if it came in order, False if the entity had a newer one already."""
        times, totals = state.times, state.totals
        amount = self._amount(event)
        if not times or time_ms >= times[-1]:
            times.append(time_ms)
            totals.append(totals[-1] + amount)
            if len(times) > PRUNE_AT and times[PRUNE_AT - 1] <= time_ms - self.within_ms - self.lateness_ms:
                self._prune(state)
            return True
        at = bisect_right(times, time_ms)
        times.insert(at, time_ms)
        totals.insert(at + 1, totals[at] + amount)
        for i in range(at + 2, len(totals)):
            totals[i] += amount
        return False

    def read(self, state: WindowState, time_ms: int) -> tuple[float, ...]:
        """The columns' values as of `time_ms`, as float64."""
        times, totals = state.times, state.totals
        end = len(times) if not times or times[-1] <= time_ms else bisect_right(times, time_ms)
        total, unit = totals[end], self.unit
        row: list[float] = []
        for span in self._spans:
            start = bisect_right(times, time_ms - span, 0, end)
            count = end - start
            row.append(float(count))
            row.append((total - totals[start]) / count / unit if count else 0.0)
        return tuple(row)

    def pack(self, state: WindowState) -> bytes:
        """The horizon's events as a compact blob: first time and total, then steps in the narrowest type that fits."""
        self._prune(state)
        times, totals = state.times, state.totals
        if not times:
            return b""
        first, base = times[0], totals[0]
        steps = [time - first for time in times]
        sums = [total - base for total in totals[1:]]
        code = "I" if steps[-1] < 1 << 32 and max(sums) < 1 << 32 and min(sums) >= 0 else "q"
        return code.encode() + array("q", (first,)).tobytes() + array(code, steps + sums).tobytes()

    def unpack(self, body: bytes) -> WindowState:
        """The inverse of pack. Amounts before the horizon are gone, so totals start at nought again.

        Raises ValueError for what pack never made.
        """
        state = WindowState()
        if body:
            first = array("q", body[1:9])[0]
            if body[:1] not in (b"I", b"q"):
                raise ValueError("its layout is unknown")
            numbers = array(body[:1].decode(), body[9:])
            half = len(numbers) // 2
            state.times = [first + step for step in numbers[:half]]
            state.totals = [0, *numbers[half:]]
        return state

    def describe(self, state: WindowState) -> dict[str, object]:
        """A state in words that a person can check against the log."""
        newest = state.times[-1] if state.times else None
        values = dict(zip(self.columns, self.read(state, newest), strict=True)) if newest is not None else {}
        return {"events": len(state.times), "newest_ms": newest, "as_of_newest": values}

    def _prune(self, state: WindowState) -> None:
        times = state.times
        if times and times[0] <= (cut := times[-1] - self.within_ms - self.lateness_ms):
            gone = bisect_right(times, cut)
            del times[:gone]
            del state.totals[:gone]
