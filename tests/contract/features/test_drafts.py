"""What a rebuild does in Redis, one server or a cluster: a draft is found, started and put in its place."""

from __future__ import annotations

import msgspec
import pytest

from app.features.rebuild import Drafts, unlink
from app.features.store import Store
from tests.contract.features.memories import START

pytestmark = pytest.mark.redis


def test_a_draft_takes_its_markers_place_and_the_old_build_goes(store: Store) -> None:
    key = store.marker_key("customer", 3, START.digest)
    old = store.blob_key("customer", 3, START.build)
    store.write(key, None, START, [(f"{old}{i}", b"12345678") for i in range(1200)])
    drafts, draft = Drafts(store, "customer", START.digest), msgspec.structs.replace(START, build="b2")
    assert drafts.start(drafts.find(3), draft)
    place = drafts.find(3)
    assert (place.marker, place.draft) == (START.encode(), draft.encode())
    target = msgspec.structs.replace(draft, next=7)
    assert drafts.swap(place, draft, target)
    assert not drafts.swap(place, draft, target)
    assert store.markers("customer", [3], START.digest) == [target]
    assert unlink(store, "customer", 3, START.build) == 1200
    assert store.mget([f"{old}{i}" for i in range(1200)]) == [None] * 1200
