"""`python -m tests.bench.entities REDIS COUNT`: a worker's memory that comes by so many entities, each once."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from typing import Any, cast

from app.features.held import Held
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.features.store import PREFIX, Store, connect
from app.pipelines.fraud import FRAUD
from app.settings import Settings
from tests.processes import memory_kb

EVENTS, DAY_MS, BATCH = 57, 86_400_000, 512  # the mean of a simulated customer's payments in thirty days


class Entity:
    """As much of an admitted event as loading looks at."""

    def __init__(self, name: bytes) -> None:
        self.entity, self.partition, self.offset = name, 0, 1


def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    client = connect(url, timeout_s=10.0)
    store, view = Store(client, "bench-entities"), FRAUD.views[0]
    marker = Marker("t", 6, "b", FRAUD.digest(view), since=0, next=1)
    store.write(store.marker_key(view.name, 0, marker.digest), None, marker, [])
    before = _used(client)
    _write(store, count)
    used = _used(client) - before
    bound = Settings(kafka="none:1", redis=url).entities_in_memory
    memory = Memory(replace(FRAUD, lookups=()), store, entities=bound)
    memory.owned[0] = Owned((Held(view, 0, store, marker),), 1)
    most = 0
    for first in range(0, count, BATCH):
        memory.load(cast("Any", [Entity(b"%d" % i) for i in range(first, min(first + BATCH, count))]))
        if first % (BATCH * 100) == 0:
            memory.flush(0)
            most = max(most, _rss_mb())
    memory.flush(0)
    print(json.dumps({"redis_bytes": used / count, "rss_mb": most, "hot": len(memory.owned[0].held[0].states)}))


def _write(store: Store, count: int) -> None:
    """The same state for each, by other names."""
    view = FRAUD.views[0]
    state = view.new()
    for i in range(EVENTS):
        view.fold(state, _Paid(1_000 + 37 * i), 1_522_540_800_000 + i * 30 * DAY_MS // EVENTS)
    blob = PREFIX.pack(1) + view.pack(state)
    prefix = store.blob_key(view.name, 0, "b").encode()
    for first in range(0, count, 10_000):
        names = {prefix + b"%d" % i: blob for i in range(first, min(first + 10_000, count))}
        store.client.mset(cast("Any", names))


class _Paid:
    def __init__(self, cents: int) -> None:
        self.amount_cents = cents


def _used(client: Any) -> int:
    return int(client.info("memory")["used_memory"])


def _rss_mb() -> int:
    return memory_kb(os.getpid()) // 1024


if __name__ == "__main__":
    main()
