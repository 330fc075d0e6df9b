"""Another pipeline's folded view, read as it was known at an event's time (protocol C1, C2).

The other pipeline publishes how far its view is complete with every flush: its watermark. What lies below it cannot
change any more, so a state may be kept in memory for events before the watermark that it came with. Where the
watermark has not passed an event, the reader waits for it, or answers and marks the prediction.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import msgspec
from confluent_kafka import murmur2

from app.errors import Fatal, Refused, Unavailable
from app.features.marker import NEVER_MS, Marker, decode_marker
from app.features.pace import AGAIN_S, tell
from app.features.reader import Ask, Found
from app.features.store import PREFIX, Store
from app.features.views import View

if TYPE_CHECKING:
    from app.contracts.admission import Admitted
    from app.pipeline import Pipeline

BEHIND = "behind"  # the mark of an event that the watermark had not passed
INCOMPLETE = "incomplete"  # the mark of an event that looks back on what is not there any more

Behind = Literal["mark", "wait"]
EVER_MS = 1 << 53


@runtime_checkable
class Dated(View, Protocol):
    """A view that may be read as of other times than its newest."""

    @property
    def keep_ms(self) -> int | None: ...
    def is_whole(self, state: Any, time_ms: int) -> bool: ...


@dataclass(frozen=True)
class AsOf:
    """The features of view `view` of the pipeline `of`, as known at the event's time; `key` names the entity."""

    of: Pipeline
    view: str
    key: str

    def __post_init__(self) -> None:
        if not isinstance(self.viewed, Dated):
            raise Refused(f"The view {self.view} of {self.of.name} cannot be read as of other events' times.")

    @property
    def name(self) -> str:
        return self.view

    @cached_property
    def viewed(self) -> View:
        for view in self.of.views:
            if view.name == self.view:
                return view
        names = ", ".join(view.name for view in self.of.views) or "none"
        raise Refused(f"The pipeline {self.of.name} has no view {self.view!r}; it has {names}.")

    @property
    def columns(self) -> tuple[str, ...]:
        return self.viewed.columns

    @cached_property
    def entity(self) -> Callable[[Any], str]:
        getter: Callable[[Any], str] = attrgetter(self.key)
        return getter

    @cached_property
    def digest(self) -> str:
        return self.of.digest(self.viewed)


class _Known(msgspec.Struct, frozen=True, gc=False):
    """An entity's state as one MGET had it: complete before `watermark`, whole from `whole_from` on."""

    watermark: int
    whole_from: int
    state: Any


