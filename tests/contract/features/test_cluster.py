"""A Redis Cluster that is harmed: nodes that hang, die, fail over, slots that move; nothing is lost, nothing hangs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from app.errors import Refused, Unavailable
from app.features.cluster import Cluster, nodes
from app.features.held import Flushed
from app.features.lookups import Field, HashLookup
from app.features.memory import Memory
from app.features.reader import Ask
from app.features.store import PREFIX, Store, connect
from app.features.tables import Rows
from app.local.leash import Leash
from app.pipelines.fraud import FRAUD
from tests.cluster import RedisCluster, until
from tests.contract.features.lossy import LossyWay
from tests.contract.features.memories import START, VIEW, owning
from tests.payments import NOON_MS, event

pytestmark = pytest.mark.redis

TIMEOUT_S = 0.3
BOUND_S = 10.0  # what hangs without a time-out would never end; this is no measure of speed
SHOPS = HashLookup("shop", "terminal_id", (Field("risk"),), rows="shop:{entity}", keep_s=0.0)
NEXT = msgspec.structs.replace(START, next=5)


@pytest.fixture
def frail(tmp_path: Path, leash: Leash) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path / "cluster", leash, durable=True)
    yield cluster
    cluster.stop()


@pytest.fixture
def with_replicas(tmp_path: Path, leash: Leash) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path / "cluster", leash, replicas=True)
    yield cluster
    cluster.stop()


def store_of(cluster: RedisCluster) -> Store:
    return Store(connect(cluster.url, timeout_s=TIMEOUT_S), "harmed")


def remembering(store: Store) -> Memory:
    pipeline = replace(FRAUD, name="harmed", views=(VIEW,), lookups=(SHOPS,))
    return owning(Memory(pipeline, store, readers=[Rows(SHOPS)]), 0, 1, 2)


def fold(memory: Memory, first: int) -> None:
    """Two payments of each of three customers in each partition."""
    events = [event(str(i % 3), offset=first + i, partition=p, time_ms=NOON_MS + i) for p in range(3) for i in range(6)]
    loaded = memory.load(events)
    assert (loaded.held, loaded.moved) == ({}, frozenset())
    for one in events:
        memory.features(one)
    for owned in memory.owned.values():
        owned.next_offset = first + 6


def unavailable(call: Callable[[], object]) -> str:
    """What it says, within its time."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as told:
        call()
    assert time.monotonic() - began < BOUND_S
    return str(told.value)


def connections(client: redis.Redis) -> list[Any]:
    assert isinstance(client, Cluster)
    pools: list[Any] = [node.connection_pool for node in client._known.values()]
    return [connection for pool in pools for connection in pool._available_connections]


