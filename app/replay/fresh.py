"""A fresh fold of one partition into one view, from the log and nothing else, with the very code of the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

import msgspec

from app.features.held import Held
from app.features.marker import NEVER_MS, Marker
from app.features.store import Store
from app.features.views import View
from app.replay.events import Events

Told = Callable[[int], None]


class Fresh:
    """What the log says the states are. `at` is the first offset that is not folded in.

    With `one_in`, only so many entities are kept, by a hash of their names; every event still counts for how late
    others are. All states of the partition are in memory: some 700 bytes each.
    """

    def __init__(
        self, events: Events, store: Store, view: View, partition: int, *, start: Marker, one_in: int = 1
    ) -> None:
        begin = msgspec.structs.replace(start, next=start.since, newest_ms=NEVER_MS, oldest_ms=None, ended=False)
        self._held = Held(view, partition, store, begin)
        self._events = events
        self._view = view
        self._partition = partition
        self._one_in = one_in
        self.at = start.since
        self.count = 0

    @property
    def states(self) -> dict[bytes, Any]:
        return self._held.states

    @property
    def newest_ms(self) -> int:
        return self._held.newest_ms

    def wants(self, entity: bytes) -> bool:
        return self._one_in == 1 or crc32(entity) % self._one_in == 0

    def is_whole(self, time_ms: int) -> bool:
        """Whether the log still has all that a read at this time looks back on."""
        return self._held.is_whole(time_ms)

    def advance(self, to: int, *, stop: dict[bytes, int], stopped: Callable[[bytes], None], told: Told) -> None:
        """Fold up to `to`. An entity in `stop` is told to `stopped` once its events before that offset are folded.

        `stopped` must take it out of `stop` then.
        """
        for read in self._events.between(self._partition, self.at, to) if to > self.at else ():
            for event in read.admitted:
                if not self.wants(event.entity):
                    self._held.pass_by(event.time_ms)
                    continue
                if event.entity not in self.states:
                    self.states[event.entity] = self._view.new()
                self._held.fold(event.entity, event.event, event.offset, event.time_ms)
                if stop and stop.get(event.entity) == event.offset + 1:
                    stopped(event.entity)
            self.count += len(read.admitted)
            told(read.next_offset - self.at)
            self.at = read.next_offset
        told(max(0, to - self.at))
        self.at = max(self.at, to)
