"""Owners of one partition, one after the other, without Kafka: what they do with Redis, and what may happen to them.

`committed` stands for what the group has committed; it never goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from app.contracts.admission import Admitted
from app.features.assign import Found, Resume, Wanted, decide
from app.features.held import Flushed, Held
from app.features.marker import Marker
from app.features.memory import Memory, Owned
from app.features.store import PREFIX, Store
from app.features.window import Window
from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD
from tests.payments import NOON_MS, event

VIEW = Window("customer", amount="amount_cents", spans_ms={"a": 40, "b": 100}, lateness_ms=20)
SMALL: Pipeline = replace(FRAUD, views=(VIEW,), lookups=())
START = Marker("topic-1", 1, "b1", "d1", since=0, next=0)
POLLED = 3  # records that are folded at once while catching up
Row = tuple[tuple[float, ...], tuple[str, ...]]  # the windows' features, and the marks


def held_by(store: Store, marker: Marker = START) -> Held:
    """What an owner has right after it was assigned: the marker, and no state in memory."""
    return Held(VIEW, 0, store, marker)


def blob_of(held: Held, entity: bytes) -> bytes:
    state = held.states[entity]
    return PREFIX.pack(state.next_offset) + VIEW.pack(state)


class Died(Exception):
    """The process was killed here."""


class MortalStore(Store):
    """`left`: so many writes until its owner is killed; the last of them is done."""

    left = -1

    def heir(self) -> MortalStore:
        """The same keys for the next owner."""
        return MortalStore(self.client, self.pipeline)

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
        self.rows: dict[int, Row] = {}
        self.mishaps: dict[int, Callable[[], object]] = {}
        self.loads = 0

    def load(self, events: Sequence[Admitted], *, lookups: bool = True) -> bool:
        """Whether the state is still this owner's. The mishap of this moment happens just before."""
        self.mishaps.get(self.loads, lambda: None)()
        self.loads += 1
        return not self.memory.load(events, lookups=lookups).moved

    def assign(self, committed: int) -> None:
        """Start from the marker and fold what is committed beyond it; from anew if the state moves meanwhile."""
        while True:
            found = Found("payments", "topic-1", 1, 0, committed, 0, len(self.log))
            markers = self.store.markers("customer", [0], SMALL.digest(VIEW))
            decision = decide(found, [Wanted(VIEW, SMALL.digest(VIEW))], markers)
            assert isinstance(decision, Resume)
            held = Held(VIEW, 0, self.store, decision.builds[0])
            if decision.new[0]:
                self.store.write(held.marker_key, markers[0], decision.builds[0], [])
            self.memory.owned[0] = Owned((held,), decision.fold_from)
            if all(
                self.catch_up(at, min(at + POLLED, committed)) for at in range(decision.fold_from, committed, POLLED)
            ):
                return

    def catch_up(self, first: int, until: int) -> bool:
        behind = self.log[first:until]
        mine = self.load(behind, lookups=False)
        if mine:
            self.memory.fold_only(behind)
            self.memory.owned[0].next_offset = until
        return mine

    def score(self, committed: int, until: int) -> None:
        events = self.log[committed:until]
        while not self.load(events):
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

    def haunt(self) -> None:
        """Flush once more, long after others took over."""
        self.store.left = -1
        self.memory.flush(0)


@dataclass(frozen=True)
class Life:
    """An owner scores `batches` and flushes after each; in the last flush it is killed after `left` slices.

    Before it reads from Redis for the time `zombie_at`, the owner before it, that was only thought dead, flushes again;
    for the time `failover_at`, a replica takes over that knows only the first `known` of the flushes so far.
    """

    batches: list[int]
    left: int
    zombie_at: int
    failover_at: int
    known: int


@dataclass(frozen=True)
class Sent:
    """An event of the log: whose, and its time from the newest one's."""

    customer: int
    step_ms: int


def recount(log: Sequence[Admitted]) -> dict[int, Row | None]:
    """Every row by brute force: all folded events are looked at again for each. None for events that are too late."""
    rows: dict[int, Row | None] = {}
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


class Replica:
    """Copies of what the server held, at several moments."""

    def __init__(self, store: Store) -> None:
        self._store, self._client = store, store.client
        self._mine = f"{{{store.pipeline}/*"
        self._copies: list[dict[bytes, bytes]] = []

    def copy(self) -> None:
        keys = list(self._client.scan_iter(match=self._mine, count=10_000))
        self._copies.append({key: value for key, value in zip(keys, self._store.mget(keys), strict=True) if value})

    def takes_over(self, known: int) -> Callable[[], None]:
        def take_over() -> None:
            copy = self._copies[min(known, len(self._copies) - 1)] if self._copies else {}
            for key in list(self._client.scan_iter(match=self._mine, count=10_000)):
                self._client.delete(key)
            for name, value in copy.items():
                self._client.set(name, value)

        return take_over


def live(store: MortalStore, log: Sequence[Admitted], lives: Sequence[Life]) -> None:
    """One owner after the other; then what they read, and what they left."""
    expected, committed, replica = recount(log), 0, Replica(store)
    before = Owner(store.heir(), log)
    before.assign(0)
    for life in lives:
        owner = Owner(store.heir(), log)
        owner.mishaps[life.zombie_at] = before.haunt
        owner.mishaps[life.failover_at] = replica.takes_over(life.known)
        owner.assign(committed)
        for number, size in enumerate(life.batches):
            until = min(committed + size, len(log))
            owner.score(committed, until)
            committed = until
            with suppress(Died):
                owner.flush(left=life.left if number == len(life.batches) - 1 else -1)
            replica.copy()
        for offset, row in owner.rows.items():
            assert expected[offset] in (None, row), offset
        before = owner
    last = Owner(store.heir(), log)
    last.assign(committed)
    last.flush()
    check_stored(store, log[:committed])


def check_stored(store: Store, log: Sequence[Admitted]) -> None:
    """What is stored is the log folded once, in one go, by one owner that nothing happened to."""
    (marker,) = store.markers("customer", [0], SMALL.digest(VIEW))
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
