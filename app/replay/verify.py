"""Redis against a fresh fold of the log: every state of every view, beside running workers or without them.

A state is compared as of the marker that it was read with: the fold is taken there first. So workers may run, and what
they write meanwhile is no difference.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import redis

from app.errors import Refused, Unavailable
from app.features.marker import decode_marker
from app.features.rebuild import slices
from app.features.store import PREFIX, SLICE, Store, connected, unavailable
from app.features.views import View
from app.pipeline import Pipeline
from app.replay.alike import alike, blob_in_words, folded_in_words
from app.replay.events import Events
from app.replay.fresh import Fresh
from app.replay.group import Group
from app.settings import Settings
from app.stream.build import keeping

EXAMPLES = 5  # of each view
TRIES = 5  # of a partition whose state is replaced while it is looked at
PATIENCE_S = 60.0

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Difference:
    """One thing that is not as the log says. `redis` and `log` are both sides in words; None: there is nothing."""

    partition: int
    entity: str | None
    what: str
    redis: dict[str, object] | None = None
    log: dict[str, object] | None = None


@dataclass
class Verdict:
    """What was found of one view. `unjudged` entities look back beyond where the log starts by now."""

    view: str
    digest: str
    partitions: int = 0
    entities: int = 0
    events: int = 0
    differences: int = 0
    unjudged: int = 0
    not_folded: list[int] = field(default_factory=list)
    examples: list[Difference] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.differences and not self.not_folded

    def add(self, difference: Difference) -> None:
        self.differences += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(difference)


class Moved(Exception):
    """The state was replaced, or went back, since it was looked at: begin anew."""


def verify(
    settings: Settings, pipeline: Pipeline, *, one_in: int = 1, progress: Progress = lambda _done, _total: None
) -> list[Verdict]:
    """A verdict for each view, over all entities or one in `one_in` by a hash of their names.

    `progress` is told offsets folded and to fold. Raises Refused where the pipeline has no views, or nothing of one
    is folded as it is declared; Unavailable where Kafka or Redis does not answer.
    """
    pipeline = keeping(pipeline, settings)
    if not pipeline.views:
        raise Refused(f"The pipeline {pipeline.name} has no views: there is no state to verify.")
    with (
        contextlib.closing(Events(settings, pipeline, patience_s=PATIENCE_S)) as events,
        contextlib.closing(Group(settings, pipeline.name, patience_s=PATIENCE_S)) as group,
        connected(settings, least_s=5.0) as client,
    ):
        store = Store(client, pipeline.name)
        run = _Run(events, group, store, one_in, progress)
        return [run.view(view, pipeline.digest(view)) for view in pipeline.views]


class _Run:
    """One verification: partition by partition, so that only one partition's states are in memory."""

    def __init__(self, events: Events, group: Group, store: Store, one_in: int, progress: Progress) -> None:
        self.events = events
        self.group = group
        self.store = store
        self.one_in = one_in
        self._progress = progress
        self._done = 0
        self._total = 0

    def told(self, offsets: int) -> None:
        self._done += offsets
        self._total = max(self._total, self._done)
        self._progress(self._done, self._total)

    def view(self, view: View, digest: str) -> Verdict:
        partitions = self.events.partitions
        markers = self.store.markers(view.name, partitions, digest)
        committed = self.group.committed(self.events.topic, partitions)
        starts = self.events.log.starts(self.events.topic, partitions)
        if not any(markers) and any(at is not None and at > starts[p] for p, at in committed.items()):
            raise Refused(
                f"Nothing is folded into {view.name} as it is declared now (its digest is {digest}): `streaminfer "
                f"features rebuild {view.name}` folds it, and so does whoever runs {self.store.pipeline}."
            )
        verdict = Verdict(view.name, digest)
        self._total += sum(marker.next - marker.since for marker in markers if marker is not None)
        for partition, marker in zip(partitions, markers, strict=True):
            if marker is not None:
                self._partition(verdict, view, partition, starts[partition])
            elif (committed[partition] or 0) > starts[partition]:
                verdict.not_folded.append(partition)
        return verdict

    def _partition(self, verdict: Verdict, view: View, partition: int, log_start: int) -> None:
        for _ in range(TRIES):
            look = _Look(self, view, verdict.digest, partition, log_start)
            try:
                look.all()
            except Moved:
                continue
            look.report(verdict)
            return
        raise Unavailable(f"The state of {view.name} in partition {partition} keeps being replaced; run this again.")


