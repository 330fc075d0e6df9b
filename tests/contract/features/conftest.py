"""State in the suite's Redis, on one server and on a cluster, under names that no other test has."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis

from app.features.cluster import Cluster
from app.features.lookups import Field, Lookup
from app.features.memory import Memory
from app.features.store import Store, connect
from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD
from tests.contract.features.lossy import LossyWay
from tests.contract.features.memories import VIEW, memory_of, owning


@pytest.fixture
def client(server_url: str) -> Iterator[redis.Redis]:
    with connect(server_url) as client:
        yield client


@pytest.fixture
def pipeline_name() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def store(client: redis.Redis, pipeline_name: str) -> Store:
    return Store(client, pipeline_name)


@pytest.fixture
def way(redis_url: str) -> Iterator[LossyWay]:
    with LossyWay(redis_url) as way:
        yield way


@pytest.fixture
def lossy_store(way: LossyWay, store: Store, pipeline_name: str) -> Iterator[Store]:
    """The same keys as `store`, by a way that can lose answers. Only for tests ON_ONE_SERVER."""
    assert not isinstance(store.client, Cluster)
    store.write(store.marker_key("warm", 0, "d"), None, None, [])  # from now on the server knows the script
    with connect(way.url) as client:
        yield Store(client, pipeline_name)


@pytest.fixture
def contents(client: redis.Redis, store: Store, pipeline_name: str) -> Callable[[], dict[bytes, bytes | None]]:
    """All that the server holds for this test."""

    def read() -> dict[bytes, bytes | None]:
        keys = list(client.scan_iter(match=f"{{{pipeline_name}/*", count=10_000))
        return dict(zip(keys, store.mget(keys), strict=True))

    return read


@pytest.fixture
def pipeline(pipeline_name: str) -> Pipeline:
    lookup = Lookup(f"of-{pipeline_name}", key="terminal_id", fields=(Field("x", 0.5), Field("y", -1.0)))
    return replace(FRAUD, name=pipeline_name, views=(VIEW,), lookups=(lookup,))


@pytest.fixture
def lookup(pipeline: Pipeline, client: redis.Redis) -> Iterator[Lookup]:
    (lookup,) = pipeline.lookups
    assert isinstance(lookup, Lookup)
    yield lookup
    for pattern in (f"{lookup.rows}*", f"{lookup.tag}/*"):
        client.delete(*client.scan_iter(match=pattern), "none")


@pytest.fixture
def memory(pipeline: Pipeline, store: Store, lookup: Lookup) -> Memory:
    return owning(memory_of(pipeline, store), 0, 1)
