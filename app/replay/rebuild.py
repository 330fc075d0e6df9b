"""A view's state made anew from the log, beside the one that serves, which serves until the swap.

Safe beside running workers: their markers move on meanwhile, and after the swap they find another build, assign the
partition again and fold what was committed since. Safe to kill: what was folded is kept under the draft, and the next
rebuild goes on there. The new marker never lies beyond what the group has committed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from app.contracts.admission import Admitted
from app.errors import Refused, Unavailable
from app.features.assign import Found, refuse_lost_log, refuse_short_log
from app.features.held import Flushed, Held
from app.features.marker import Marker, decode_marker, new_build
from app.features.rebuild import Drafts, Place, unlink
from app.features.store import Store, connected
from app.features.views import View
from app.pipeline import Pipeline
from app.replay.events import Events
from app.replay.group import Group
from app.settings import Settings
from app.stream.build import keeping

PATIENCE_S = 60.0
FLUSH_S = 5.0  # what is folded in this time is folded again after a kill
DIRTY = 100_000  # states that are written at once at most
CLOSE = 2_000  # offsets: the owners fold so many again in no time, so the swap need not wait for them
ROUNDS = 20  # of following a group that goes on
SWAPS = 200  # tries, while the owners move their marker

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Rebuilt:
    """One partition: what was folded into `build`, up to `next`, and the build that it replaced."""

    partition: int
    events: int
    build: str
    next: int
    before: str | None


def rebuild(
    settings: Settings, pipeline: Pipeline, name: str, *, progress: Progress = lambda _done, _total: None
) -> list[Rebuilt]:
    """Fold the view `name` anew in every partition that the group has committed something of.

    `progress` is told offsets folded and to fold. Raises Refused or Fatal where the log or the group's offsets do not
    allow it, Refused where another rebuild of the view is at work, Unavailable where Kafka or Redis does not answer.
    """
    pipeline = keeping(pipeline, settings)
    view = next(view for view in pipeline.views if view.name == name)
    with (
        contextlib.closing(Events(settings, pipeline, patience_s=PATIENCE_S)) as events,
        contextlib.closing(Group(settings, pipeline.name, patience_s=PATIENCE_S)) as group,
        connected(settings, least_s=5.0) as client,
    ):
        store = Store(client, pipeline.name)
        store.refuse_eviction()
        work = _Rebuild(settings, events, group, store, view, pipeline.digest(view))
        return work.all(progress)


class _Rebuild:
    """One rebuild: partition by partition, so that only one partition's states are in memory."""

    def __init__(self, settings: Settings, events: Events, group: Group, store: Store, view: View, digest: str) -> None:
        self.settings = settings
        self.events = events
        self.group = group
        self.store = store
        self.view = view
        self.digest = digest
        self.drafts = Drafts(store, view.name, digest)

    def all(self, progress: Progress) -> list[Rebuilt]:
        places = {p: self.found(p) for p in self.events.partitions}
        begun = {p: place for p, place in places.items() if place.committed is not None}
        for partition in set(places) - set(begun):
            if self.drafts.find(partition).marker:
                raise Refused(
                    f"Redis has state for {self.events.topic}/{partition}, but the group has no committed offset "
                    f"there: {places[partition].recover} first."
                )
        if not begun:
            raise Refused(
                f"The group {self.group.name} has committed nothing of {self.events.topic}, so there is nothing to "
                f"fold: run {self.group.name} first (`streaminfer run`)."
            )
        work = [_Partition(self, place) for place in begun.values()]
        total, done = sum(part.left for part in work), 0

        def told(offsets: int) -> None:
            nonlocal done
            done += offsets
            progress(done, max(done, total))

        return [part.run(told) for part in work]

    def found(self, partition: int) -> Found:
        """What an owner of the partition would find now. Raises Fatal where the log does not fit the group."""
        log, topic = self.events.log, self.events.topic
        committed = self.group.committed(topic, [partition])[partition]
        start = log.starts(topic, [partition])[partition]
        end = log.ends(topic, [partition], settled=False)[partition]
        width = len(self.events.partitions)
        found = Found(topic, self.events.topic_id, width, partition, committed, start, end, self.group.name)
        if committed is not None:
            refuse_lost_log(found, committed)
        return found


