"""What features cost a worker: folding and reading, looking up as of a time, flushing, and a million entities."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

from app.contracts.admission import Admission, Admitted
from app.features.asof import AsOf, AsOfReader
from app.features.held import Held
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.features.store import Store, connect
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.record import Record
from app.simulate.events import label_events, payment_events
from tests.bench.ground import Ground

EVENTS, BATCH, ENTITIES = 150_000, 512, 1_000_000
Say = Callable[[str], None]


def features(ground: Ground, _: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Microseconds of CPU an event at batches of 512, on the simulated payments; then memory."""
    say(f"\nfeatures: us of CPU an event at {BATCH}, {EVENTS:,} simulated payments of 5,000 customers")
    client = connect(ground.settings.redis)
    result: dict[str, Any] = {}
    memory, events = _customers(Store(client, "bench"), ground)
    result["fold_read_us"] = _fold_and_read(memory, events)
    say(f"  fold and read of the customer windows    {result['fold_read_us']:5.2f}")
    result["flush_us"], dirty = _flush(memory, events)
    say(f"  flush of {dirty:,} entities each 47,000 events {result['flush_us']:5.2f}")
    result["asof_us"] = _as_of(Store(client, "bench"), ground, events, ahead=len(events))
    say(f"  outcomes as of the payment, folded before{result['asof_us']:5.2f}")
    result["asof_live_us"] = _as_of(Store(client, "bench"), ground, events, ahead=6)
    say(f"  the same, folded just now               {result['asof_live_us']:6.2f}")
    told = subprocess.run(
        [sys.executable, "-m", "tests.bench.entities", ground.settings.redis, str(ENTITIES)],
        check=True, stdout=subprocess.PIPE,
    ).stdout  # fmt: skip
    result |= json.loads(told)
    say(f"  {ENTITIES:,} entities of 57 events: worker {result['rss_mb']:.0f} MB with {result['hot']:,} of them in "
        f"memory; {result['redis_bytes']:.0f} bytes each in Redis")  # fmt: skip
    return result


def batched(events: Sequence[Admitted], size: int) -> Iterator[Sequence[Admitted]]:
    """Slices of so many events each."""
    for first in range(0, len(events), size):
        yield events[first : first + size]


def _admitted(pipeline: Any, events: Any, count: int) -> list[Admitted]:
    admit = Admission(pipeline).admit
    found = []
    for offset, (key, value) in zip(range(count), events, strict=False):
        event = admit(Record(pipeline.source.name, 0, offset, 1 << 42, key, value, None))
        assert isinstance(event, Admitted)
        found.append(event)
    return found


def _customers(store: Store, ground: Ground) -> tuple[Memory, list[Admitted]]:
    """A worker's memory that has folded a month of payments, and the payments that come next."""
    pipeline = replace(FRAUD, lookups=())
    memory = _owning(pipeline, store)
    events = _admitted(pipeline, payment_events(ground.payments), 300_000 + EVENTS)
    for part in batched(events[:300_000], 50_000):
        memory.load(part)
        memory.fold_only(part)
    memory.owned[0].next_offset = 300_000
    memory.flush(0)
    return memory, events[300_000:]


def _owning(pipeline: Any, store: Store, **how: Any) -> Memory:
    memory = Memory(pipeline, Store(store.client, pipeline.name + "-bench"), **how)
    held = []
    for view in pipeline.views:
        marker = Marker("t", pipeline.partitions, "b", pipeline.digest(view), since=0, next=0)
        key = memory.store.marker_key(view.name, 0, marker.digest)
        memory.store.client.delete(key)
        memory.store.write(key, None, marker, [])
        held.append(Held(view, 0, memory.store, marker))
    memory.owned[0] = Owned(tuple(held), 0)
    return memory


def _fold_and_read(memory: Memory, events: Sequence[Admitted]) -> float:
    (held,) = memory.owned[0].held
    read = held.view.read
    spent = 0.0
    for part in batched(events, BATCH):
        memory.load(part)
        began = time.process_time()
        for event in part:
            state, _ = held.fold(event.entity, event.event, event.offset, event.time_ms)
            read(state, event.time_ms)
        spent += time.process_time() - began
    return spent / len(events) * 1e6


def _flush(memory: Memory, events: Sequence[Admitted]) -> tuple[float, int]:
    memory.owned[0].next_offset = events[-1].offset + 1
    dirty = memory.dirty(0)
    began = time.process_time()
    memory.flush(0)
    return (time.process_time() - began) / 47_000 * 1e6, dirty


def _as_of(store: Store, ground: Ground, events: Sequence[Admitted], *, ahead: int) -> float:
    """Outcomes are folded `ahead` of the payments: a few, as it is live, and most states are read anew; or all."""
    view = replace(cast("Any", FRAUD_LABELS.views[0]), keep_ms=None)
    labels = replace(FRAUD_LABELS, views=(view,), partitions=1)
    writer = _owning(labels, store)
    folded = _admitted(labels, label_events(ground.payments), 450_000)
    pipeline = replace(labels, name="fraud-labels-bench")
    reader = AsOfReader(AsOf(pipeline, "terminal", key="terminal_id"), store, behind="mark", wait_s=1.0)
    spent, at = 0.0, 0
    memory = Memory(replace(FRAUD, views=()), store, readers=[reader])
    memory.owned[0] = Owned((), 0)
    for part in batched(events, BATCH):
        until = at
        while until < len(folded) and folded[until].time_ms <= part[-1].time_ms:
            until += 1
        until = min(len(folded), until + ahead)
        if at < until:
            writer.load(folded[at:until])
            writer.fold_only(folded[at:until])
            at = writer.owned[0].next_offset = until
            writer.flush(0)
        began = time.process_time()
        memory.load(part)
        for event in part:
            reader.read(event)
        spent += time.process_time() - began
    return spent / len(events) * 1e6
