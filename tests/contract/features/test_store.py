"""The fenced write, on a server and on what stands for one offline: who may write, what is kept, what silence means."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import redis
from msgspec.structs import replace

from app.errors import Refused, Unavailable
from app.features.cluster import nodes, slot_of
from app.features.kept import Kept
from app.features.marker import Marker
from app.features.reader import Ask
from app.features.store import PREFIX, SLICE, Store, connect
from tests.contract.features.lossy import ON_ONE_SERVER, LossyWay

pytestmark = pytest.mark.redis

M0 = Marker("topic-1", 6, "b1", "d1", since=0, next=0)
M5 = replace(M0, next=5, newest_ms=1_000)
Contents = Callable[[], dict[bytes, bytes | None]]


# What stands beside a server in offline scoring must give the same answers.
BOTH = pytest.mark.parametrize("client", ["server", "process"], indirect=True)


@pytest.fixture
def client(request: pytest.FixtureRequest, server_url: str) -> Iterator[redis.Redis]:
    if getattr(request, "param", "server") == "process":
        yield Kept().client
        return
    with connect(server_url) as client:
        yield client


@pytest.fixture
def contents(client: redis.Redis, contents: Contents) -> Contents:
    """All that is held for this test."""
    here: object = client
    return (lambda: dict(here.values)) if isinstance(here, Kept) else contents


def blob(next_offset: int, body: bytes = b"") -> bytes:
    return PREFIX.pack(next_offset) + body


@pytest.fixture
def key(store: Store) -> str:
    return store.marker_key("view", 3, M0.digest)


@pytest.fixture
def entity(store: Store) -> str:
    return store.blob_key("view", 3, "b1") + "596"


@BOTH
def test_the_first_owner_writes_where_nothing_is(store: Store, key: str) -> None:
    assert store.markers("view", [3], M0.digest) == [None]
    assert store.write(key, None, M0, []) == M0
    assert store.markers("view", [2, 3], M0.digest) == [None, M0]


@BOTH
def test_who_comes_second_writes_nothing_and_learns_who_was_first(store: Store, key: str, contents: Contents) -> None:
    store.write(key, None, M0, [])
    before = contents()
    theirs = replace(M0, build="b2")
    assert store.write(key, None, theirs, [(store.blob_key("view", 3, "b2") + "596", blob(1))]) == M0
    assert contents() == before


@BOTH
def test_blobs_and_marker_move_together(store: Store, key: str, entity: str) -> None:
    store.write(key, None, M0, [])
    assert store.write(key, M0, M5, [(entity, blob(5, b"state"))]) == M5
    assert store.mget([key, entity]) == [M5.encode(), blob(5, b"state")]


@BOTH
def test_a_slice_that_is_not_the_last_leaves_the_marker(store: Store, key: str, entity: str) -> None:
    store.write(key, None, M0, [])
    assert store.write(key, M0, None, [(entity, blob(5, b"state"))]) == M0
    assert store.mget([key, entity]) == [M0.encode(), blob(5, b"state")]


@BOTH
def test_a_zombie_s_late_flush_writes_nothing(store: Store, key: str, entity: str, contents: Contents) -> None:
    store.write(key, None, M0, [])
    store.write(key, M0, M5, [(entity, blob(4))])
    before = contents()
    assert store.write(key, M0, replace(M0, next=9), [(entity, blob(9)), (entity + "x", blob(9))]) == M5
    assert store.write(key, M0, None, [(entity, blob(9))]) == M5
    assert contents() == before


@BOTH
def test_a_marker_that_is_gone_refuses_its_owner(store: Store, key: str, entity: str, contents: Contents) -> None:
    assert store.write(key, M0, M5, [(entity, blob(5))]) is None
    assert contents() == {}


@BOTH
@pytest.mark.parametrize(
    ("there", "comes", "stays"),
    [
        (7, 6, 7),
        (7, 7, 7),
        (7, 8, 8),
        (2**40, 2**40 - 1, 2**40),
        (2**40, 2**40 + 1, 2**40 + 1),
        (255, 256, 256),
        (256, 255, 256),
    ],
)
def test_no_older_blob_replaces_a_newer(
    store: Store, key: str, entity: str, there: int, comes: int, stays: int
) -> None:
    store.write(key, None, M0, [(entity, blob(there, b"there"))])
    store.write(key, M0, None, [(entity, blob(comes, b"comes"))])
    assert store.mget([entity]) == [blob(stays, b"there" if stays == there else b"comes")]


@BOTH
def test_a_slice_of_the_largest_size_passes(store: Store, key: str, entity: str) -> None:
    blobs = [(f"{entity}.{i}", blob(i, b"x" * 2000)) for i in range(SLICE)]
    assert store.write(key, None, M5, blobs) == M5
    assert store.mget([name for name, _ in blobs]) == [value for _, value in blobs]


@BOTH
def test_entities_may_have_any_bytes(store: Store, key: str) -> None:
    prefix = store.blob_key("view", 3, "b1").encode()
    names = [prefix + bytes(range(256)), prefix + b"}{", prefix + "é".encode()]
    store.write(key, None, M5, [(name, blob(i, name)) for i, name in enumerate(names)])
    assert store.mget(names) == [blob(i, name) for i, name in enumerate(names)]


def test_keys_of_a_partition_share_a_slot_and_no_two_partitions_share_a_key(store: Store, client: redis.Redis) -> None:
    slots = {slot_of(key) for key in (store.marker_key("v", 1, "d"), store.blob_key("v", 1, "b") + "}{")}
    assert len(slots) == 1
    other = Store(client, store.pipeline + "2")
    keys = {it.marker_key(view, p, "d") for it in (store, other) for view in ("v", "w") for p in (1, 11)}
    assert len(keys) == 8


@BOTH
def test_a_value_that_is_no_marker_is_refused_by_name(store: Store, key: str, client: redis.Redis) -> None:
    client.set(key, "something else")
    with pytest.raises(Refused, match=r"/marker does not hold a marker of view; .*features rebuild view"):
        store.markers("view", [3], M0.digest)


@ON_ONE_SERVER
def test_a_lost_answer_is_told_at_once_and_nothing_is_tried_twice(
    store: Store, lossy_store: Store, way: LossyWay, key: str
) -> None:
    """The second try of a write that was done would find its own marker and take it for another's."""
    way.lose()
    with pytest.raises(Unavailable, match="Redis does not answer"):
        lossy_store.write(key, None, M0, [])
    assert way.flushes == 1
    assert store.markers("view", [3], M0.digest) == [M0]
    assert lossy_store.write(key, M0, M5, []) == M5  # and the next call makes a connection of its own


