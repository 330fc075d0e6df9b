"""One partition's state and its flushes: done, refused, broken off, or done with nobody told."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import redis

from app.errors import Fatal, Unavailable
from app.features.held import Flushed, Held
from app.features.store import PREFIX, SLICE, Store
from tests.contract.features.lossy import ON_ONE_SERVER, LossyWay
from tests.contract.features.owners import START, VIEW, blob_of, held_by
from tests.payments import NOON_MS, event

pytestmark = pytest.mark.redis

Contents = Callable[[], dict[bytes, bytes | None]]


def fold(held: Held, offsets: range, customer: Callable[[int], str] = lambda i: str(i % 3)) -> None:
    """Events of three customers, one each millisecond."""
    for i in offsets:
        made = event(customer(i), offset=i, time_ms=NOON_MS + i)
        if made.entity not in held.states:
            held.take(made.entity, None)
        held.fold(made.entity, made.event, i, made.time_ms)


@pytest.fixture
def first(store: Store) -> Held:
    held = held_by(store)
    store.write(held.marker_key, None, START, [])
    return held


# -- one owner ---------------------------------------------------------------------------------------------------------


def test_a_flush_writes_every_changed_state_and_then_the_marker(first: Held, store: Store) -> None:
    fold(first, range(10))
    assert first.flush(10) is Flushed.DONE
    (marker,) = store.markers("customer", [0], START.digest)
    assert marker == msgspec.structs.replace(START, next=10, newest_ms=NOON_MS + 9, oldest_ms=NOON_MS)
    for entity in (b"0", b"1", b"2"):
        assert store.mget([first.key(entity)]) == [blob_of(first, entity)]
    assert (first.marker, first.dirty) == (marker, set())


def test_a_state_that_comes_back_from_redis_is_the_one_that_was_flushed(first: Held, store: Store) -> None:
    fold(first, range(10))
    first.flush(10)
    again = held_by(store, first.marker)
    again.take(b"1", store.mget([again.key(b"1")])[0])
    assert again.states[b"1"].next_offset == first.states[b"1"].next_offset == 8
    assert again.states[b"1"].times == first.states[b"1"].times
    assert again.newest_ms == NOON_MS + 9


def test_more_states_than_fit_into_one_slice_are_all_written(first: Held, store: Store) -> None:
    customers = 2 * SLICE + 1
    fold(first, range(customers), str)
    assert first.flush(customers) is Flushed.DONE
    blobs = store.mget([first.key(b"%d" % i) for i in range(customers)])
    assert blobs == [blob_of(first, b"%d" % i) for i in range(customers)]


def test_a_flush_of_nothing_but_dead_letters_still_moves_the_marker(first: Held, store: Store) -> None:
    assert first.flush(7) is Flushed.DONE
    assert store.markers("customer", [0], START.digest)[0] == msgspec.structs.replace(START, next=7)


@ON_ONE_SERVER
def test_a_flush_with_nothing_to_say_asks_nobody(way: LossyWay, lossy_store: Store) -> None:
    assert held_by(lossy_store).flush(0) is Flushed.DONE
    assert way.flushes == 0


def test_only_clean_states_are_shed_and_the_oldest_first(first: Held) -> None:
    fold(first, range(3))
    first.flush(3)
    fold(first, range(3, 4))  # customer 0 is dirty again
    first.shed(1)
    assert list(first.states) == [b"0", b"2"]
    first.shed(0)
    assert list(first.states) == [b"0"]


# -- events that come late ---------------------------------------------------------------------------------------------


def test_an_event_behind_a_newer_one_of_its_entity_is_folded_at_its_own_time_and_late(first: Held) -> None:
    first.take(b"0", None)
    first.take(b"1", None)
    assert not first.fold(b"0", event("0", offset=0).event, 0, NOON_MS + 20)[1]
    assert not first.fold(b"1", event("1", offset=1).event, 1, NOON_MS + 10)[1]  # the first of its own entity
    state, late = first.fold(b"0", event("0", offset=2).event, 2, NOON_MS)  # just as late as may be
    assert late
    assert state is first.states[b"0"]
    assert state.times == [NOON_MS, NOON_MS + 20]


def test_an_event_that_is_too_late_is_read_with_itself_and_not_folded(first: Held) -> None:
    first.take(b"0", None)
    first.take(b"1", None)
    first.fold(b"1", event("1", offset=0).event, 0, NOON_MS + 21)  # another entity's event moves the partition's time
    state, late = first.fold(b"0", event("0", offset=1).event, 1, NOON_MS)
    assert late
    assert VIEW.read(state, NOON_MS)[0] == 1.0
    assert first.states[b"0"].times == []
    assert first.states[b"0"].next_offset == 2  # it is answered all the same, and never folded later
    assert b"0" in first.dirty


# -- refused flushes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", [{"build": "b2"}, {"topic_id": "topic-2"}, {"digest": "d2"}])
def test_a_flush_onto_another_state_writes_nothing(
    first: Held, store: Store, contents: Contents, changed: dict[str, str]
) -> None:
    theirs = msgspec.structs.replace(START, next=5, **changed)
    store.write(first.marker_key, START, theirs, [])
    before = contents()
    fold(first, range(10))
    assert first.flush(10) is Flushed.ASSIGN_AGAIN
    assert contents() == before


def test_a_zombie_s_flush_behind_the_new_owner_writes_nothing(first: Held, store: Store, contents: Contents) -> None:
    zombie = held_by(store)
    fold(zombie, range(10))
    fold(first, range(12))
    first.flush(12)
    before = contents()
    assert zombie.flush(10) is Flushed.ASSIGN_AGAIN
    assert contents() == before


def test_a_zombie_with_many_slices_writes_none_of_them(first: Held, store: Store, contents: Contents) -> None:
    zombie = held_by(store)
    fold(zombie, range(SLICE + 100), str)
    fold(first, range(SLICE + 200), str)
    first.flush(SLICE + 200)
    before = contents()
    assert zombie.flush(SLICE + 100) is Flushed.ASSIGN_AGAIN
    assert contents() == before


def test_a_marker_that_is_gone_or_went_back_is_another_state(
    first: Held, client: redis.Redis, contents: Contents
) -> None:
    fold(first, range(5))
    first.flush(5)
    fold(first, range(5, 10))
    client.set(first.marker_key, START.encode())  # a replica took over that had not heard of the last flush
    before = contents()
    assert first.flush(10) is Flushed.ASSIGN_AGAIN
    assert contents() == before
    client.delete(first.marker_key)
    assert first.flush(10) is Flushed.ASSIGN_AGAIN


@ON_ONE_SERVER
def test_a_flush_whose_answer_was_lost_is_found_done(store: Store, lossy_store: Store, way: LossyWay) -> None:
    held = held_by(lossy_store)
    store.write(held.marker_key, None, START, [])
    fold(held, range(10))
    way.lose()
    with pytest.raises(Unavailable):
        held.flush(10)
    assert len(held.dirty) == 3
    assert held.flush(10) is Flushed.DONE
    assert held.dirty == set()
    assert held.marker == store.markers("customer", [0], START.digest)[0]


@ON_ONE_SERVER
def test_after_a_lost_answer_the_next_flush_goes_on_from_what_was_written(
    store: Store, lossy_store: Store, way: LossyWay
) -> None:
    held = held_by(lossy_store)
    store.write(held.marker_key, None, START, [])
    fold(held, range(10))
    way.lose()
    with pytest.raises(Unavailable):
        held.flush(10)
    fold(held, range(10, 11))  # only customer 1
    assert held.flush(11) is Flushed.DONE
    assert store.markers("customer", [0], START.digest)[0] == held.marker
    assert held.marker.next == 11
    blobs = store.mget([held.key(entity) for entity in (b"0", b"1", b"2")])
    assert blobs == [blob_of(held, entity) for entity in (b"0", b"1", b"2")]


@ON_ONE_SERVER
def test_a_flush_that_broke_off_between_slices_is_written_whole_by_the_next(
    store: Store, lossy_store: Store, way: LossyWay
) -> None:
    held = held_by(lossy_store)
    store.write(held.marker_key, None, START, [])
    customers = 2 * SLICE + 1
    fold(held, range(customers), str)
    way.lose(2)
    with pytest.raises(Unavailable):
        held.flush(customers)
    assert store.markers("customer", [0], START.digest) == [START]
    assert held.flush(customers) is Flushed.DONE
    assert store.mget([held.key(b"%d" % i) for i in range(customers)]) == [
        blob_of(held, b"%d" % i) for i in range(customers)
    ]


def test_a_new_owner_adopts_what_a_zombie_finished_meanwhile(store: Store, first: Held) -> None:
    """The zombie had committed up to 10 before it lost the partition; the new owner is at 12."""
    zombie = held_by(store)
    fold(zombie, range(10))
    fold(first, range(12))
    assert zombie.flush(10) is Flushed.DONE
    assert first.flush(12) is Flushed.DONE
    assert store.markers("customer", [0], START.digest)[0] == first.marker
    assert store.mget([first.key(b"1")]) == [blob_of(first, b"1")]


def test_a_new_owner_that_has_not_come_as_far_as_the_zombie_starts_again(store: Store, first: Held) -> None:
    zombie = held_by(store)
    fold(zombie, range(10))
    fold(first, range(4))
    zombie.flush(10)
    assert first.flush(4) is Flushed.ASSIGN_AGAIN


@pytest.mark.parametrize(
    "blob", [b"", b"short", PREFIX.pack(3) + b"I", PREFIX.pack(3) + b"X" + bytes(24), PREFIX.pack(3) + b"I" + bytes(11)]
)
def test_bytes_that_are_no_state_are_refused_with_the_way_out(store: Store, blob: bytes) -> None:
    held = held_by(store)
    with pytest.raises(Fatal, match="features rebuild customer") as refused:
        held.take(b"payer-596", blob)
    assert "payer-596" not in str(refused.value)