class AsOfReader:
    """One point-in-time lookup, as far as this worker has read it. `rows` bounds how many entities stay in memory."""

    def __init__(self, lookup: AsOf, store: Store, *, behind: Behind, wait_s: float, rows: int = 500_000) -> None:
        self.lookup = lookup
        self._reader = store.pipeline
        self.columns = lookup.columns
        self._view: Any = lookup.viewed
        self._store = Store(store.client, lookup.of.name)
        self._width = lookup.of.partitions
        self._waits = behind == "wait"
        self._wait_s = wait_s
        self._rows = rows
        self._empty = self._view.new()
        self.known: dict[str, _Known] = {}
        self._builds: dict[int, str] = {}  # by partition of the other pipeline, as its marker names it
        self._ended: dict[int, Marker] = {}
        self._asked: list[tuple[int, list[str]]] = []
        self._fresh: set[str] = set()  # entities that were read for this batch: asking again would tell the same
        self._since: dict[int, float] = {}  # by own partition: since when it waits
        self._given_up: dict[int, int] = {}  # by partition of the other: the watermark at which a wait ran out
        self._told_at = -math.inf
        self.needs: dict[int, tuple[int, float]] = {}  # by own partition: the time it stands at, and since when

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        return len(self.known)

    def begin(self) -> None:
        self._fresh.clear()

    def asks(self, admitted: Sequence[Admitted]) -> list[Ask]:
        """Entities that are not known up to their event's time, by partition, each with its partition's marker."""
        entity, known, fresh = self.lookup.entity, self.known, self._fresh
        wanted: dict[str, None] = {}
        for event in admitted:
            name = entity(event.event)
            have = known.get(name)
            if (have is None or have.watermark <= event.time_ms) and name not in fresh:
                wanted[name] = None
        by_partition: dict[int, list[str]] = {}
        for name in wanted:
            by_partition.setdefault(murmur2(name.encode(), self._width), []).append(name)
        self._asked = list(by_partition.items())
        return [Ask(self._keys(partition, names)) for partition, names in self._asked]

    def _keys(self, partition: int, names: list[str]) -> list[str | bytes]:
        marker = self._store.marker_key(self.lookup.view, partition, self.lookup.digest)
        build = self._builds.get(partition)
        if build is None:
            return [marker]
        prefix = self._store.blob_key(self.lookup.view, partition, build)
        return [marker, *(prefix + name for name in names)]

    def take(self, found: Sequence[Found]) -> None:
        """What was found for the last `asks`. Raises Fatal for a state that cannot be this view's."""
        for (partition, names), (raw, *blobs) in zip(self._asked, found, strict=True):
            marker = decode_marker(raw) if raw is not None else None
            if marker is None:  # nothing is folded yet, as this view is declared
                self._builds.pop(partition, None)
                self._remember(names, [None] * len(names), NEVER_MS, -EVER_MS)
                continue
            if marker.partitions != self._width:
                raise Fatal(
                    f"The state of {self.lookup.view} was folded from {marker.partitions} partitions of "
                    f"{self.lookup.of.source.name}, and the pipeline {self.lookup.of.name} declares {self._width}: its "
                    "entities cannot be found. Declare as many as the topic has."
                )
            if marker.build != self._builds.get(partition):
                self._builds[partition] = marker.build  # and ask again: the keys were those of another build
                continue
            watermark = EVER_MS if marker.ended else marker.newest_ms - self._view.lateness_ms
            if marker.ended:
                self._ended[partition] = marker
            self._remember(names, blobs, watermark, self._whole_from(marker))

    def _remember(self, names: list[str], blobs: Sequence[bytes | None], watermark: int, whole_from: int) -> None:
        for name, blob in zip(names, blobs, strict=True):
            try:
                state = self._empty if blob is None else self._view.unpack(blob[PREFIX.size :])
            except ValueError as error:
                raise Fatal(
                    f"A state of the view {self.lookup.view} in Redis is not what this program writes ({error}); "
                    f"`streaminfer features rebuild {self.lookup.view}` makes it anew from the log."
                ) from error
            self.known[name] = _Known(watermark, whole_from, state)
            self._fresh.add(name)

    def _whole_from(self, marker: Marker) -> int:
        """From which time on a state that was not folded from the log's first offset has all that reads look at."""
        if marker.since == 0:
            return -EVER_MS
        return EVER_MS if marker.oldest_ms is None else marker.oldest_ms + self._horizon_ms

    @cached_property
    def _horizon_ms(self) -> int:
        return int(self._view.within_ms + self._view.lateness_ms)

    def unread(self, admitted: Sequence[Admitted]) -> Iterable[Admitted]:
        """Events that need what only Redis has."""
        return (event for event in admitted if self.lookup.entity(event.event) not in self.known)

    def hold(self, admitted: Sequence[Admitted]) -> dict[int, int]:
        """By partition the first offset that must wait for the watermark, where it waits and not for too long."""
        if not self._waits:
            return {}
        now = time.monotonic()
        held: dict[int, int] = {}
        for event in admitted:
            if event.partition in held:
                continue
            name = self.lookup.entity(event.event)
            watermark = self.known[name].watermark
            self.needs[event.partition] = (event.time_ms, now)
            if watermark <= event.time_ms and not self._waited_enough(event.partition, name, watermark, now):
                held[event.partition] = event.offset
        for partition in {event.partition for event in admitted} - set(held):
            self._since.pop(partition, None)
        if held and now > self._told_at + AGAIN_S:  # who is waited for may wait for this reader itself
            with contextlib.suppress(Unavailable):
                self._tell(self.needs)
        return held

    def _waited_enough(self, partition: int, name: str, watermark: int, now: float) -> bool:
        """Once a wait has run out, nobody waits for the same watermark again until it moves."""
        other = murmur2(name.encode(), self._width)
        if self._given_up.get(other) == watermark:
            return True
        if now - self._since.setdefault(partition, now) < self._wait_s:
            return False
        self._given_up[other] = watermark
        return True

    def read(self, event: Admitted) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """The row as it was known at the event's time, and what could not be exact about it."""
        known = self.known[self.lookup.entity(event.event)]
        row: tuple[float, ...] = self._view.read(known.state, event.time_ms)
        marks: tuple[str, ...] = ()
        if event.time_ms < known.whole_from or not self._view.is_whole(known.state, event.time_ms):
            marks = (INCOMPLETE,)
        return row, marks if event.time_ms < known.watermark else (*marks, BEHIND)

    # -- between batches ---------------------------------------------------------------------------------------------

    def refresh(self, partitions: Iterable[int]) -> None:
        """Forget what is beyond the bound or ended no longer; tell the other pipeline where this worker stands.

        Silent where Redis does not answer: what is in memory goes on.
        """
        if len(self.known) > self._rows:
            self.known.clear()
        try:
            if self._ended:
                self._forget_resumed()
            if self._waits:
                self._tell(partitions)
        except Unavailable:
            return

    def _forget_resumed(self) -> None:
        """A pipeline that had ended may have gone on: what was complete for ever is not any more."""
        partitions = list(self._ended)
        keys = [self._store.marker_key(self.lookup.view, p, self.lookup.digest) for p in partitions]
        for partition, raw in zip(partitions, self._store.mget(keys), strict=True):
            if raw is None or decode_marker(raw) != self._ended[partition]:
                del self._ended[partition]
                self.known = {n: k for n, k in self.known.items() if murmur2(n.encode(), self._width) != partition}

    def _tell(self, partitions: Iterable[int]) -> None:
        self._told_at = time.monotonic()
        mine = set(partitions)
        self._since = {p: since for p, since in self._since.items() if p in mine}
        self.needs = {p: need for p, need in self.needs.items() if p in mine}
        tell(self._store, self.lookup.view, self._reader, self.needs, set(self._since))