def flushes(cluster: RedisCluster, port: int) -> int:
    with cluster.node(port) as node:
        told = node.info("commandstats")
    return sum(told.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


def stored(store: Store, memory: Memory) -> bool:
    """Whether Redis has every state as memory has it."""
    for owned in memory.owned.values():
        for held in owned.held:
            marker, *blobs = store.mget([held.marker_key, *map(held.key, held.states)])
            assert marker == held.marker.encode()
            states = held.states.values()
            assert blobs == [PREFIX.pack(state.next_offset) + VIEW.pack(state) for state in states]
    return True


# -- addresses ---------------------------------------------------------------------------------------------------------


def test_a_cluster_that_is_named_as_one_server_is_refused_and_the_other_way_round(
    cluster: RedisCluster, redis_url: str
) -> None:
    node = connect(cluster.url.split(",")[0].replace("redis+cluster", "redis"))
    with pytest.raises(Refused, match=r"write redis\+cluster:// in its address"):
        Store(node, "x").refuse_eviction()
    single = connect(redis_url.replace("redis://", "redis+cluster://"))
    with pytest.raises(Refused, match="write redis:// in its address"):
        Store(single, "x").refuse_eviction()
    node.close()
    single.close()


@pytest.mark.parametrize(
    "url", ["redis+cluster://", "redis+cluster://h:port", "redis+cluster://h/1", "http://h", "", "redis://h:port"]
)
def test_what_is_no_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(Refused, match=r"address|one database"):
        connect(url)


def test_hosts_may_come_without_a_port_and_with_a_password() -> None:
    client = connect("rediss+cluster://user:pass@one,two:7001,[::1]/0?ssl_cert_reqs=none")
    assert isinstance(client, Cluster)
    assert list(client._known) == ["one:6379", "two:7001", "[::1]:6379"]
    kwargs = client._known["two:7001"].connection_pool.connection_kwargs
    assert [kwargs[name] for name in ("host", "port", "username", "password")] == ["two", 7001, "user", "pass"]
    assert client._known["two:7001"].connection_pool.connection_class is redis.SSLConnection
    client.close()


def test_any_node_that_answers_is_enough_to_find_the_others(cluster: RedisCluster) -> None:
    with connect(f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.ports[2]}") as client:
        Store(client, "x").refuse_eviction()
        assert len(nodes(client)) == 3
    with connect("redis+cluster://127.0.0.1:1,127.0.0.1:2", timeout_s=TIMEOUT_S) as nowhere:
        assert "Redis does not answer" in unavailable(lambda: Store(nowhere, "x").mget(["key"]))


def test_what_is_a_matter_of_each_node_is_not_asked_of_one(cluster: RedisCluster) -> None:
    with connect(cluster.url) as client:
        for call in (client.flushall, client.info, client.dbsize, lambda: client.config_set("save", "")):
            with pytest.raises(redis.RedisClusterException, match="each node"):
                call()
        with pytest.raises(redis.RedisClusterException, match="no transactions"):
            client.pipeline()


# -- nodes that hang ---------------------------------------------------------------------------------------------------


def test_a_flush_whose_answer_a_node_lost_is_told_at_once_and_is_not_tried_twice(cluster: RedisCluster) -> None:
    """A second try of what was done would be answered as another's flush (protocol B5)."""
    key = Store(connect("redis://-"), "lost").marker_key("customer", 0, START.digest)
    owner = f"127.0.0.1:{cluster.owner(key)}"
    with LossyWay(f"redis://{owner}/0") as way:
        addresses = [f"127.0.0.1:{port}" for port in cluster.ports]
        with Cluster(
            addresses, lambda address: connect(way.url if address == owner else f"redis://{address}")
        ) as client:
            store = Store(client, "lost")
            store.write(key, None, None, [])  # from now on the node knows the script
            before = way.flushes
            way.lose()
            unavailable(lambda: store.write(key, None, START, []))
            assert way.flushes == before + 1
            assert store.markers("customer", [0], START.digest) == [START]
            client.delete(key)


def test_a_flush_to_a_node_that_hangs_is_given_up_and_found_done_later(frail: RedisCluster) -> None:
    store = store_of(frail)
    key = store.marker_key("customer", 0, START.digest)
    store.write(key, None, START, [])
    port = frail.owner(key)
    before = flushes(frail, port)
    frail.signal(port, signal.SIGSTOP)
    unavailable(lambda: store.write(key, START, NEXT, []))
    frail.signal(port, signal.SIGCONT)
    until("what was sent to be done", lambda: flushes(frail, port) == before + 1)
    until("the cluster to serve", frail.whole)
    assert store.markers("customer", [0], START.digest) == [NEXT]
    assert flushes(frail, port) == before + 1
    store.client.close()


def test_reading_connecting_and_looking_for_nodes_end_while_nodes_hang(frail: RedisCluster) -> None:
    store = store_of(frail)
    store.refuse_eviction()
    keys = [f"key-{i}" for i in range(100)]
    for port in frail.ports:
        frail.signal(port, signal.SIGSTOP)
    unavailable(lambda: store.mget(keys))  # which had connections
    assert not any(connection.is_connected for connection in connections(store.client))  # late answers are nobody's
    unavailable(lambda: store.mget(keys))  # which looks for the nodes, by new ones
    anew = store_of(frail)
    unavailable(lambda: anew.mget(keys))
    unavailable(anew.refuse_eviction)
    frail.signal(frail.ports[2], signal.SIGCONT)  # no address of it was given
    for port in frail.ports:
        frail.signal(port, signal.SIGCONT)
    until("the cluster to serve", frail.whole)
    assert store.mget(keys) == anew.mget(keys) == [None] * len(keys)
    for client in (store.client, anew.client):
        client.close()


# -- nodes that die ----------------------------------------------------------------------------------------------------


def test_a_node_that_dies_and_comes_back_loses_nothing_and_is_gone_on_with(frail: RedisCluster) -> None:
    store = store_of(frail)
    memory = remembering(store)
    fold(memory, 0)
    assert [memory.flush(p) for p in range(3)] == [Flushed.DONE] * 3
    fold(memory, 6)
    port = frail.owner(memory.owned[1].held[0].marker_key)
    frail.signal(port, signal.SIGKILL)
    assert "Redis does not answer" in unavailable(lambda: memory.flush(1))
    assert memory.dirty(1) == 3
    miss = event("other", offset=12, partition=1)
    assert memory.load([miss]).held == {1: 12}
    frail.start(port)
    until("the cluster to serve", frail.whole)
    assert [memory.flush(p) for p in range(3)] == [Flushed.DONE] * 3
    assert stored(store, memory)
    assert memory.load([miss]).held == {}
    store.client.close()


def test_a_replica_that_takes_over_is_found_and_gone_on_with(with_replicas: RedisCluster) -> None:
    store = store_of(with_replicas)
    memory = remembering(store)
    fold(memory, 0)
    assert [memory.flush(p) for p in range(3)] == [Flushed.DONE] * 3
    fold(memory, 6)
    key = memory.owned[1].held[0].marker_key
    port = with_replicas.owner(key)
    with with_replicas.node(port) as primary:
        assert primary.wait(1, 10_000) == 1  # the replica has what was flushed
    with_replicas.signal(port, signal.SIGKILL)
    unavailable(lambda: memory.flush(1))
    until("a replica to take over", lambda: with_replicas.owner(key) != port and with_replicas.whole())
    assert [memory.flush(p) for p in range(3)] == [Flushed.DONE] * 3
    assert stored(store, memory)
    store.refuse_eviction()
    store.client.close()


# -- slots that move ---------------------------------------------------------------------------------------------------


class Move:
    """A slot on its way from one node to another, step by step."""

    def __init__(self, cluster: RedisCluster, key: str) -> None:
        self.cluster, self.source = cluster, cluster.owner(key)
        self.target = next(port for port in cluster.ports if port != self.source)
        with cluster.node(self.source) as source, cluster.node(self.target) as target:
            self.slot = source.execute_command("CLUSTER KEYSLOT", key)
            self.ids = [node.execute_command("CLUSTER MYID") for node in (source, target)]
            target.execute_command("CLUSTER SETSLOT", self.slot, "IMPORTING", self.ids[0])
            source.execute_command("CLUSTER SETSLOT", self.slot, "MIGRATING", self.ids[1])

    def carry(self, *keys: str | bytes) -> None:
        with self.cluster.node(self.source) as source:
            for key in keys:
                assert source.execute_command("MIGRATE", "127.0.0.1", self.target, key, 0, 5000) in (b"OK", True)

    def end(self) -> None:
        for port in (self.target, *self.cluster.ports):
            with self.cluster.node(port) as node:
                node.execute_command("CLUSTER SETSLOT", self.slot, "NODE", self.ids[1])


def test_a_partition_whose_slot_moves_waits_at_most_and_then_goes_on_where_it_is(frail: RedisCluster) -> None:
    store = store_of(frail)
    memory = remembering(store)
    fold(memory, 0)
    assert [memory.flush(p) for p in range(3)] == [Flushed.DONE] * 3
    (held,) = memory.owned[1].held
    move = Move(frail, held.marker_key)
    assert store.read([Ask([held.marker_key, held.key(b"0")])])[0][0] == held.marker.encode()
    move.carry(held.marker_key)
    assert store.mget([held.marker_key]) == [held.marker.encode()]  # where ASK points
    assert "TryAgainError" in unavailable(
        lambda: store.mget([held.marker_key, held.key(b"0")])
    )  # half there, half here
    fold(memory, 6)  # all in memory
    unavailable(lambda: memory.flush(1))
    assert memory.dirty(1) == 3
    move.carry(*map(held.key, held.states))
    move.end()
    assert [memory.flush(p) for p in range(3)] == [Flushed.DONE] * 3  # where MOVED points
    assert stored(store, memory)
    assert frail.owner(held.marker_key) == move.target
    store.client.close()


def test_rows_of_a_slot_that_moves_are_read_where_they_are(frail: RedisCluster) -> None:
    store = store_of(frail)
    for i in range(30):
        store.client.hset(f"shop:{i}", "risk", str(i))
    memory = remembering(store)

    def risks() -> list[float]:
        events = [event("1", offset=i, terminal=str(i)) for i in range(30)]
        assert memory.load(events).held == {}
        return [memory.readers[0].read(one)[0][0] for one in events]

    move = Move(frail, "shop:7")
    assert risks() == list(range(30))
    move.carry("shop:7")
    assert risks() == list(range(30))
    move.end()
    assert risks() == list(range(30))
    store.client.close()
