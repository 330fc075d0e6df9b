"""An entity's newest entries by event time: what History and Last remember, and how much of it.

An entry is out of reach when so many newer ones lie before the newest time less the lateness that no read within the
lateness goes back to it, or when it is older than any such read looks back. Only what is out of reach is dropped.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from app.features.once import Once, Seen

CUT_AT = 64  # entries beyond what is kept before a list is cut

Entry = TypeVar("Entry")


class Recent(Generic[Entry]):
    """Times in order and an entry for each; the log's order where times are equal."""

    __slots__ = ("entries", "next_offset", "seen", "times")

    def __init__(self) -> None:
        self.next_offset = 0
        self.times = array("q")
        self.entries: list[Entry] = []
        self.seen = Seen()


class Packed(msgspec.Struct, Generic[Entry], array_like=True):
    """A state as it is stored: the first time, the steps from it, the entries, and when which ids were taken."""

    first_ms: int
    steps: list[int]
    entries: list[Entry]
    taken: dict[str, list[int]] = {}


_ENCODE = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Reach:
    """How far reads go back: `keep` entries and `within_ms`, from a time that may be `lateness_ms` behind the newest.

    With `before`, a read at some time sees what came before it and not what came at it.
    """

    keep: int
    within_ms: int
    lateness_ms: int
    before: bool = False
    once: Once | None = None

    def put(self, state: Recent[Entry], entry: Entry, event: Any, time_ms: int) -> bool:
        """Insert an entry at its own time. True if the entity had no newer one."""
        times = state.times
        in_order = not times or time_ms >= times[-1]
        if self.once is not None and not self.once.takes(state.seen, event, time_ms):
            return in_order
        if in_order:
            times.append(time_ms)
            state.entries.append(entry)
            if len(times) > self.keep + CUT_AT:
                self.cut(state)
        else:
            at = bisect_right(times, time_ms)
            times.insert(at, time_ms)
            state.entries.insert(at, entry)
        if self.once is not None:
            self.once.forget(state.seen, times[-1], lateness_ms=self.lateness_ms)
        return in_order

    def seen_at(self, state: Recent[Entry], time_ms: int) -> tuple[int, int]:
        """Where the entries that a read at this time sees start and end."""
        times = state.times
        end = (bisect_left if self.before else bisect_right)(times, time_ms)
        return max(bisect_right(times, time_ms - self.within_ms, 0, end), end - self.keep), end

    def cut(self, state: Recent[Entry]) -> None:
        """Drop what is out of reach of every read that is promised."""
        times = state.times
        if not times:
            return
        earliest = times[-1] - self.lateness_ms
        behind = (bisect_left if self.before else bisect_right)(times, earliest)
        gone = max(bisect_right(times, earliest - self.within_ms), behind - self.keep)
        if gone > 0:
            del times[:gone]
            del state.entries[:gone]

    def pack(self, state: Recent[Entry]) -> bytes:
        """What is in reach, as MessagePack; nothing for a state of nothing."""
        self.cut(state)
        if not state.times:
            return b""
        if self.once is not None:
            self.once.forget(state.seen, state.times[-1], lateness_ms=self.lateness_ms, all_of_them=True)
        first = state.times[0]
        return _ENCODE(Packed(first, [time - first for time in state.times], state.entries, state.seen.times))

    def unpack(self, body: bytes, read: msgspec.msgpack.Decoder[Packed[Entry]]) -> Recent[Entry]:
        """The inverse of pack. Raises ValueError for what pack never made."""
        state: Recent[Entry] = Recent()
        if not body:
            return state
        packed = read.decode(body)
        if not packed.steps or len(packed.steps) != len(packed.entries):
            raise ValueError("it has not as many times as entries")
        if packed.steps[0] != 0 or any(a > b for a, b in zip(packed.steps, packed.steps[1:], strict=False)):
            raise ValueError("its times are not in order")
        try:
            state.times = array("q", [packed.first_ms + step for step in packed.steps])
        except OverflowError as error:
            raise ValueError("its times are beyond what times are") from error
        state.entries = packed.entries
        state.seen = Seen(packed.taken)
        return state
