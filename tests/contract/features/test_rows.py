"""Lookups in hashes and JSON that others write where they lie: read with everything else, and what bad ones get."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from app.contracts.admission import Admitted
from app.errors import RecordError
from app.features.asof import AsOf, AsOfReader
from app.features.cluster import nodes
from app.features.files import RowFile
from app.features.load import load
from app.features.lookups import Field, HashLookup, JsonLookup, Lookup, Written
from app.features.memory import Loaded, Memory
from app.features.store import Store, connect
from app.features.tables import Rows, Table, reader_of
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from tests.contract.features.memories import START, VIEW, load_rows, owning
from tests.contract.features.test_memory import trips
from tests.payments import TAKEN_MS, event

pytestmark = pytest.mark.redis

DAY_MS = 86_400_000
RISK, COUNT = Field("risk", 0.5, max_age_ms=DAY_MS), Field("count", 7.0)


@pytest.fixture
def key(client: redis.Redis, pipeline_name: str) -> Iterator[Callable[[str, str], str]]:
    """The key of an entity's row, as hash or as JSON; all go with the test."""
    yield lambda kind, entity: f"{pipeline_name}:{kind}:{entity}"
    client.delete("none", *client.scan_iter(match=f"{pipeline_name}:*", count=10_000))


@pytest.fixture
def make(pipeline_name: str, store: Store) -> Callable[..., Memory]:
    """A worker's memory with one lookup, as hash or JSON, by any of its fields."""

    def made(kind: str = "hash", *fields: Field, keep_s: float = 3600.0) -> Memory:
        layout = HashLookup if kind == "hash" else JsonLookup
        key = f"{pipeline_name}:{kind}:{{entity}}"
        lookup = layout("shop", "terminal_id", fields or (RISK, COUNT), key, written_at="at", keep_s=keep_s)
        return remembering(store, lookup)

    return made


def remembering(store: Store, *lookups: Written) -> Memory:
    pipeline = replace(FRAUD, name=store.pipeline, views=(VIEW,), lookups=lookups)
    return owning(Memory(pipeline, store, readers=[reader_of(lookup, store) for lookup in lookups]), 0, 1)


def rows_of(memory: Memory) -> Rows:
    (rows,) = memory.readers
    assert isinstance(rows, Rows)
    return rows


def looked_up(memory: Memory, *terminals: str) -> list[tuple[tuple[Any, ...], tuple[str, ...]]]:
    """What the events of one batch get of the lookup."""
    events = [event("1", offset=i, terminal=terminal) for i, terminal in enumerate(terminals)]
    assert memory.load(events).held == {}
    (reader,) = memory.readers
    return [reader.read(one) for one in events]


# -- rows as they should be --------------------------------------------------------------------------------------------


def test_a_hash_and_an_object_give_the_same_features(
    client: redis.Redis, make: Callable[..., Memory], key: Callable[[str, str], str]
) -> None:
    for entity, risk in (("1", 0.25), ("2", 0.125)):
        row = {"risk": risk, "count": 3, "at": TAKEN_MS, "more": "of others"}
        client.hset(key("hash", entity), mapping=row)  # type: ignore[arg-type]
        client.set(key("json", entity), json.dumps(row))
    for kind in ("hash", "json"):
        assert looked_up(make(kind), "1", "2", "1") == [((r, 3.0), ()) for r in (0.25, 0.125, 0.25)]


def test_all_kinds_of_lookups_and_the_states_cost_one_trip_to_each_node(
    client: redis.Redis, store: Store, lookup: Lookup, make: Callable[..., Memory], key: Callable[[str, str], str]
) -> None:
    load_rows(client, lookup, "b1", {str(i): (1.0, 2.0) for i in range(50)})
    for i in range(50):
        client.hset(key("hash", str(i)), mapping={"risk": i / 64, "count": i, "at": TAKEN_MS})
        client.set(key("json", str(i)), json.dumps({"risk": i / 64, "count": i, "at": TAKEN_MS}))
    keyed = [make(kind).pipeline.lookups[0] for kind in ("hash", "json")]
    memory = remembering(store)
    others = [reader_of(one, store) for one in (lookup, *keyed) if isinstance(one, Written)]
    memory.readers = (*others, reading_labels(store))
    memory.refresh()
    memory.load([event("1", offset=i, terminal=str(100 + i)) for i in range(50)])  # every node has a connection now
    before = trips(client)
    events = [event(str(i % 7), offset=i, partition=i % 2, terminal=str(i % 50)) for i in range(100)]
    assert memory.load(events) == Loaded(asked=True)
    assert trips(client) == [count + 1 + 1 for count in before]
    for one in events:
        i = one.offset % 50
        assert memory.features(one).row[5:11] == (1.0, 2.0, i / 64, i, i / 64, i)
    assert memory.load([event("1", offset=100, terminal="3")]) == Loaded()


