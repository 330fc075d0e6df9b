"""State in the suite's Redis, under names that no other test has."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
import redis

from app.features.store import Store, connect
from tests.contract.features.lossy import LossyWay


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
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
    """The same keys as `store`, by a way that can lose answers."""
    store.write(store.marker_key("warm", 0), None, None, [])  # from now on the server knows the script
    with connect(way.url) as client:
        yield Store(client, pipeline_name)


@pytest.fixture
def contents(client: redis.Redis, store: Store, pipeline_name: str) -> Callable[[], dict[bytes, bytes | None]]:
    """All that the server holds for this test."""

    def read() -> dict[bytes, bytes | None]:
        keys = list(client.scan_iter(match=f"{{{pipeline_name}/*", count=10_000))
        return dict(zip(keys, store.mget(keys), strict=True))

    return read
