"""What the owner of a partition holds of one view: hot states in memory, and the marker they started from.

Memory may run ahead of Redis, never the other way round by its own hand. What Redis holds beyond memory was written
by somebody else, and then this memory is worth nothing (protocol B2, B5).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from itertools import islice
from typing import Any

import msgspec

from app.errors import Fatal
from app.features.marker import Marker, decode_marker
from app.features.store import PREFIX, SLICE, Store
from app.features.views import View


class Flushed(Enum):
    """What became of a flush, by what to do next."""

    DONE = "done"
    ASSIGN_AGAIN = "assign again"  # the state in Redis is not the one that this memory grew from


class Held:
    """One view of one partition. States of entities not in memory are in Redis, as of the marker."""

    def __init__(self, view: View, partition: int, store: Store, marker: Marker) -> None:
        self.view = view
        self.partition = partition
        self.marker = marker
        self.newest_ms = marker.newest_ms
        self.oldest_ms = marker.oldest_ms
        self.states: dict[bytes, Any] = {}
        self.dirty: set[bytes] = set()
        self._store = store
        self.ended = marker.ended
        self.skipped: Counter[str] = Counter()  # events that are not in any state, by why
        self.marker_key = store.marker_key(view.name, partition, marker.digest)
        self.prefix = store.blob_key(view.name, partition, marker.build).encode()

    def key(self, entity: bytes) -> bytes:
        return self.prefix + entity

    def still_mine(self, marker: bytes | None) -> bool:
        """Whether the marker that came with the blobs is the one that this memory started from."""
        return marker is not None and decode_marker(marker) == self.marker

    def take(self, entity: bytes, blob: bytes | None) -> None:
        """Put an entity's state from Redis, or a new one, into memory. Raises Fatal for bytes that are no state."""
        if blob is None:
            self.states[entity] = self.view.new()
            return
        try:
            state = self.view.unpack(blob[PREFIX.size :])
            state.next_offset = PREFIX.unpack_from(blob)[0]
        except (ValueError, IndexError, struct.error) as error:
            raise self._foreign(error) from error
        self.states[entity] = state

    def fold(self, entity: bytes, event: Any, offset: int, time_ms: int) -> tuple[Any, bool]:
        """Fold one event in. Gives the state to read, and whether the event was late (protocol C4).

        An event behind the partition's newest by more than the lateness is not folded: the state to read is a copy.
        """
        state = self.states[entity]
        self.ended = False
        if self.oldest_ms is None:
            self.oldest_ms = time_ms
        too_late = time_ms < self.newest_ms - self.view.lateness_ms
        if time_ms > self.newest_ms:
            self.newest_ms = time_ms
        if offset < state.next_offset:
            return state, False  # a flush that ended half way has it already
        state.next_offset = offset + 1
        self.dirty.add(entity)
        if (why := self.view.repeat(state, event)) is not None:
            self.skipped[why] += 1
            return state, False
        if too_late:
            self.skipped["too-late"] += 1
            copy = self.view.unpack(self.view.pack(state))
            self.view.fold(copy, event, time_ms)
            return copy, True
        return state, not self.view.fold(state, event, time_ms)

    def pass_by(self, time_ms: int) -> None:
        """An event of an entity that nobody asked for: only how late others are depends on it."""
        if self.oldest_ms is None:
            self.oldest_ms = time_ms
        self.newest_ms = max(self.newest_ms, time_ms)

    def is_whole(self, time_ms: int) -> bool:
        """Whether every event that a read at this time looks back on was folded in."""
        if self.marker.since == 0:
            return True
        horizon_ms = self.view.within_ms + self.view.lateness_ms
        return self.oldest_ms is not None and time_ms - horizon_ms >= self.oldest_ms

    def is_flushed(self, next_offset: int) -> bool:
        """Whether Redis has all that is folded up to this offset, and says so."""
        marker = self.marker
        told = (marker.next, marker.newest_ms, marker.ended)
        return not self.dirty and told == (next_offset, self.newest_ms, self.ended)

    def flush(self, next_offset: int) -> Flushed:
        """Write all that is dirty and move the marker to `next_offset`. No batch of the partition may be in flight.

        Raises Unavailable where Redis does not answer: everything stays dirty, and the flush may be tried again.
        """
        target = msgspec.structs.replace(
            self.marker, next=next_offset, newest_ms=self.newest_ms, oldest_ms=self.oldest_ms, ended=self.ended
        )
        if target == self.marker and not self.dirty:
            return Flushed.DONE
        while True:
            found = self._write(target)
            if found == target:  # written now, or by an earlier try whose reply was lost
                self.marker = target
                self.dirty.clear()
                return Flushed.DONE
            if found is None or not found.same_state(self.marker) or not self.marker.next < found.next <= next_offset:
                return Flushed.ASSIGN_AGAIN
            self.marker = found  # an earlier flush of mine had moved it, and its reply was lost

    def _write(self, target: Marker) -> Marker | None:
        """Gives the marker that is there afterwards: `target` if all was written."""
        slices = list(self._slices()) or [[]]
        for blobs in slices[:-1]:
            found = self._store.write(self.marker_key, self.marker, None, blobs)
            if found != self.marker:
                return found
        return self._store.write(self.marker_key, self.marker, target, slices[-1])

    def _slices(self) -> Iterator[list[tuple[str | bytes, bytes]]]:
        dirty = iter(self.dirty)
        while part := list(islice(dirty, SLICE)):
            yield [(self.prefix + entity, self._blob(entity)) for entity in part]

    def _blob(self, entity: bytes) -> bytes:
        state = self.states[entity]
        try:
            return PREFIX.pack(state.next_offset) + self.view.pack(state)
        except OverflowError as error:  # what is no state may have been taken for one
            raise self._foreign(error) from error

    def _foreign(self, error: Exception) -> Fatal:
        return Fatal(
            f"A state beside the Redis key {self.marker_key} is not what this program writes ({error}); "
            f"`streaminfer features rebuild {self.view.name}` makes the state anew from the log."
        )

    def shed(self, keep: int) -> None:
        """Forget clean states beyond `keep`, the longest in memory first: Redis has them."""
        for entity in list(islice(self.states, max(0, len(self.states) - keep))):
            if entity not in self.dirty:
                del self.states[entity]
