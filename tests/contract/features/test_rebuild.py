"""State that is thrown away is gone whole, and nothing else is."""

from __future__ import annotations

import pytest
import redis

from app.features.marker import Marker
from app.features.rebuild import forget
from app.features.store import Store, connect

pytestmark = pytest.mark.redis


def test_a_views_markers_and_blobs_go_and_those_of_others_stay(redis_url: str) -> None:
    client = connect(redis_url)
    mine, other = Store(client, "rebuilt"), Store(client, "rebuilt-not")
    for store in (mine, other):
        for partition in range(2):
            marker = Marker("topic", 2, "build", "digest", since=0, next=5)
            key = store.marker_key("customer", partition)
            blobs = [(f"{store.blob_key('customer', partition, 'build')}{i}", b"\0" * 8) for i in range(1200)]
            assert store.write(key, None, marker, blobs) == marker
    before = len(list(client.scan_iter(match="{rebuilt-not/*", count=1000)))
    assert forget(mine, "customer", 2) == 2
    assert list(client.scan_iter(match="{rebuilt/*", count=1000)) == []
    assert len(list(client.scan_iter(match="{rebuilt-not/*", count=1000))) == before == 2402
    assert forget(mine, "customer", 2) == 0
    forget(other, "customer", 2)
    client.close()


def test_what_is_no_marker_goes_too_so_that_the_way_out_works(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    store = Store(connect(redis_url), "rebuilt-odd")
    client.set(store.marker_key("customer", 0), b"not a marker")
    assert forget(store, "customer", 1) == 1
    assert store.markers("customer", [0]) == [None]
    client.close()
    store.client.close()
