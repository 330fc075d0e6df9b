"""Windows: count, sum and mean of an integer field over the latest spans of an entity's own events.

Money is summed as integers: sums neither drift nor depend on the order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import msgspec

from app.errors import Refused
from app.features.once import Once, Seen
from app.features.series import Series
from app.features.views import PRUNE_AT, digest_of

MEASURES = ("count", "sum", "mean")
USUAL = ("count", "mean")


class WindowState(Series):
    """One entity's events within the horizon, and where repeats are looked for the ids that were taken."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        super().__init__()
        self.seen: Seen | None = None


class Packed(msgspec.Struct, array_like=True):
    """A state as it is stored where repeats are looked for: the series, and when which ids were taken."""

    series: bytes
    taken: dict[str, list[int]]


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Packed).decode


@dataclass(frozen=True)
class Window:
    """Measures of an integer field over (t - span, t], for several spans at once; the event at t is included.

    `spans_ms` names each span; for each, the columns are `<name>_<measure>_<span>`, measures in the order given. Sums
    and means are in units of `unit` (100 turns cents into the currency). An event that comes later than `lateness_ms`
    behind the newest of its partition is not folded by the caller, so nothing that such a bound promises is pruned.
    With `once`, an event that the log has again is counted once.
    """

    name: str
    amount: str
    spans_ms: Mapping[str, int]
    measures: tuple[str, ...] = USUAL
    unit: int = 100
    lateness_ms: int = 3_600_000
    once: Once | None = None

    def __post_init__(self) -> None:
        if not self.spans_ms or min(self.spans_ms.values()) <= 0 or self.unit <= 0 or self.lateness_ms < 0:
            raise Refused(
                f"The window {self.name} needs at least one span, spans and a unit above nought, and a lateness that "
                "is not below it."
            )
        refuse_measures(self.name, self.measures)

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.amount,) if self.once is None else (self.amount, self.once.by)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{what}_{span}" for span in self.spans_ms for what in self.measures)

    @cached_property
    def within_ms(self) -> int:
        """Reads ignore what is older than this."""
        return max(self.spans_ms.values())

    @cached_property
    def digest(self) -> str:
        # What is read off a state does not matter to what it holds: measures and unit may change.
        once = () if self.once is None else self.once.words
        return digest_of("window", self.name, self.amount, sorted(self.spans_ms.items()), self.lateness_ms, *once)

    @cached_property
    def _spans(self) -> tuple[int, ...]:
        return tuple(self.spans_ms.values())

    @cached_property
    def _amount(self) -> Any:
        return attrgetter(self.amount)

    def new(self) -> WindowState:
        return WindowState()

    def repeat(self, state: WindowState, event: Any) -> str | None:  # noqa: ARG002 - `fold` looks, for it knows the time
        return None

    def fold(self, state: WindowState, event: Any, time_ms: int) -> bool:
        """Take one event in. True if it came in order, False if the entity had a newer one already."""
        if self.once is not None and not self._takes(state, event, time_ms):
            return not state.steps or time_ms >= state.base + state.steps[-1]
        place = state.add(time_ms, self._amount(event))
        count = len(state.steps)
        if place + 1 < count:
            return False
        if count > PRUNE_AT:
            cut = time_ms - self.within_ms - self.lateness_ms
            if state.base + state.steps[PRUNE_AT - 1] <= cut:
                state.drop(state.until(cut))
        return True

    def read(self, state: WindowState, time_ms: int) -> tuple[float, ...]:
        """The columns' values as of `time_ms`, as float64."""
        steps, sums, step, end = state.steps, state.sums, time_ms - state.base, state.until(time_ms)
        total, unit, measures = sums[end], self.unit, self.measures
        usual = measures == USUAL  # then without a call for each span
        row: list[float] = []
        for span in self._spans:
            start = bisect_right(steps, step - span, 0, end)
            if usual and (count := end - start):
                row += (float(count), (total - sums[start]) / count / unit)
            else:
                row += measured(measures, end - start, total - sums[start], unit)
        return tuple(row)

    def pack(self, state: WindowState) -> bytes:
        """The horizon's events as a compact blob."""
        if state.steps:
            newest = state.base + state.steps[-1]
            state.drop(state.until(newest - self.within_ms - self.lateness_ms))
        if self.once is None or state.seen is None:
            return state.pack()
        self._forget(state, state.seen, all_of_them=True)
        return _ENCODE(Packed(state.pack(), state.seen.times))

    def unpack(self, body: bytes) -> WindowState:
        """The inverse of pack. Amounts before the horizon are gone, so totals start at nought again.

        Raises ValueError for what pack never made.
        """
        state = WindowState()
        if self.once is not None and body:
            packed = _DECODE(body)
            state.seen, body = Seen(packed.taken), packed.series
            if not body:
                raise ValueError("it has ids and no events")
        state.fill(body)
        return state

    def _takes(self, state: WindowState, event: Any, time_ms: int) -> bool:
        """Whether the event is no repeat."""
        assert self.once is not None
        seen = state.seen = state.seen or Seen()
        if state.steps:
            self._forget(state, seen)
        return self.once.takes(seen, event, time_ms)

    def _forget(self, state: WindowState, seen: Seen, *, all_of_them: bool = False) -> None:
        if self.once is not None:
            newest = state.base + state.steps[-1]
            self.once.forget(seen, newest, lateness_ms=self.lateness_ms, all_of_them=all_of_them)

    def describe(self, state: WindowState) -> dict[str, object]:
        """A state in words that a person can check against the log."""
        newest = state.times[-1] if len(state) else None
        values = dict(zip(self.columns, self.read(state, newest), strict=True)) if newest is not None else {}
        return {"events": len(state), "newest_ms": newest, "as_of_newest": values}


def measured(measures: tuple[str, ...], count: int, total: int, unit: int) -> tuple[float, ...]:
    """The values of `measures` for so many events with that sum; the mean of nothing is 0."""
    mean = total / count / unit if count else 0.0
    if measures == USUAL:
        return float(count), mean
    of = {"count": float(count), "sum": total / unit, "mean": mean}
    return tuple(of[measure] for measure in measures)


def refuse_measures(name: str, measures: tuple[str, ...]) -> None:
    """Raises Refused for measures that there are not, or none."""
    if not measures or any(measure not in MEASURES for measure in measures):
        raise Refused(f"The view {name} measures {', '.join(measures) or 'nothing'}; it can {', '.join(MEASURES)}.")
