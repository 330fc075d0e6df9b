"""Flushes and what becomes of them: refused ones, half ones, and owners that died in between.

The state in Redis is always a fold of the log up to the marker, and every row that is read equals a recount.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.contracts.admission import Admitted
from app.errors import Unavailable
from app.features import held as held_room
from app.features.assign import Found, Resume, Wanted, decide
from app.features.held import Flushed, Held
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.features.store import PREFIX, SLICE, Store, connect
from app.features.views import Window
from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD
from tests.contract.features.lossy import LossyWay
from tests.payments import NOON_MS, event

pytestmark = pytest.mark.redis

VIEW = Window("customer", amount="amount_cents", spans_ms={"a": 40, "b": 100}, lateness_ms=20)
SMALL: Pipeline = replace(FRAUD, views=(VIEW,), lookups=())
START = Marker("topic-1", 1, "b1", "d1", since=0, next=0)
Contents = Callable[[], dict[bytes, bytes | None]]


def held_by(store: Store, marker: Marker = START) -> Held:
    """What an owner has right after it was assigned: the marker, and no state in memory."""
    return Held(VIEW, 0, store, marker)


def fold(held: Held, offsets: range, customer: Callable[[int], str] = lambda i: str(i % 3)) -> None:
    """Events of three customers, one each millisecond."""
    for i in offsets:
        made = event(customer(i), offset=i, time_ms=NOON_MS + i)
        if made.entity not in held.states:
            held.take(made.entity, None)
        held.fold(made.entity, made.event, i, made.time_ms)


def blob_of(held: Held, entity: bytes) -> bytes:
    state = held.states[entity]
    return PREFIX.pack(state.next_offset) + VIEW.pack(state)


@pytest.fixture
def first(store: Store) -> Held:
    held = held_by(store)
    store.write(held.marker_key, None, START, [])
    return held


# -- one owner -----------------------------------------------------------------------------------------------------


def test_a_flush_writes_every_changed_state_and_then_the_marker(first: Held, store: Store) -> None:
    fold(first, range(10))
    assert first.flush(10) is Flushed.DONE
    (marker,) = store.markers("customer", [0])
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
    assert store.markers("customer", [0])[0] == msgspec.structs.replace(START, next=7)


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
    assert held.marker == store.markers("customer", [0])[0]


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
    assert store.markers("customer", [0])[0] == held.marker
    assert held.marker.next == 11
    blobs = store.mget([held.key(entity) for entity in (b"0", b"1", b"2")])
    assert blobs == [blob_of(held, entity) for entity in (b"0", b"1", b"2")]


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
    assert store.markers("customer", [0]) == [START]
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
    assert store.markers("customer", [0])[0] == first.marker
    assert store.mget([first.key(b"1")]) == [blob_of(first, b"1")]


def test_a_new_owner_that_has_not_come_as_far_as_the_zombie_starts_again(store: Store, first: Held) -> None:
    zombie = held_by(store)
    fold(zombie, range(10))
    fold(first, range(4))
    zombie.flush(10)
    assert first.flush(4) is Flushed.ASSIGN_AGAIN


# -- owners that die -----------------------------------------------------------------------------------------------------


class Died(Exception):
    """The process was killed here."""


class MortalStore(Store):
    """`left`: so many writes until its owner is killed; the last of them is done."""

    left = -1

    def write(
        self, key: str, held: Marker | None, target: Marker | None, blobs: Sequence[tuple[str | bytes, bytes]]
    ) -> Marker | None:
        if self.left == 0:
            raise Died
        self.left -= 1
        return super().write(key, held, target, blobs)


class Owner:
    """A worker's way through one partition, without Kafka: `committed` is what the group has."""

    def __init__(self, store: MortalStore, log: Sequence[Admitted]) -> None:
        self.store = store
        self.log = log
        self.memory = Memory(SMALL, store, entities=2)
        self.rows: dict[int, tuple[tuple[float, ...], tuple[str, ...]]] = {}

    def assign(self, committed: int) -> None:
        """Start from the marker and fold what is committed beyond it; from anew if the state moves meanwhile."""
        while True:
            found = Found("payments", "topic-1", 1, 0, committed, 0, len(self.log))
            markers = self.store.markers("customer", [0])
            decision = decide(found, [Wanted(VIEW, SMALL.digest(VIEW))], markers)
            assert isinstance(decision, Resume)
            held = Held(VIEW, 0, self.store, decision.builds[0])
            if decision.new[0]:
                self.store.write(held.marker_key, markers[0], decision.builds[0], [])
            self.memory.owned[0] = Owned((held,), decision.fold_from)
            behind = self.log[decision.fold_from : committed]
            if not self.memory.load(behind, lookups=False).moved:
                self.memory.fold_only(behind)
                self.memory.owned[0].next_offset = committed
                return

    def score(self, committed: int, until: int) -> None:
        events = self.log[committed:until]
        while self.memory.load(events).moved:
            self.assign(committed)
        for one in events:
            features = self.memory.features(one)
            self.rows[one.offset] = (features.row[3:], features.marks)
        self.memory.owned[0].next_offset = until

    def flush(self, *, left: int = -1) -> None:
        """Write what is committed; after `left` slices the owner is killed."""
        self.store.left = left
        if self.memory.flush(0) is Flushed.ASSIGN_AGAIN:
            self.assign(self.memory.owned[0].next_offset)