def test_a_server_that_is_away_is_unavailable_to_all(client: redis.Redis) -> None:
    with connect("redis://127.0.0.1:1/0", timeout_s=0.2) as nowhere:
        store = Store(nowhere, "nobody")
        with pytest.raises(Unavailable):
            store.mget(["key"])
        with pytest.raises(Unavailable):
            store.markers("view", [0], M0.digest)
        with pytest.raises(Unavailable):
            store.write("key", None, M0, [])
        with pytest.raises(Unavailable):
            store.refuse_eviction()


def test_many_answers_that_trickle_in_are_given_up(way: LossyWay, pipeline_name: str) -> None:
    """Each comes in time, and all of them would take a minute."""
    with connect(way.url, timeout_s=0.5) as slow:
        store = Store(slow, pipeline_name)
        asks = [Ask([f"{pipeline_name}:{i}" for i in range(100)], ["field"])]
        assert store.read(asks) == [[[None]] * 100]
        way.a_byte_each_s = 0.05
        began = time.monotonic()
        with pytest.raises(Unavailable, match="takes too long"):
            store.read(asks)
        assert time.monotonic() - began < 20.0  # no measure of speed
        way.a_byte_each_s = 0.0
        assert store.read(asks) == [[[None]] * 100]  # on a connection of its own


def test_nothing_wanted_is_nothing_asked() -> None:
    with connect("redis://127.0.0.1:1/0", timeout_s=0.2) as nowhere:
        assert Store(nowhere, "nobody").mget([]) == []


def test_a_server_that_forgot_the_script_is_told_again(store: Store, key: str, client: redis.Redis) -> None:
    store.write(key, None, M0, [])
    for node in nodes(client):
        node.script_flush()
    assert store.write(key, M0, M5, []) == M5


def test_a_server_that_may_evict_state_is_refused(store: Store, client: redis.Redis) -> None:
    store.refuse_eviction()
    last = nodes(client)[-1]  # of a cluster, any node is enough
    last.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(Refused, match=r"allkeys-lru.*set it to noeviction"):
            store.refuse_eviction()
    finally:
        last.config_set("maxmemory-policy", "noeviction")
