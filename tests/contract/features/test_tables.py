"""Rows of a lookup in a worker's memory while loads come and go, and what goes on while Redis is away."""

from __future__ import annotations

import pytest
import redis

from app.features.lookups import Lookup
from app.features.memory import Loaded, Memory
from app.features.store import Store, connect
from app.pipeline import Pipeline
from tests.contract.features.memories import DEFAULTS, load_rows, memory_of, owning, table_of
from tests.payments import event

pytestmark = pytest.mark.redis


def away(memory: Memory) -> None:
    """From now on nothing answers."""
    memory.store = Store(connect("redis://127.0.0.1:1/0", timeout_s=0.2), memory.pipeline.name)
    table_of(memory)._store = memory.store


# -- lookups that are loaded anew --------------------------------------------------------------------------------------


def test_a_load_that_comes_to_serve_is_read_whole_from_then_on(
    memory: Memory, client: redis.Redis, lookup: Lookup
) -> None:
    """Customer 2's row was read before the pointer turned; the same batch must not mix two loads, nor miss it."""
    load_rows(client, lookup, "old", {"1": (1.0, 1.0), "2": (1.0, 1.0)})
    memory.load([event("1", offset=0, terminal="2")])
    load_rows(client, lookup, "new", {"1": (2.0, 2.0), "2": (2.0, 2.0)})
    events = [event("1", offset=1 + i, terminal=terminal) for i, terminal in enumerate(("1", "2"))]
    memory.load(events)
    assert [memory.features(one).row[-2:] for one in events] == [(2.0, 2.0), (2.0, 2.0)]


def test_a_load_is_noticed_between_batches_though_every_row_is_in_memory(
    memory: Memory, client: redis.Redis, lookup: Lookup
) -> None:
    load_rows(client, lookup, "old", {"9": (1.0, 1.0)})
    memory.load([event("1", offset=0)])
    load_rows(client, lookup, "new", {"9": (2.0, 2.0)})
    memory.refresh()
    one = event("1", offset=1)
    memory.load([one])
    assert memory.features(one).row[-2:] == (2.0, 2.0)


def test_a_lookup_that_is_gone_is_all_defaults_again(memory: Memory, client: redis.Redis, lookup: Lookup) -> None:
    load_rows(client, lookup, "old", {"9": (1.0, 1.0)})
    memory.load([event("1", offset=0)])
    client.delete(lookup.pointer)
    memory.refresh()
    one = event("1", offset=1)
    memory.load([one])
    assert memory.features(one).row[-2:] == DEFAULTS


def test_rows_in_memory_are_bounded_and_a_batch_never_loses_its_own(
    pipeline: Pipeline, store: Store, client: redis.Redis, lookup: Lookup
) -> None:
    load_rows(client, lookup, "b1", {str(i): (float(i), 0.0) for i in range(10)})
    memory = owning(memory_of(pipeline, store, rows=3), 0)
    for first in range(0, 8, 2):
        events = [event("1", offset=first * 3 + i, terminal=str(first + i)) for i in range(3)]
        memory.load(events)
        assert [memory.features(one).row[-2] for one in events] == [float(first + i) for i in range(3)]
        memory.refresh()
        assert len(table_of(memory).rows) <= 3


# -- Redis away --------------------------------------------------------------------------------------------------------


def test_without_redis_only_those_wait_who_need_it(memory: Memory) -> None:
    memory.load([event("1", offset=0, partition=p) for p in (0, 1)])
    away(memory)
    events = [event("1", offset=1, partition=0), event("2", offset=1, partition=1)]
    loaded = memory.load(events)
    assert (loaded.asked, loaded.moved, loaded.held) == (True, frozenset(), {1: 1})
    assert "Redis does not answer" in loaded.why
    memory.features(events[0])  # whose partition has all that it needs


def test_without_redis_a_row_that_was_never_read_makes_its_partition_wait(memory: Memory) -> None:
    memory.load([event("1", offset=0, partition=p, terminal="9") for p in (0, 1)])
    away(memory)
    events = [event("1", offset=1, partition=0, terminal="9"), event("1", offset=1, partition=1, terminal="8")]
    assert memory.load(events).held == {1: 1}


def test_without_redis_what_is_in_memory_goes_on(memory: Memory, client: redis.Redis, lookup: Lookup) -> None:
    load_rows(client, lookup, "b1", {"9": (3.0, 4.0)})
    memory.load([event("1", offset=0)])
    away(memory)
    one = event("1", offset=1)
    memory.refresh()
    assert memory.load([one]) == Loaded()
    assert memory.features(one).row[-2:] == (3.0, 4.0)
