"""A worker's memory of two partitions, with one view and one lookup, as it is right after they were assigned."""

from __future__ import annotations

import redis

from app.features.held import Held
from app.features.lookups import Lookup
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.features.store import Store
from app.features.tables import Table
from app.features.window import Window
from app.pipeline import Pipeline

VIEW = Window("customer", amount="amount_cents", spans_ms={"a": 40}, lateness_ms=20)
START = Marker("topic-1", 6, "b1", "d1", since=0, next=0)
DEFAULTS = (0.5, -1.0)


def load_rows(client: redis.Redis, lookup: Lookup, build: str, rows: dict[str, tuple[float, ...]]) -> None:
    """As a load does: the rows first, then the pointer."""
    for entity, row in rows.items():
        client.set(lookup.row_key(build, entity), lookup.pack(row))
    client.set(lookup.pointer, build)


def memory_of(pipeline: Pipeline, store: Store, *, entities: int = 200_000, rows: int = 500_000) -> Memory:
    tables = [Table(lookup, store, most=rows) for lookup in pipeline.lookups if isinstance(lookup, Lookup)]
    return Memory(pipeline, store, readers=tables, entities=entities)


def table_of(memory: Memory) -> Table:
    (table,) = memory.readers
    assert isinstance(table, Table)
    return table


def owning(memory: Memory, *partitions: int) -> Memory:
    for partition in partitions:
        key = memory.store.marker_key("customer", partition, START.digest)
        memory.store.write(key, None, START, [])
        memory.owned[partition] = Owned((Held(VIEW, partition, memory.store, START),), 0)
    return memory
