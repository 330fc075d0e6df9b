"""Throwing a view's state away, so that its owners fold it again from the log."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import redis

from app.features.marker import decode_marker
from app.features.store import Store, unavailable

SLICE = 1000


def forget(store: Store, view: str, partitions: int) -> int:
    """Remove the markers of a view and the blobs of the builds that they name. Gives how many markers there were.

    Safe beside running workers: they find their marker gone at the next load or flush, and place the partition anew
    under a build of another name. Raises Unavailable where Redis does not answer.
    """
    keys = [store.marker_key(view, partition) for partition in range(partitions)]
    found = store.mget(keys)
    gone = [key for key, value in zip(keys, found, strict=True) if value is not None]
    builds = {
        store.blob_key(view, partition, marker.build).encode()
        for partition, value in enumerate(found)
        if value is not None and (marker := decode_marker(value)) is not None
    }
    try:
        if gone:
            store.client.unlink(*gone)
        blobs = store.client.scan_iter(match=f"{{{store.pipeline}/{view}/*", count=SLICE)
        old = (key for key in blobs if any(key.startswith(build) for build in builds))
        for part in _slices(old):
            store.client.unlink(*part)
    except redis.RedisError as error:
        raise unavailable(error) from error
    return len(gone)


def _slices(keys: Iterable[bytes]) -> Iterable[list[bytes]]:
    keys = iter(keys)
    while part := list(islice(keys, SLICE)):
        yield part
