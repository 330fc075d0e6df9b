"""What looking up costs a worker, by layout: rows read from Redis, and rows in memory, at batches of 512 and of 1."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import redis

from app.contracts.admission import Admission, Admitted
from app.features.lookups import Field, HashLookup, JsonLookup, Lookup, Written
from app.features.memory import Memory, Owned
from app.features.store import Store, connect
from app.features.tables import reader_of
from app.local.leash import Leash
from app.pipelines.fraud import FRAUD
from app.record import Record
from tests.bench.ground import Ground
from tests.cluster import RedisCluster

ROWS, BATCH = 51_200, 512
TAKEN_MS = 1_522_584_000_000
FIELDS = tuple(Field(f"x{i}", max_age_ms=1 << 50) for i in range(6))
Say = Callable[[str], None]
LAYOUTS: dict[str, Written] = {
    "packed": Lookup("bench-packed", "terminal_id", FIELDS),
    "hash": HashLookup("bench-hash", "terminal_id", FIELDS, "bench-hash:{entity}", written_at="at", keep_s=3600.0),
    "JSON": JsonLookup("bench-json", "terminal_id", FIELDS, "bench-json:{entity}", written_at="at", keep_s=3600.0),
}


def lookups(ground: Ground, _: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Microseconds an event, of the clock and of CPU, for six fields with an age, each event another row."""
    say("\nlookups: us an event for six fields, clock (CPU); every row read from Redis, and every row in memory")
    result: dict[str, Any] = {}
    with Leash() as leash, tempfile.TemporaryDirectory(prefix="streaminfer-bench-") as home:
        urls = {"one Redis": ground.settings.redis, "a cluster": RedisCluster(Path(home) / "nodes", leash).url}
        for server, url in urls.items():
            client = connect(url, timeout_s=10.0)
            for name, lookup in LAYOUTS.items():
                _write(client, lookup)
                for size, count in ((BATCH, ROWS), (1, 2_000)):
                    taken = _measured(Store(client, "bench-lookups"), lookup, _events(count), size)
                    result[f"{name} on {server} at {size}"] = taken
                    say(f"  {name:6} on {server} at {size:3}: {_words(taken['cold'])} read, "
                        f"{_words(taken['warm'])} in memory")  # fmt: skip
            client.close()
        leash.close(grace_s=0.0)
    return result


def _words(taken: tuple[float, float]) -> str:
    return f"{taken[0]:7.2f} ({taken[1]:6.2f})"


def _events(count: int) -> list[Admitted]:
    admit = Admission(FRAUD).admit
    found = []
    for i in range(count):
        value = {
            "payment_id": str(i),
            "customer_id": "1",
            "terminal_id": str(i),
            "amount_cents": 1,
            "time_ms": TAKEN_MS,
        }
        event = admit(Record(FRAUD.source.name, 0, i, TAKEN_MS, b"1", json.dumps(value).encode(), None))
        assert isinstance(event, Admitted)
        found.append(event)
    return found


def _write(client: redis.Redis, lookup: Written) -> None:
    values: dict[str, Any] = {field.name: i / 8 for i, field in enumerate(FIELDS)}
    for first in range(0, ROWS, 1_000):
        with client.pipeline(transaction=False) as part:
            for i in range(first, min(first + 1_000, ROWS)):
                if isinstance(lookup, Lookup):
                    part.set(lookup.row_key("20180401T000000Z-b", str(i)), lookup.pack(tuple(values.values())))
                elif isinstance(lookup, HashLookup):
                    part.hset(lookup.row_key(str(i)), items=list(chain(*(values | {"at": TAKEN_MS}).items())))
                elif isinstance(lookup, JsonLookup):
                    part.set(lookup.row_key(str(i)), json.dumps(values | {"at": TAKEN_MS}))
            part.execute()
    if isinstance(lookup, Lookup):
        client.set(lookup.pointer, "20180401T000000Z-b")


def _measured(store: Store, lookup: Written, events: Sequence[Admitted], size: int) -> dict[str, tuple[float, float]]:
    memory = Memory(replace(FRAUD, views=(), lookups=()), store, readers=[reader_of(lookup, store)])
    memory.owned[0] = Owned((), 0)
    memory.refresh()
    return {name: _pass(memory, events, size) for name in ("cold", "warm")}


def _pass(memory: Memory, events: Sequence[Admitted], size: int) -> tuple[float, float]:
    (reader,) = memory.readers
    began, cpu = time.perf_counter(), time.process_time()
    for first in range(0, len(events), size):
        part = events[first : first + size]
        memory.load(part)
        for event in part:
            _, marks = reader.read(event)
            assert not marks
    spent = time.perf_counter() - began, time.process_time() - cpu
    return spent[0] / len(events) * 1e6, spent[1] / len(events) * 1e6