class _Partition:
    """One partition's new build, from the draft that an earlier rebuild left, or from nothing."""

    def __init__(self, work: _Rebuild, found: Found) -> None:
        self._work = work
        self._found = found
        self._partition = found.partition
        self._draft = self._begin(work.drafts.find(found.partition))
        self._held = Held(work.view, found.partition, work.store, self._draft)
        self._held.marker_key = work.drafts.draft_key(found.partition)
        self._at = self._draft.next
        self._all_here = self._at == self._draft.since  # memory has every entity of the build: nothing is read
        self._keep = work.settings.entities_in_memory
        self._flush_at = 0.0
        self._events = 0

    @property
    def left(self) -> int:
        return max(0, (self._found.committed or 0) - self._at)

    def _begin(self, place: Place) -> Marker:
        found = self._found
        old = decode_marker(place.draft) if place.draft else None
        if old is not None and self._goes_on(old):
            return old
        start = found.log_start
        draft = Marker(found.topic_id, found.partitions, new_build(), self._work.digest, since=start, next=start)
        if not self._work.drafts.start(place, draft):
            raise self._taken_over()
        if old is not None:
            unlink(self._work.store, self._work.view.name, self._partition, old.build)
        return draft

    def _goes_on(self, draft: Marker) -> bool:
        """Whether what a rebuild that was cut short has folded is still of this log."""
        found = self._found
        same = (draft.topic_id, draft.partitions) == (found.topic_id, found.partitions)
        reaches = draft.since == 0 or draft.since >= found.log_start
        return same and reaches and found.log_start <= draft.next <= (found.committed or 0)

    def run(self, told: Callable[[int], None]) -> Rebuilt:
        """Fold up to what is committed, follow the group until it is close, and swap."""
        self._flush_at = time.monotonic() + FLUSH_S
        for _ in range(ROUNDS):
            upto = self._work.found(self._partition).committed or 0
            far = upto - self._at > CLOSE
            self._fold(upto, told)
            if not far:
                break
        self._flush()
        if not self._work.settings.accept_incomplete:
            refuse_short_log(self._found, self._held)
        return self._swap()

    def _fold(self, upto: int, told: Callable[[int], None]) -> None:
        held, states, new = self._held, self._held.states, self._work.view.new
        for read in self._work.events.between(self._partition, self._at, upto) if upto > self._at else ():
            if not self._all_here:
                self._load(read.admitted)
            for event in read.admitted:
                if event.entity not in states:
                    states[event.entity] = new()
                held.fold(event.entity, event.event, event.offset, event.time_ms)
            self._events += len(read.admitted)
            told(read.next_offset - self._at)
            self._at = read.next_offset
            if len(held.dirty) > DIRTY or time.monotonic() > self._flush_at:
                self._flush()
                self._flush_at = time.monotonic() + FLUSH_S
        told(max(0, upto - self._at))
        self._at = max(self._at, upto)

    def _load(self, admitted: list[Admitted]) -> None:
        held = self._held
        missing = list({event.entity: None for event in admitted if event.entity not in held.states})
        if missing:
            draft, *blobs = self._work.store.mget([held.marker_key, *map(held.key, missing)])
            if not held.still_mine(draft):
                raise self._taken_over()
            for entity, blob in zip(missing, blobs, strict=True):
                held.take(entity, blob)

    def _flush(self) -> None:
        if self._held.flush(self._at) is Flushed.ASSIGN_AGAIN:
            raise self._taken_over()
        self._all_here = self._all_here and len(self._held.states) <= self._keep
        self._held.shed(self._keep)

    def _swap(self) -> Rebuilt:
        drafts, view, held = self._work.drafts, self._work.view.name, self._held
        for _ in range(SWAPS):
            place = drafts.find(self._partition)
            if place.draft != held.marker.encode():
                raise self._taken_over()
            old = decode_marker(place.marker) if place.marker else None
            # What was folded to its planned end stays so, if nothing of it is missing in the new build.
            ended = old is not None and old.topic_id == held.marker.topic_id and old.ended and old.next <= self._at
            target = msgspec.structs.replace(held.marker, ended=ended)
            if drafts.swap(place, held.marker, target):
                if old is not None:
                    unlink(self._work.store, view, self._partition, old.build)
                before = None if old is None else old.build
                return Rebuilt(self._partition, self._events, target.build, target.next, before)
        raise Unavailable(
            f"The marker of {view} in partition {self._partition} moved {SWAPS} times before it could be swapped; "
            "run this again: it goes on where it stands."
        )

    def _taken_over(self) -> Refused:
        return Refused(
            f"Another rebuild of {self._work.view.name} is at work, or has just ended; what it makes is the same. "
            "Wait for it, and run this again only if it was cut short."
        )