@dataclass(frozen=True)
class Life:
    """An owner scores `batches` and flushes after each; in the last flush it is killed after `left` slices.

    Before the batch `zombie_at` the owner before it, that was only thought dead, flushes once more.
    """

    batches: list[int]
    left: int
    zombie_at: int


@dataclass(frozen=True)
class Sent:
    """An event of the log: whose, and its time from the newest one's."""

    customer: int
    step_ms: int


def recount(log: Sequence[Admitted]) -> dict[int, tuple[tuple[float, ...], tuple[str, ...]] | None]:
    """Every row by brute force: all folded events are looked at again for each. None for events that are too late."""
    rows: dict[int, tuple[tuple[float, ...], tuple[str, ...]] | None] = {}
    newest, folded = -(1 << 60), list[Admitted]()
    for one in log:
        too_late, newest = one.time_ms < newest - VIEW.lateness_ms, max(newest, one.time_ms)
        if too_late:
            rows[one.offset] = None
            continue
        late = any(other.entity == one.entity and other.time_ms > one.time_ms for other in folded)
        folded.append(one)
        row: tuple[float, ...] = ()
        for span in VIEW.spans_ms.values():
            inside = [
                other.event.amount_cents
                for other in folded
                if other.entity == one.entity and one.time_ms - span < other.time_ms <= one.time_ms
            ]
            row += (float(len(inside)), sum(inside) / len(inside) / 100)
        rows[one.offset] = (row, ("late",) if late else ())
    return rows


def written(log: Sequence[Sent]) -> list[Admitted]:
    events, newest = list[Admitted](), NOON_MS
    for offset, sent in enumerate(log):
        time_ms = newest + sent.step_ms
        newest = max(newest, time_ms)
        events.append(event(str(sent.customer), offset=offset, time_ms=time_ms))
    return events


logs = st.lists(st.builds(Sent, st.integers(0, 5), st.integers(-30, 30)), min_size=1, max_size=40).map(written)
lives = st.lists(
    st.builds(Life, st.lists(st.integers(0, 12), min_size=1, max_size=3), st.integers(0, 4), st.integers(0, 3)),
    max_size=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logs, lives)
def test_whoever_dies_wherever_in_a_flush_every_row_is_right_and_no_event_counts_twice(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, log: list[Admitted], lives: list[Life]
) -> None:
    monkeypatch.setattr(held_room, "SLICE", 2)
    with connect(redis_url) as client:
        name = f"test-{uuid.uuid4().hex[:12]}"
        expected = recount(log)
        committed, zombie = 0, None
        for life in lives:
            owner = Owner(MortalStore(client, name), log)
            owner.assign(committed)
            for number, size in enumerate(life.batches):
                if zombie is not None and number == life.zombie_at:
                    zombie.flush()
                until = min(committed + size, len(log))
                owner.score(committed, until)
                committed = until
                last = number == len(life.batches) - 1
                try:
                    owner.flush(left=life.left if last else -1)
                except Died:
                    owner.store.left = -1
            zombie = owner
            for offset, row in owner.rows.items():
                assert expected[offset] in (None, row), offset
        last_owner = Owner(MortalStore(client, name), log)
        last_owner.assign(committed)
        last_owner.flush()
        check_stored(Store(client, name), log[:committed])


def check_stored(store: Store, log: Sequence[Admitted]) -> None:
    """What is stored is the log folded once, in one go, by one owner that nothing happened to."""
    (marker,) = store.markers("customer", [0])
    assert marker is not None
    assert marker.next == len(log)
    plain = held_by(store, msgspec.structs.replace(START, build=marker.build))
    for one in log:
        if one.entity not in plain.states:
            plain.take(one.entity, None)
        plain.fold(one.entity, one.event, one.offset, one.time_ms)
    assert marker.newest_ms == plain.newest_ms
    for entity in plain.states:
        assert store.mget([plain.key(entity)]) == [blob_of(plain, entity)]
