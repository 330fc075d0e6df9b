"""Pace: a pipeline whose view others wait for stays within a declared time of the slowest of them (protocol C3).

Readers that wait tell in Redis at which event time they stand. The writer folds nothing that lies further ahead, so
that what they still need is kept. What is told is for pace alone: no exactness depends on it, and what a reader has
not told for a while is forgotten.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import redis

from app.errors import Unavailable
from app.features.store import Store, unavailable

if TYPE_CHECKING:
    from app.contracts.admission import Admitted

TOLD_S = 30.0  # a reader that has told nothing for so long is gone
AGAIN_S = 0.1  # between two looks at where the readers stand, while they are waited for
IDLE_S = 2.0  # a partition that has read nothing for so long is at its end, and holds nobody up


def readers_key(store: Store, view: str) -> str:
    return f"{{{store.pipeline}/{view}}}/readers"


def tell(store: Store, view: str, reader: str, needs: Mapping[int, tuple[int, float]], waiting: set[int]) -> None:
    """Say at which event time each of a reader's partitions stands. Raises Unavailable."""
    now, wall_ms = time.monotonic(), time.time_ns() // 1_000_000
    standing = {
        f"{reader}/{partition}".encode(): f"{time_ms}:{wall_ms}".encode()
        for partition, (time_ms, seen) in needs.items()
        if partition in waiting or now - seen < IDLE_S
    }
    gone = [name for partition in needs if (name := f"{reader}/{partition}".encode()) not in standing]
    key = readers_key(store, view)
    try:
        if standing:
            store.client.hset(key, mapping=cast("Any", standing))
        if gone:
            store.client.hdel(key, *gone)
    except redis.RedisError as error:
        raise unavailable(error) from error


class Pace:
    """How far a writer may go. `pace_ms` is event time; None: as far as it likes."""

    def __init__(self, store: Store, views: Iterable[str], pace_ms: int | None) -> None:
        self._store = store
        self._keys = [readers_key(store, view) for view in views]
        self._pace_ms = pace_ms
        self._looked_at = -math.inf
        self.limit_ms: int | None = None

    def refresh(self) -> None:
        """Look where the readers stand. Silent where Redis does not answer: the last limit holds."""
        if self._pace_ms is None:
            return
        try:
            slowest = min((at for key in self._keys for at in self._standing(key)), default=None)
        except Unavailable:
            return
        finally:
            self._looked_at = time.monotonic()  # behind the look: one that times out is not taken for each partition
        self.limit_ms = None if slowest is None else slowest + self._pace_ms

    def _standing(self, key: str) -> Iterable[int]:
        oldest_ms = time.time_ns() // 1_000_000 - int(TOLD_S * 1000)
        try:
            told = cast("dict[bytes, bytes]", self._store.client.hgetall(key))
            places = {name: [int(number) for number in value.split(b":")] for name, value in told.items()}
            gone = [name for name, place in places.items() if place[1] < oldest_ms]
            if gone:
                self._store.client.hdel(key, *gone)
        except redis.RedisError as error:
            raise unavailable(error) from error
        return [at for name, (at, _) in places.items() if name not in gone]

    def hold(self, admitted: Sequence[Admitted]) -> dict[int, Admitted]:
        """By partition, the first event that lies too far ahead; looks again where the last look was a while ago."""
        held = self._beyond(admitted)
        if held and self._is_due():
            self.refresh()
            held = self._beyond(admitted)
        return held

    def reaches(self, time_ms: int) -> bool:
        """Whether an event of this time may be folded now; looks again where the last look was a while ago."""
        if self._is_ahead(time_ms) and self._is_due():
            self.refresh()
        return not self._is_ahead(time_ms)

    def _is_due(self) -> bool:
        return time.monotonic() > self._looked_at + AGAIN_S

    def _is_ahead(self, time_ms: int) -> bool:
        return self.limit_ms is not None and time_ms > self.limit_ms

    def _beyond(self, admitted: Sequence[Admitted]) -> dict[int, Admitted]:
        if self.limit_ms is None:
            return {}
        held: dict[int, Admitted] = {}
        for event in admitted:
            if event.time_ms > self.limit_ms:
                held.setdefault(event.partition, event)
        return held
