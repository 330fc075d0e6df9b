"""Filling lookups in a real Redis, and looking at what it has of one entity."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow
import pytest
import redis
from pyarrow import parquet
from typer.testing import CliRunner, Result

from app.cli.main import cli
from app.errors import Refused, Unavailable
from app.features import load as loading
from app.features.entity import Folded, Row, declared, folded, row
from app.features.files import RowFile
from app.features.load import load
from app.features.lookups import Field, HashLookup, JsonLookup, Lookup
from app.features.marker import Marker
from app.features.store import PREFIX, Store, connect
from app.pipelines import PIPELINES
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from tests.payments import event

pytestmark = pytest.mark.redis


@pytest.fixture
def client(server_url: str) -> Iterator[redis.Redis]:
    with connect(server_url) as client:
        yield client


@pytest.fixture
def lookup() -> Lookup:
    return Lookup(f"shop-{uuid.uuid4().hex[:8]}", key="shop_id", fields=(Field("size"), Field("risk")))


def written(folder: Path, values: dict[str, float]) -> RowFile:
    file = folder / "rows.csv"
    file.write_text("shop_id,risk,size\n" + "".join(f"{entity},{value},1\n" for entity, value in values.items()))
    return RowFile(file)


def risk(client: redis.Redis, lookup: Lookup, entity: str) -> float | None:
    found = row(client, lookup, entity)
    return None if found is None else found.values["risk"]


def builds(client: redis.Redis, lookup: Lookup) -> set[str]:
    """The builds that have rows."""
    prefix = lookup.rows
    names = [bytes(key).decode().removeprefix(prefix) for key in client.scan_iter(match=f"{prefix}*", count=10_000)]
    return {name.split("/")[0] for name in names if "/" in name}


def test_what_is_loaded_is_what_serves(client: redis.Redis, lookup: Lookup, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=f"`streaminfer features load {lookup.name} "):
        row(client, lookup, "1")
    done = load(client, lookup, written(tmp_path, {"1": 0.5, "2": 0.25}))

    assert (done.rows, done.before) == (2, None)
    assert row(client, lookup, "1") == Row(done.build, {"size": 1.0, "risk": 0.5})
    assert risk(client, lookup, "2") == 0.25
    assert row(client, lookup, "3") is None


def test_a_load_replaces_the_whole_table_and_keeps_one_build_before_it(
    client: redis.Redis, lookup: Lookup, tmp_path: Path
) -> None:
    first = load(client, lookup, written(tmp_path, {"1": 0.1, "gone": 0.1}))
    second = load(client, lookup, written(tmp_path, {"1": 0.2}))
    assert (second.before, risk(client, lookup, "gone")) == (first.build, None)
    assert risk(client, lookup, "1") == pytest.approx(0.2)
    assert builds(client, lookup) == {first.build, second.build}
    third = load(client, lookup, written(tmp_path, {"1": 0.3}))

    assert builds(client, lookup) == {second.build, third.build}


def test_a_file_with_anything_wrong_changes_nothing(client: redis.Redis, lookup: Lookup, tmp_path: Path) -> None:
    good = load(client, lookup, written(tmp_path, {"1": 0.1}))
    many = {str(i): 0.5 for i in range(2 * loading.SLICE)}
    bad = written(tmp_path, many | {"last": float("nan")})
    with pytest.raises(Refused, match=f"line {len(many) + 2}: risk"):
        load(client, lookup, bad)
    (tmp_path / "twice.csv").write_text("shop_id,risk,size\n1,1,1\n1,1,1\n")
    with pytest.raises(Refused, match="'1' twice"):
        load(client, lookup, RowFile(tmp_path / "twice.csv"))
    with pytest.raises(Refused, match="no rows"):
        load(client, lookup, written(tmp_path, {}))

    assert builds(client, lookup) == {good.build}
    assert risk(client, lookup, "1") == pytest.approx(0.1)


class Killed(BaseException):
    """Ends a load where it stands."""


def kill(rows: int) -> None:
    raise Killed


def test_the_rows_of_a_load_that_was_killed_never_serve_and_go_with_the_next_load(
    client: redis.Redis, lookup: Lookup, tmp_path: Path
) -> None:
    first = load(client, lookup, written(tmp_path, {"1": 0.1}))
    with pytest.raises(Killed):
        load(client, lookup, written(tmp_path, {"1": 0.9}), progress=kill)
    assert len(builds(client, lookup)) == 2
    assert risk(client, lookup, "1") == pytest.approx(0.1)
    second = load(client, lookup, written(tmp_path, {"1": 0.2}))

    assert builds(client, lookup) == {first.build, second.build}


def test_two_loads_at_once_do_not_mix(client: redis.Redis, lookup: Lookup, tmp_path: Path) -> None:
    refusals: list[str] = []

    def second(_: int) -> None:
        with pytest.raises(Refused) as refused:
            load(client, lookup, RowFile(tmp_path / "rows.csv"))
        refusals.append(str(refused.value))

    load(client, lookup, written(tmp_path, {"1": 0.1}), progress=second)

    assert len(refusals) == 1
    assert "Another load" in refusals[0]
    load(client, lookup, written(tmp_path, {"1": 0.2}))


def test_a_load_that_lost_its_lock_does_not_turn_the_pointer(
    client: redis.Redis, lookup: Lookup, tmp_path: Path
) -> None:
    before = load(client, lookup, written(tmp_path, {"1": 0.1}))

    def take_over(_: int) -> None:
        client.set(f"{lookup.tag}/loading", "another")

    with pytest.raises(Refused, match="has taken over"):
        load(client, lookup, written(tmp_path, {"1": 0.2}), progress=take_over)

    assert client.get(lookup.pointer) == before.build.encode()
    assert client.get(f"{lookup.tag}/loading") == b"another"


def test_a_file_that_changes_while_it_is_loaded_changes_nothing(
    client: redis.Redis, lookup: Lookup, tmp_path: Path
) -> None:
    before = load(client, lookup, written(tmp_path, {"1": 0.1}))
    many = {str(i): 0.5 for i in range(2 * loading.SLICE)}
    file = written(tmp_path, many)

    def add(_: int) -> None:
        with file.path.open("a") as more:
            more.write("0,0.5,1\n")

    with pytest.raises(Refused, match="changed while it was loaded"):
        load(client, lookup, file, progress=add)
    assert client.get(lookup.pointer) == before.build.encode()
    assert client.get(f"{lookup.tag}/loading") is None


def test_each_format_loads_the_same(client: redis.Redis, lookup: Lookup, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"shop_id":"1","risk":0.5,"size":1}\n')
    parquet.write_table(pyarrow.table({"shop_id": [1], "risk": [0.5], "size": [1]}), tmp_path / "rows.parquet")
    for file in (written(tmp_path, {"1": 0.5}), RowFile(tmp_path / "rows.jsonl"), RowFile(tmp_path / "rows.parquet")):
        done = load(client, lookup, file)
        assert row(client, lookup, "1") == Row(done.build, {"size": 1.0, "risk": 0.5})


def test_a_hash_and_an_object_are_shown_as_they_are(client: redis.Redis, lookup: Lookup) -> None:
    client.hset(f"{lookup.name}:1", mapping={"size": "1", "risk": "none", "at": "17"})
    client.set(f"{lookup.name}:2", '{"size":1,"at":17}')
    for entity, layout in (("1", HashLookup), ("2", JsonLookup)):
        keyed = layout(lookup.name, lookup.key, lookup.fields, f"{lookup.name}:{{entity}}", written_at="at")
        assert row(client, keyed, entity) == Row(None, {"size": 1.0, "risk": None}, 17)
        assert row(client, keyed, "3") is None


def test_the_command_loads_shows_and_refuses(
    client: redis.Redis, lookup: Lookup, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed = HashLookup(f"{lookup.name}-live", "terminal_id", lookup.fields, f"{lookup.name}:{{entity}}")
    loaded = Lookup(lookup.name, "terminal_id", (Field("open", type="bool"),))
    monkeypatch.setitem(PIPELINES, "shops", replace(FRAUD, name="shops", views=(), lookups=(loaded, keyed)))
    file = tmp_path / "rows.txt"
    file.write_text('{"terminal_id":3156,"open":true}\n')

    def ran(*words: str) -> Result:
        return CliRunner().invoke(cli, ["features", *words, "--redis", server_url])

    assert "add --format csv, jsonl or parquet" in ran("load", loaded.name, "--file", str(file)).stderr
    done = ran("load", loaded.name, "--file", str(file), "--format", "jsonl", "--json")
    assert (done.exit_code, json.loads(done.stdout)["rows"]) == (0, 1)
    shown = json.loads(ran("get", loaded.name, "3156", "--json").stdout)
    assert (shown["values"], shown["build"]) == ({"open": 1.0}, json.loads(done.stdout)["build"])
    assert ran("get", loaded.name, "9").exit_code == 1
    client.hset(f"{lookup.name}:1", "size", "2")
    shown = json.loads(ran("get", keyed.name, "1", "--json").stdout)
    assert shown["values"] == {"size": 2.0, "risk": None}
    refused = ran("load", keyed.name, "--file", str(file))
    assert (refused.exit_code, "written by others where it lies" in refused.stderr) == (2, True)
    assert ran("rebuild", keyed.name).exit_code == 2
    client.delete(f"{lookup.name}:1")


def test_a_redis_that_is_away_is_told(lookup: Lookup, tmp_path: Path) -> None:
    with connect("redis://127.0.0.1:1/0") as away:
        with pytest.raises(Unavailable, match="Redis does not answer"):
            load(away, lookup, written(tmp_path, {"1": 0.1}))
        with pytest.raises(Unavailable, match="Redis does not answer"):
            row(away, lookup, "1")


def test_views_and_lookups_are_found_by_name() -> None:
    assert declared(PIPELINES, "customer") == (FRAUD, FRAUD.views[0])
    assert declared(PIPELINES, "terminal") == (FRAUD_LABELS, FRAUD_LABELS.views[0])
    with pytest.raises(Refused, match="there is customer, terminal, history"):
        declared(PIPELINES, "nonsense")


def test_an_entitys_state_is_read_as_of_its_partitions_marker(client: redis.Redis) -> None:
    view = FRAUD.views[0]
    store = Store(client, f"test-{uuid.uuid4().hex[:12]}")
    state = view.new()
    payment = event("596", offset=6, partition=2)
    view.fold(state, payment.event, payment.time_ms)
    marker = Marker("topic", 6, "build", "digest", 0, 7, payment.time_ms, payment.time_ms)
    blob = PREFIX.pack(7) + view.pack(state)
    name = store.blob_key(view.name, 2, "build")
    assert store.write(store.marker_key(view.name, 2, "digest"), None, marker, [(f"{name}596", blob)]) == marker

    found = folded(store, view, "596", digest="digest", partitions=6)
    assert found == Folded(2, "build", 7, view.describe(state))
    assert folded(store, view, "2", digest="digest", partitions=6) is None
    with pytest.raises(Refused, match="Nothing of partition 2"):
        folded(store, view, "596", digest="another declaration", partitions=6)
    with pytest.raises(Refused, match=f"run {store.pipeline} first"):
        folded(store, view, "5", digest="digest", partitions=6)
