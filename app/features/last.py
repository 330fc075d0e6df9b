"""The newest values that an entity had: what was paid last, from where, and how long ago."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import msgspec

from app.errors import Refused
from app.features.once import Once
from app.features.recent import Packed, Reach, Recent
from app.features.views import digest_of

Value = float | str
Values = list[Value]

_read = msgspec.msgpack.Decoder(Packed[Values])


@dataclass(frozen=True)
class Last:
    """The newest values of `values`, fields of the event, over (t - within, t]; where times are equal, the log's last.

    At its own time an event is the newest itself: with `before`, what came before t is read, (t - within, t). The
    columns are `<name>_<field>`, and with `age` one more, `<name>_age_ms`. Numbers and truths are read as floats, text
    as it is. Where there is nothing, values are `default` and the age is the whole span.
    """

    name: str
    values: tuple[str, ...]
    within_ms: int
    before: bool = False
    age: bool = False
    default: Value = 0.0
    lateness_ms: int = 3_600_000
    once: Once | None = None

    def __post_init__(self) -> None:
        if not self.values or self.within_ms <= 0 or self.lateness_ms < 0:
            raise Refused(
                f"The view {self.name} needs one field or more whose last value it is, a span above nought, and a "
                "lateness that is not below it."
            )

    @cached_property
    def columns(self) -> tuple[str, ...]:
        names = tuple(f"{self.name}_{field}" for field in self.values)
        return (*names, f"{self.name}_age_ms") if self.age else names

    @property
    def fields(self) -> tuple[str, ...]:
        return self.values if self.once is None else (*self.values, self.once.by)

    @cached_property
    def digest(self) -> str:
        once = () if self.once is None else self.once.words
        return digest_of("last", self.name, self.values, self.within_ms, self.before, self.lateness_ms, *once)

    @cached_property
    def _reach(self) -> Reach:
        return Reach(1, self.within_ms, self.lateness_ms, before=self.before, once=self.once)

    @cached_property
    def _values(self) -> tuple[Any, ...]:
        return tuple(map(attrgetter, self.values))

    def new(self) -> Recent[Values]:
        return Recent()

    def repeat(self, state: Recent[Values], event: Any) -> str | None:  # noqa: ARG002 - `fold` looks, for it knows the time
        return None

    def fold(self, state: Recent[Values], event: Any, time_ms: int) -> bool:
        """Take one event in. True if it came in order, False if the entity had a newer one already."""
        return self._reach.put(state, [_plain(of(event)) for of in self._values], event, time_ms)

    def read(self, state: Recent[Values], time_ms: int) -> tuple[Value, ...]:
        """The columns' values as of `time_ms`."""
        start, end = self._reach.seen_at(state, time_ms)
        values = state.entries[end - 1] if start < end else [self.default] * len(self.values)
        if not self.age:
            return tuple(values)
        age_ms = time_ms - state.times[end - 1] if start < end else self.within_ms
        return (*values, float(age_ms))

    def pack(self, state: Recent[Values]) -> bytes:
        return self._reach.pack(state)

    def unpack(self, body: bytes) -> Recent[Values]:
        """The inverse of pack. Raises ValueError for what pack never made."""
        state = self._reach.unpack(body, _read)
        if any(len(values) != len(self.values) for values in state.entries):
            raise ValueError(f"it has not {len(self.values)} values for each time")
        return state

    def describe(self, state: Recent[Values]) -> dict[str, object]:
        """A state in words that a person can check against the log."""
        if not state.times:
            return {"newest_ms": None, "newest": {}}
        return {"newest_ms": state.times[-1], "newest": dict(zip(self.values, state.entries[-1], strict=True))}


def _plain(value: Any) -> Value:
    return value if isinstance(value, str) else float(value)