def reading_labels(store: Store) -> AsOfReader:
    """A point-in-time lookup of a view that is far ahead."""
    labels = replace(FRAUD_LABELS, name=f"{store.pipeline}-labels")
    digest, theirs = labels.digest(labels.views[0]), Store(store.client, labels.name)
    for partition in range(labels.partitions):
        ahead = msgspec.structs.replace(START, digest=digest, next=9, newest_ms=TAKEN_MS)
        theirs.write(theirs.marker_key("terminal", partition, digest), None, ahead, [])
    return AsOfReader(AsOf(labels, "terminal", "terminal_id"), store, behind="mark", wait_s=1.0)


# -- rows as they should not be ----------------------------------------------------------------------------------------


def test_each_row_that_cannot_be_used_is_missing_alone_counted_and_named_once(
    client: redis.Redis,
    make: Callable[..., Memory],
    key: Callable[[str, str], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = {"risk": "0.25", "count": "3", "at": str(TAKEN_MS)}
    client.hset(key("hash", "good"), mapping=good)  # type: ignore[arg-type]
    client.hset(key("hash", "words"), mapping=good | {"risk": "SECRET"})  # type: ignore[arg-type]
    client.hset(key("hash", "more"), mapping=good | {"risk": "SECRET"})  # type: ignore[arg-type]
    client.hset(key("hash", "half"), mapping={"count": "3", "at": str(TAKEN_MS)})
    client.hset(key("hash", "timeless"), mapping={"risk": "0.25", "count": "3"})
    client.hset(key("hash", "old"), mapping=good | {"at": str(TAKEN_MS - DAY_MS - 1)})  # type: ignore[arg-type]
    client.set(key("hash", "text"), "SECRET")
    memory = make()
    with caplog.at_level(logging.WARNING):
        found = looked_up(memory, "good", "words", "more", "half", "timeless", "old", "text", "none", "good")
    assert found == [
        ((0.25, 3.0), ()),
        ((0.5, 3.0), ("defaulted",)),
        ((0.5, 3.0), ("defaulted",)),
        ((0.5, 3.0), ("defaulted",)),
        ((0.5, 3.0), ("defaulted", "stale")),
        ((0.5, 3.0), ("defaulted", "stale")),
        ((0.5, 7.0), ("defaulted",)),
        ((0.5, 7.0), ("defaulted",)),
        ((0.25, 3.0), ()),
    ]
    assert rows_of(memory).oddities.counts == {
        "not-a-number": 2, "no-field": 1, "no-time": 1, "too-old": 2, "wrong-type": 1, "no-row": 1,
    }  # fmt: skip
    said = [record.getMessage().split(";")[0] for record in caplog.records]
    assert sorted(said) == [
        "The lookup shop: a row is a value of another kind than a hash",
        "The lookup shop: the field at does not say when a row was written",
        "The lookup shop: the field risk is not a number of its type that fits into 32 bits",
    ]
    assert "SECRET" not in caplog.text


def test_an_object_that_cannot_be_used_is_no_row_and_nobody_else_is_concerned(
    client: redis.Redis, make: Callable[..., Memory], key: Callable[[str, str], str]
) -> None:
    client.set(key("json", "good"), json.dumps({"risk": 0.25, "count": 3, "at": TAKEN_MS}))
    client.set(key("json", "cut"), '{"risk":0.25,"cou')
    client.set(key("json", "nan"), json.dumps({"risk": float("nan"), "count": 3, "at": TAKEN_MS}))
    client.set(key("json", "nested"), json.dumps({"risk": {"value": 1}, "count": 3, "at": TAKEN_MS}))
    client.hset(key("json", "hash"), "risk", "1")
    memory = make("json")
    nothing = ((0.5, 7.0), ("defaulted",))
    found = looked_up(memory, "good", "cut", "nan", "nested", "hash")
    assert found == [((0.25, 3.0), ()), nothing, nothing, ((0.5, 3.0), ("defaulted",)), nothing]
    assert rows_of(memory).oddities.counts == {"not-json": 2, "not-a-number": 1, "no-row": 1}


def test_a_required_field_that_is_missing_refuses_that_event_alone_and_it_is_folded(
    client: redis.Redis, make: Callable[..., Memory], key: Callable[[str, str], str]
) -> None:
    client.hset(key("hash", "good"), mapping={"risk": "0.25", "count": "3", "at": TAKEN_MS})
    client.hset(key("hash", "old"), mapping={"risk": "0.25", "count": "3", "at": TAKEN_MS - DAY_MS - 1})
    memory = make("hash", replace(RISK, missing="required"), COUNT)
    events = [event("1", offset=i, terminal=terminal) for i, terminal in enumerate(("good", "old", "none", "good"))]
    assert memory.load(events).held == {}
    codes: list[str] = []
    for one in events:
        try:
            assert memory.features(one).row[-2:] == (0.25, 3.0)
        except RecordError as error:
            codes.append(error.code)
    assert codes == ["too-old", "missing"]
    assert len(memory.owned[0].held[0].states[b"1"].times) == 4


def test_an_age_is_that_at_the_records_time_whatever_the_clock_says(
    client: redis.Redis, make: Callable[..., Memory], key: Callable[[str, str], str]
) -> None:
    client.hset(key("hash", "9"), mapping={"risk": "0.25", "count": "3", "at": TAKEN_MS})
    memory = make()
    looked_up(memory, "9")

    def at(timestamp_ms: int) -> tuple[str, ...]:
        one = event("1", offset=1)
        return memory.readers[0].read(taken(one, timestamp_ms))[1]

    assert at(TAKEN_MS + DAY_MS) == ()
    assert at(TAKEN_MS + DAY_MS + 1) == ("defaulted", "stale")
    assert at(TAKEN_MS - DAY_MS) == ()


def taken(one: Admitted, timestamp_ms: int) -> Admitted:
    return msgspec.structs.replace(one, record=msgspec.structs.replace(one.record, timestamp_ms=timestamp_ms))


def test_a_packed_row_is_as_old_as_its_load(client: redis.Redis, store: Store, lookup: Lookup) -> None:
    dated = replace(lookup, fields=(replace(RISK, name="x"), Field("y", -1.0)))
    memory = remembering(store, dated)
    for build, marks in (
        ("20180402T120000Z-a", ()),
        ("20180401T115959Z-b", ("defaulted", "stale")),
        ("c", ("defaulted", "stale")),
    ):
        load_rows(client, dated, build, {"9": (0.25, 3.0)})
        memory.refresh()
        assert looked_up(memory, "9") == [((0.25 if not marks else 0.5, 3.0), marks)]


def test_a_packed_row_with_a_number_that_is_none_is_missing_that_one(
    client: redis.Redis, store: Store, lookup: Lookup
) -> None:
    memory = remembering(store, lookup)
    load_rows(client, lookup, "b1", {"1": (float("nan"), 3.0), "2": (float("inf"), float("-inf"))})
    client.hset(lookup.row_key("b1", "3"), "x", "1")
    assert looked_up(memory, "1", "2", "3") == [
        ((0.5, 3.0), ("defaulted",)), ((0.5, -1.0), ("defaulted",)), ((0.5, -1.0), ("defaulted",)),
    ]  # fmt: skip
    table = memory.readers[0]
    assert isinstance(table, Table)
    assert table.oddities.counts == {"not-a-number": 3, "no-row": 1}


# -- rows that change --------------------------------------------------------------------------------------------------


def test_a_row_is_read_again_when_it_has_been_in_memory_for_as_long_as_is_declared(
    client: redis.Redis, make: Callable[..., Memory], key: Callable[[str, str], str]
) -> None:
    kept, fleeting = make(), make(keep_s=0.0)
    for risk in ("0.25", "0.125"):
        client.hset(key("hash", "9"), mapping={"risk": risk, "count": "3", "at": TAKEN_MS})
        assert looked_up(kept, "9") == [((0.25, 3.0), ())]
        assert looked_up(fleeting, "9", "9") == [((float(risk), 3.0), ())] * 2


def test_rows_in_memory_are_bounded(client: redis.Redis, make: Callable[..., Memory]) -> None:
    memory = make()
    rows = rows_of(memory)
    rows._most = 3
    for first in range(0, 20, 2):
        looked_up(memory, *(str(first + i) for i in range(3)))
        memory.refresh()
        assert len(rows.rows) <= 3


# -- Redis away --------------------------------------------------------------------------------------------------------


def away(memory: Memory) -> None:
    memory.store = Store(connect("redis://127.0.0.1:1/0", timeout_s=0.2), memory.pipeline.name)


def test_without_redis_rows_in_memory_serve_on_and_others_wait(
    client: redis.Redis, make: Callable[..., Memory], key: Callable[[str, str], str]
) -> None:
    client.hset(key("hash", "9"), mapping={"risk": "0.25", "count": "3", "at": TAKEN_MS})
    memory = make(keep_s=0.0)
    looked_up(memory, "9")
    away(memory)
    one, other = event("1", offset=1, terminal="9"), event("1", offset=2, terminal="8")
    loaded = memory.load([one, other])
    assert loaded.held == {0: 2}
    assert "Redis does not answer" in loaded.why
    assert memory.features(one).row[-2:] == (0.25, 3.0)


def test_without_redis_nobody_waits_for_a_lookup_that_degrades(
    client: redis.Redis, make: Callable[..., Memory], key: Callable[[str, str], str]
) -> None:
    client.hset(key("hash", "9"), mapping={"risk": "0.25", "count": "3", "at": TAKEN_MS})
    fields = [replace(field, missing="degrade") for field in (RISK, COUNT)]
    memory = make("hash", *fields)
    looked_up(memory, "9")
    there = memory.store
    away(memory)
    events = [event("1", offset=1 + i, terminal=terminal) for i, terminal in enumerate(("9", "8"))]
    assert memory.load(events).held == {}
    assert [rows_of(memory).read(one) for one in events] == [((0.25, 3.0), ()), ((0.5, 7.0), ("degraded",))]
    client.hset(key("hash", "8"), mapping={"risk": "0.125", "count": "3", "at": TAKEN_MS})
    memory.store, rows_of(memory)._quiet_until = there, 0.0
    assert looked_up(memory, "8") == [((0.125, 3.0), ())]


def test_a_redis_that_is_away_is_not_asked_at_every_batch_for_what_can_be_gone_without(
    make: Callable[..., Memory],
) -> None:
    memory = make("hash", replace(RISK, missing="degrade"))
    looked_up(memory, "9")
    away(memory)
    batches = [[event("1", offset=i, terminal=str(100 + i))] for i in range(5)]
    assert [memory.load(batch).asked for batch in batches] == [True, False, False, False, False]


# -- a load on either server -------------------------------------------------------------------------------------------


def test_a_load_serves_whole_and_old_builds_go(
    client: redis.Redis, lookup: Lookup, store: Store, tmp_path: Path
) -> None:
    memory = remembering(store, lookup)
    file = tmp_path / "rows.jsonl"
    for risk in (0.25, 0.5, 0.75):
        file.write_text("".join(json.dumps({"terminal_id": i, "x": risk, "y": i}) + "\n" for i in range(2500)))
        done = load(client, lookup, RowFile(file))
        memory.refresh()
        assert looked_up(memory, "7", "2499") == [((risk, 7.0), ()), ((risk, 2499.0), ())]
    left = [key.decode().split("/")[2] for node in nodes(client) for key in node.scan_iter(f"{lookup.rows}*", 10_000)]
    assert {build: left.count(build) for build in left} == {done.build: 2500, done.before: 2500}
