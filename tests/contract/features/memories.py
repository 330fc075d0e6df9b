"""A worker's memory of two partitions, with one view and one lookup, as it is right after they were assigned."""

from __future__ import annotations

import redis

from app.features.held import Held
from app.features.lookups import Lookup
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.features.views import Window

VIEW = Window("customer", amount="amount_cents", spans_ms={"a": 40}, lateness_ms=20)
START = Marker("topic-1", 6, "b1", "d1", since=0, next=0)
DEFAULTS = (0.5, -1.0)


def load_rows(client: redis.Redis, lookup: Lookup, build: str, rows: dict[str, tuple[float, ...]]) -> None:
    """As a load does: the rows first, then the pointer."""
    for entity, row in rows.items():
        client.set(lookup.row_key(build, entity), lookup.pack(row))
    client.set(lookup.pointer, build)


def owning(memory: Memory, *partitions: int) -> Memory:
    for partition in partitions:
        key = memory.store.marker_key("customer", partition)
        memory.store.write(key, None, START, [])
        memory.owned[partition] = Owned((Held(VIEW, partition, memory.store, START),), 0)
    return memory
