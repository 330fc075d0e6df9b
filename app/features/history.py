"""The last items that an entity had to do with: what a model of sequences or of baskets is given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from sys import intern
from typing import Any

import msgspec

from app.errors import Refused
from app.features.once import Once
from app.features.recent import Packed, Reach, Recent
from app.features.views import digest_of

SHOWN = 10  # items of a state that are told to people

_read = msgspec.msgpack.Decoder(Packed[str])


@dataclass(frozen=True)
class History:
    """The last `keep` values of the text field `item` over (t - within, t], the newest last; the event at t included.

    Where times are equal, the log's order. An item that came twice is there twice. Its one column, `name`, is a tuple
    of any length up to `keep`. An event that comes later than `lateness_ms` behind the newest of its partition is not
    folded by the caller, so nothing that such a bound promises is dropped here.
    """

    name: str
    item: str
    keep: int
    within_ms: int
    lateness_ms: int = 3_600_000
    once: Once | None = None

    def __post_init__(self) -> None:
        if self.keep < 1 or self.within_ms <= 0 or self.lateness_ms < 0:
            raise Refused(
                f"The history {self.name} needs to keep one item or more, a span above nought, and a lateness that is "
                "not below it."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.item,) if self.once is None else (self.item, self.once.by)

    @cached_property
    def digest(self) -> str:
        once = () if self.once is None else self.once.words
        return digest_of("history", self.name, self.item, self.keep, self.within_ms, self.lateness_ms, *once)

    @cached_property
    def _reach(self) -> Reach:
        return Reach(self.keep, self.within_ms, self.lateness_ms, once=self.once)

    @cached_property
    def _item(self) -> Any:
        return attrgetter(self.item)

    def new(self) -> Recent[str]:
        return Recent()

    def repeat(self, state: Recent[str], event: Any) -> str | None:  # noqa: ARG002 - `fold` looks, for it knows the time
        return None

    def fold(self, state: Recent[str], event: Any, time_ms: int) -> bool:
        """Take one event in. True if it came in order, False if the entity had a newer one already."""
        # One copy of an item's name for all entities: names are most of what a state takes.
        return self._reach.put(state, intern(self._item(event)), event, time_ms)

    def read(self, state: Recent[str], time_ms: int) -> tuple[tuple[str, ...]]:
        """The items as of `time_ms`, the newest last."""
        start, end = self._reach.seen_at(state, time_ms)
        return (tuple(state.entries[start:end]),)

    def pack(self, state: Recent[str]) -> bytes:
        return self._reach.pack(state)

    def unpack(self, body: bytes) -> Recent[str]:
        """The inverse of pack. Raises ValueError for what pack never made."""
        state = self._reach.unpack(body, _read)
        state.entries = list(map(intern, state.entries))
        return state

    def describe(self, state: Recent[str]) -> dict[str, object]:
        """A state in words that a person can check against the log."""
        newest = state.times[-1] if state.times else None
        items = self.read(state, newest)[0] if newest is not None else ()
        return {"items": len(items), "newest_ms": newest, "last_items": list(items[-SHOWN:])}
