"""What to do with a partition that was just assigned: protocol B6 as one pure function.

C is what the group has committed, M the marker of a view. The log lies between its start and its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.errors import Fatal
from app.features.held import Held
from app.features.marker import Marker, new_build
from app.features.views import View


@dataclass(frozen=True)
class Found:
    """What a new owner of `group` finds: C (None: it never committed, or it expired), and the log's bounds."""

    topic: str
    topic_id: str
    partitions: int
    partition: int
    committed: int | None
    log_start: int
    log_end: int
    group: str = "PIPELINE"

    @property
    def recover(self) -> str:
        return f"`streaminfer offsets recover {self.group}`"


@dataclass(frozen=True)
class Begin:
    """Nothing was ever scored here: commit `at` before anything else, so that C is known from now on."""

    at: int


@dataclass(frozen=True)
class Resume:
    """Fold [fold_from, committed) without scoring, then score from `committed` on.

    `builds` holds for each view the marker to start from; where `new` says so it is still to be written.
    """

    fold_from: int
    committed: int
    builds: tuple[Marker, ...]
    new: tuple[bool, ...]


@dataclass(frozen=True)
class Wanted:
    """A view, and the digest of all that its state depends on."""

    view: View
    digest: str


def decide(found: Found, wanted: Sequence[Wanted], markers: Sequence[Marker | None]) -> Begin | Resume:
    """The row of protocol B6 that holds. Raises Fatal, with the way out, for the rows that a person must decide."""
    where = f"{found.topic}/{found.partition}"
    if found.committed is None:
        if any(markers):
            raise Fatal(
                f"Redis has state for {where}, but the group has no committed offset there: it expired or was deleted. "
                f"{found.recover} sets it to where scoring ended; without it everything would be scored twice."
            )
        return Begin(found.log_start)
    refuse_lost_log(found, found.committed)
    builds: list[Marker] = []
    new: list[bool] = []
    for want, marker in zip(wanted, markers, strict=True):
        # Another declaration is another state: it is folded anew from the log beside the old one.
        kept = marker if marker is not None and marker.digest == want.digest else None
        build = kept or _build(found, want.digest)
        builds.append(build)
        new.append(kept is None)
        _refuse_state(found, found.committed, want.view.name, build)
    fold_from = min((marker.next for marker in builds), default=found.committed)
    return Resume(fold_from, found.committed, tuple(builds), tuple(new))


def as_planned(found: Found, fold_from: int | None, markers: Sequence[Marker | None]) -> Found:
    """What is found, where a state that begins anew begins at `fold_from` and not at the log's start.

    Raises Fatal where the log does not have that any more, or where the partition is not in the plan.
    """
    where = f"{found.topic}/{found.partition}"
    if fold_from is None or found.committed is None:
        raise Fatal(f"{where} is not in the plan of the replay {found.group}: the topic has more partitions by now.")
    new = any(marker is None for marker in markers)
    if new and fold_from < min(found.log_start, found.committed):
        raise Fatal(
            f"The offsets {fold_from} to {found.log_start - 1} of {where} were deleted since the replay was planned: "
            "its state cannot be folded any more. Cancel it, and plan it anew."
        )
    return replace(found, log_start=max(found.log_start, fold_from))


def refuse_short_log(found: Found, held: Held) -> None:
    """Raises Fatal for a state that was not folded from the log's first offset and has not outlived that yet."""
    if not held.is_whole(held.newest_ms):
        raise Fatal(
            f"The view {held.view.name} looks back {held.view.within_ms / 86_400_000:g} days, but the log of "
            f"{found.topic}/{found.partition} was deleted up to offset {held.marker.since}: its features would count "
            "too little. Raise the topic's retention.ms, or set STREAMINFER_ACCEPT_INCOMPLETE=true to go on and have "
            "such predictions marked `incomplete`."
        )


def _build(found: Found, digest: str) -> Marker:
    return Marker(
        topic_id=found.topic_id,
        partitions=found.partitions,
        build=new_build(),
        digest=digest,
        since=found.log_start,
        next=found.log_start,
    )


def refuse_lost_log(found: Found, committed: int) -> None:
    """Raises Fatal where the log does not reach to what is committed, from either side."""
    where = f"{found.topic}/{found.partition}"
    if committed < found.log_start:
        raise Fatal(
            f"The offsets {committed} to {found.log_start - 1} of {where} were deleted before they were scored. "
            "Raise the topic's retention.ms; to go on without them, set the group's offset to "
            f"{found.log_start} by hand (the audit will list the gap)."
        )
    if committed > found.log_end:
        raise Fatal(
            f"The group has committed offset {committed} of {where}, but the log ends at {found.log_end}: the topic "
            f"was created anew or the offset was set by hand. {found.recover} sets it to where scoring ended."
        )


def _refuse_state(found: Found, committed: int, view: str, marker: Marker) -> None:
    where = f"{found.topic}/{found.partition}"
    if marker.topic_id != found.topic_id:
        raise Fatal(
            f"The state of view {view} in Redis was folded from another topic called {found.topic}: it was deleted and "
            f"created since. Make the state anew with `streaminfer features rebuild {view}` and run again."
        )
    if marker.partitions != found.partitions:
        raise Fatal(
            f"The state of view {view} was folded when {found.topic} had {marker.partitions} partitions, and it has "
            f"{found.partitions} now: keys have moved, and their windows would start anew. Make the state anew on a "
            f"topic of the new width, with `streaminfer features rebuild {view}` once its old records are there."
        )
    if marker.next > committed:
        raise Fatal(
            f"The state of view {view} for {where} is folded up to {marker.next}, beyond the group's offset "
            f"{committed}: the offset was moved back. {found.recover} puts it back to where scoring ended; "
            f"`streaminfer features rebuild {view}` makes the state anew for the offset as it is."
        )
    if marker.next < found.log_start and marker.next < committed:
        raise Fatal(
            f"The state of view {view} for {where} is folded up to {marker.next}, but the log now starts at "
            f"{found.log_start}: what lies between cannot be counted any more. Restore the state in Redis, or make it "
            f"anew with `streaminfer features rebuild {view}`."
        )