class _Look:
    """One partition of one view, looked at once."""

    def __init__(self, run: _Run, view: View, digest: str, partition: int, log_start: int) -> None:
        self._run = run
        self._view = view
        self._partition = partition
        self._store = run.store
        self._key = run.store.marker_key(view.name, partition, digest)
        (marker,) = run.store.markers(view.name, [partition], digest)
        if marker is None:
            raise Moved
        self._marker = marker
        self._prefix = run.store.blob_key(view.name, partition, marker.build).encode()
        since = max(marker.since, log_start)  # what is older than the log's start can be judged by nobody
        self._short = since > marker.since
        self._fresh = Fresh(
            run.events,
            run.store,
            view,
            partition,
            start=msgspec.structs.replace(marker, since=since),
            one_in=run.one_in,
        )
        self._ahead: dict[bytes, int] = {}  # blobs of a flush that has not moved the marker yet, by their next offset
        self._blobs: dict[bytes, bytes] = {}
        self._entities = self._unjudged = 0
        self._found: list[Difference] = []

    def report(self, verdict: Verdict) -> None:
        verdict.partitions += 1
        verdict.entities += self._entities
        verdict.events += self._fresh.count
        verdict.unjudged += self._unjudged
        for difference in self._found:
            verdict.add(difference)

    def all(self) -> None:
        """Every entity that the log has, then every other one that Redis has."""
        events, partition = self._run.events, self._partition
        self._end = events.log.ends(events.topic, [partition], settled=True)[partition]
        if not self._same_log():
            return
        self._advance(self._marker.next)
        self._judge_newest()
        known = set(self._fresh.states)
        for names in slices(known, SLICE):
            self._look(names)
        others = (name for name in self._stored() if name not in known and self._fresh.wants(name))
        for names in slices(others, SLICE):
            self._look(names)
        if self._ahead:
            self._end = events.log.ends(events.topic, [partition], settled=True)[partition]
            self._advance(min(self._end, max(self._ahead.values())))
        for name in self._ahead:
            self._differs(name, "says that it folded an event that the log does not have", self._blobs[name])

    def _advance(self, to: int) -> None:
        self._fresh.advance(to, stop=self._ahead, stopped=self._caught_up, told=self._run.told)

    def _same_log(self) -> bool:
        """Whether the marker can be of this log. It was read before the group is asked, which only goes on."""
        marker, events = self._marker, self._run.events
        committed = self._run.group.committed(events.topic, [self._partition])[self._partition]
        if marker.topic_id != events.topic_id:
            self._add(None, f"was folded from another topic called {events.topic}: it was created anew since")
        elif marker.partitions != len(events.partitions):
            self._add(None, f"was folded when {events.topic} had {marker.partitions} partitions")
        elif marker.next > (self._end if committed is None else committed):
            upto = f"the log ends at {self._end}" if committed is None else f"the group has committed {committed}"
            self._add(None, f"is folded up to offset {marker.next}, and {upto}")
        return not self._found

    def _judge_newest(self) -> None:
        marker, events, partition = self._marker, self._run.events, self._partition
        newest = self._fresh.newest_ms
        if marker.newest_ms > newest:
            # A writer that waits for its readers tells the time of the event that it holds back.
            held = events.first(partition, marker.next, self._end)
            newest = held.time_ms if held is not None else newest
        if marker.newest_ms != newest and not self._short:
            self._add(None, f"says that its newest event is of {marker.newest_ms}, and the log says {newest}")

    def _stored(self) -> Iterator[bytes]:
        """The entities that the build has a key of."""
        try:
            for key in self._store.client.scan_iter(match=self._prefix + b"*", count=5_000):
                yield cast("bytes", key).removeprefix(self._prefix)
        except redis.RedisError as error:
            raise unavailable(error) from error

    def _look(self, names: list[bytes]) -> None:
        """Blobs as of one moment, with the marker of that moment: the fold is taken there before they are compared."""
        raw, *blobs = self._store.mget([self._key, *(self._prefix + name for name in names)])
        marker = decode_marker(raw) if raw is not None else None
        if marker is None or not marker.same_state(self._marker) or marker.next < self._marker.next:
            raise Moved
        self._advance(marker.next)
        self._marker = marker
        for name, blob in zip(names, blobs, strict=True):
            self._judge(name, blob, marker.next)

    def _judge(self, name: bytes, blob: bytes | None, upto: int) -> None:
        if blob is None:
            if name in self._fresh.states:
                self._entities += 1
                self._differs(name, "is missing in Redis", None)
            return
        if len(blob) >= PREFIX.size and (at := PREFIX.unpack_from(blob)[0]) > upto:
            self._ahead[name], self._blobs[name] = at, blob
            return
        self._compare(name, blob)

    def _caught_up(self, name: bytes) -> None:
        del self._ahead[name]
        self._compare(name, self._blobs.pop(name))

    def _compare(self, name: bytes, blob: bytes) -> None:
        self._entities += 1
        mine = self._fresh.states.get(name)
        if mine is None:
            self._differs(name, "is in Redis, and the log has no event of it", blob)
            return
        try:
            stored = self._view.unpack(blob[PREFIX.size :])
            stored.next_offset = PREFIX.unpack_from(blob)[0]
        except (ValueError, IndexError, struct.error):
            self._differs(name, "is not what this program writes", blob)
            return
        if stored.next_offset != mine.next_offset:
            self._differs(name, "is folded up to another offset", blob)
        elif not alike(self._view, stored, mine):
            self._differs(name, "differs", blob)

    def _differs(self, name: bytes, what: str, blob: bytes | None) -> None:
        mine = self._fresh.states.get(name)
        if self._short and not self._is_whole(mine):
            self._unjudged += 1
            return
        sides = blob_in_words(self._view, blob), folded_in_words(self._view, mine)
        self._add(name.decode(errors="backslashreplace"), what, *sides)

    def _is_whole(self, mine: Any) -> bool:
        newest = self._view.describe(mine).get("newest_ms") if mine is not None else None
        return isinstance(newest, int) and self._fresh.is_whole(newest)

    def _add(self, entity: str | None, what: str, *sides: dict[str, object] | None) -> None:
        self._found.append(Difference(self._partition, entity, what, *sides))
