"""What a worker remembers of its partitions: read in one round trip, and what it does while Redis is away."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import msgspec
import pytest
import redis

from app.features.cluster import nodes
from app.features.held import Flushed, Held
from app.features.lookups import Lookup
from app.features.memory import Loaded, Memory, Owned
from app.features.store import Store
from app.pipeline import Pipeline
from tests.contract.features.memories import DEFAULTS, START, VIEW, load_rows, memory_of, owning, table_of
from tests.payments import NOON_MS, event

pytestmark = pytest.mark.redis


def calls(client: redis.Redis, command: str) -> int:
    """Of all nodes together."""
    told = [cast("dict[str, dict[str, int]]", node.info("commandstats")) for node in nodes(client)]
    return sum(one.get(f"cmdstat_{command}", {}).get("calls", 0) for one in told)


def trips(client: redis.Redis) -> list[int]:
    """For each node, how many times it has read from a client; asking is one more."""
    return [cast("dict[str, int]", node.info("stats"))["total_reads_processed"] for node in nodes(client)]


# -- one round trip ----------------------------------------------------------------------------------------------------


def test_a_batch_costs_one_read_whatever_is_in_it(memory: Memory, client: redis.Redis, lookup: Lookup) -> None:
    load_rows(client, lookup, "b1", {str(i): (1.0, 2.0) for i in range(50)})
    memory.refresh()
    trips(client)  # every node has a connection now
    before, trips_before = calls(client, "mget"), trips(client)
    events = [event(str(i % 7), offset=i, partition=i % 2, terminal=str(i % 50)) for i in range(100)]
    assert memory.load(events) == Loaded(asked=True)
    assert trips(client) == [count + 1 + 1 for count in trips_before]
    if len(nodes(client)) == 1:
        assert calls(client, "mget") == before + 1
    for one in events:
        memory.features(one)


def test_what_is_in_memory_is_not_asked_for_again(memory: Memory, client: redis.Redis) -> None:
    memory.load([event("1", offset=0)])
    before = calls(client, "mget")
    assert memory.load([event("1", offset=1)]) == Loaded()
    assert calls(client, "mget") == before


def test_catching_up_reads_no_lookups(memory: Memory) -> None:
    events = [event("1", offset=0, terminal="9")]
    assert memory.load(events, lookups=False) == Loaded(asked=True)
    memory.fold_only(events)
    assert table_of(memory).rows == {}
    assert memory.owned[0].held[0].states[b"1"].times == [NOON_MS]


# -- a row of features -------------------------------------------------------------------------------------------------


def test_a_row_has_the_event_s_the_view_s_and_the_lookup_s_columns_in_order(
    memory: Memory, client: redis.Redis, lookup: Lookup
) -> None:
    load_rows(client, lookup, "b1", {"9": (3.0, 4.0)})
    one = event("1", offset=99)  # one currency unit
    memory.load([one])
    found = memory.features(one)
    assert found.row == (1.0, 1.0, 0.0, 1.0, 1.0, 3.0, 4.0)
    assert len(found.row) == len(memory.pipeline.features)
    assert found.marks == ()


def test_a_row_that_is_not_there_is_its_defaults_and_marked(
    memory: Memory, client: redis.Redis, lookup: Lookup
) -> None:
    load_rows(client, lookup, "b1", {"8": (3.0, 4.0)})
    one = event("1", offset=0)
    memory.load([one])
    found = memory.features(one)
    assert found.row[-2:] == DEFAULTS
    assert found.marks == ("defaulted",)


def test_a_row_of_another_width_is_as_good_as_none(memory: Memory, client: redis.Redis, lookup: Lookup) -> None:
    load_rows(client, lookup, "b1", {})
    client.set(lookup.row_key("b1", "9"), b"123456789012")
    one = event("1", offset=0)
    memory.load([one])
    assert memory.features(one).marks == ("defaulted",)


def test_a_lookup_that_was_never_loaded_is_all_defaults(memory: Memory) -> None:
    one = event("1", offset=0)
    memory.load([one])
    assert memory.features(one).row[-2:] == DEFAULTS


def test_an_event_behind_a_newer_one_is_marked_late(memory: Memory, client: redis.Redis, lookup: Lookup) -> None:
    load_rows(client, lookup, "b1", {"9": (3.0, 4.0)})
    events = [event("1", offset=i, time_ms=NOON_MS - i) for i in range(2)]
    memory.load(events)
    assert [memory.features(one).marks for one in events] == [(), ("late",)]


def test_an_event_that_looks_back_on_deleted_records_is_marked_incomplete(
    memory: Memory, client: redis.Redis, lookup: Lookup
) -> None:
    load_rows(client, lookup, "b1", {"9": (3.0, 4.0)})
    (held,) = memory.owned[0].held
    cut = msgspec.structs.replace(START, since=10)
    memory.store.write(held.marker_key, START, cut, [])
    memory.owned[0] = Owned((Held(VIEW, 0, memory.store, cut),), 10)
    events = [event("1", offset=10 + i, time_ms=NOON_MS + at) for i, at in enumerate((0, 59, 60))]
    memory.load(events)
    assert [memory.features(one).marks for one in events] == [("incomplete",), ("incomplete",), ()]


# -- the state of others -----------------------------------------------------------------------------------------------


def test_only_the_partition_whose_state_moved_is_told(memory: Memory) -> None:
    key = memory.store.marker_key("customer", 0, START.digest)
    memory.store.write(key, START, msgspec.structs.replace(START, next=5), [])
    events = [event("1", offset=0, partition=p) for p in (0, 1)]
    loaded = memory.load(events)
    assert loaded.moved == {0}
    assert loaded.held == {}
    assert b"1" not in memory.owned[0].held[0].states  # nothing of another's state is believed
    assert b"1" in memory.owned[1].held[0].states


def test_a_marker_that_is_gone_has_moved(memory: Memory, client: redis.Redis) -> None:
    client.delete(memory.store.marker_key("customer", 1, START.digest))
    assert memory.load([event("1", offset=0, partition=1)]).moved == {1}


# -- flushes -----------------------------------------------------------------------------------------------------------


def test_a_flush_writes_one_partition_and_makes_room(pipeline: Pipeline, store: Store, lookup: Lookup) -> None:
    memory = owning(memory_of(pipeline, store, entities=4), 0, 1)
    events = [event(str(i), offset=i, partition=p) for p in (0, 1) for i in range(5)]
    memory.load(events)
    for one in events:
        memory.features(one)
    for owned in memory.owned.values():
        owned.next_offset = 5
    assert (memory.dirty(0), memory.dirty(1), memory.flushed(0)) == (5, 5, False)
    assert memory.flush(0) is Flushed.DONE
    assert (memory.dirty(0), memory.dirty(1)) == (0, 5)
    assert (memory.flushed(0), memory.flushed(1)) == (True, False)
    assert len(memory.owned[0].held[0].states) == 2  # four, shared by two partitions
    assert len(memory.owned[1].held[0].states) == 5  # all dirty still


def test_what_was_shed_comes_back_as_it_was(pipeline: Pipeline, store: Store, lookup: Lookup) -> None:
    memory = owning(memory_of(pipeline, store, entities=0), 0)
    for i in range(3):
        one = event("1", offset=i, time_ms=NOON_MS + i)
        memory.load([one])
        assert memory.features(one).row[3] == i + 1.0
        memory.owned[0].next_offset = i + 1
        memory.flush(0)
        assert memory.owned[0].held[0].states == {}


def test_a_view_that_is_further_than_another_folds_nothing_twice(pipeline: Pipeline, store: Store) -> None:
    other = replace(VIEW, name="other")
    memory = Memory(replace(pipeline, views=(VIEW, other), lookups=()), store)
    ahead = msgspec.structs.replace(START, next=2)
    for view, marker in ((VIEW, START), (other, ahead)):
        store.write(store.marker_key(view.name, 0, marker.digest), None, marker, [])
    memory.owned[0] = Owned((Held(VIEW, 0, store, START), Held(other, 0, store, ahead)), 0)
    events = [event("1", offset=i, time_ms=NOON_MS + i) for i in range(3)]
    memory.load(events)
    memory.fold_only(events)
    first, second = memory.owned[0].held
    assert first.states[b"1"].times == [NOON_MS, NOON_MS + 1, NOON_MS + 2]
    assert second.states[b"1"].times == [NOON_MS + 2]
