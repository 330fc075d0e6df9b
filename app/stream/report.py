"""What a worker tells about itself: one struct, twice a second, as a line on standard output.

Read from the loop's own objects by another thread, without a lock: each number is right, and they may be of moments
half a turn apart.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import StreamInferError
from app.stream.measures import Meter
from app.stream.shares import Share

if TYPE_CHECKING:
    from app.stream.worker import Worker

# The broker's words for why a transaction did not commit, by what they mean; any other word is `kafka`.
MOVED_ON, DELIVERY, TIMED_OUT, OVERDUE, KAFKA = "group-moved-on", "delivery", "timed-out", "overdue", "kafka"
_REASONS = {
    "_TIMED_OUT": TIMED_OUT,
    "_TIMED_OUT_QUEUE": TIMED_OUT,
    "REQUEST_TIMED_OUT": TIMED_OUT,
    "_MSG_TIMED_OUT": DELIVERY,
    "_PURGE_QUEUE": DELIVERY,
    "_PURGE_INFLIGHT": DELIVERY,
    "MSG_SIZE_TOO_LARGE": DELIVERY,
    "INVALID_TIMESTAMP": DELIVERY,
    "TOPIC_AUTHORIZATION_FAILED": DELIVERY,
    "_FENCED": OVERDUE,
    "INVALID_PRODUCER_EPOCH": OVERDUE,
}
REASONS = (MOVED_ON, DELIVERY, TIMED_OUT, OVERDUE, KAFKA)


class Spread(msgspec.Struct, frozen=True):
    """A distribution: how many values in each bucket, and their sum."""

    counts: list[int]
    sum: float


class Sums(msgspec.Struct, frozen=True):
    """What only grows while a process lives. `folded` records went into the state alone; `dead` is by stage/code,
    `aborted` by class of reason."""

    predictions: int = 0
    folded: int = 0
    committed: int = 0
    cpu_s: float = 0.0
    dead: dict[str, int] = {}
    marks: dict[str, int] = {}
    aborted: dict[str, int] = {}
    spreads: dict[str, Spread] = {}


class Place(msgspec.Struct, frozen=True):
    """An owned partition. `end` is the log's end as of when it was last read to its end; `left` is what is to be
    folded before it is scored; `held_s` for how long it has waited at the same offset; `read` says that all that was
    read is committed."""

    phase: str
    waiting: bool = False
    held_s: float = 0.0
    committed: int | None = None
    end: int = -1
    left: int = 0
    read: bool = False


class Report(msgspec.Struct, frozen=True):
    """One worker. `waits` is a whole sentence's end where it cannot work now: what it waits for."""

    running: bool = False
    waits: str = ""
    model: str = ""
    turn_s: float = 0.0  # since the loop last turned
    places: dict[int, Place] = {}
    pending_why: str = ""
    redis_away: bool = False
    entities: int = 0
    dirty: int = 0
    rows: int = 0
    skipped: dict[str, int] = {}
    rss_bytes: int = 0
    sums: Sums = Sums()


def waiting(what: str) -> dict[str, Any]:
    """The report of a process that has no worker yet."""
    return _told(Report(waits=what))


def report_of(worker: Worker, meter: Meter) -> dict[str, Any]:
    """The worker now, as the supervisor is told."""
    memory = worker.memory
    owned = list(dict(memory.owned).values())
    held = [held for one in owned for held in one.held]
    model = worker.processor.model
    return _told(
        Report(
            running=True,
            waits="Kafka to initialise its producers" if worker.recovering else "",
            model=model.ref if model is not None else "",
            turn_s=round(time.monotonic() - meter.turned, 3),
            places={p: _place(worker, meter, share) for p, share in sorted(dict(worker.shares).items())},
            pending_why=worker.pending_why,
            redis_away=worker.redis_away,
            entities=sum(len(one.states) for one in held),
            dirty=sum(len(one.dirty) for one in held),
            rows=sum(reader.held for reader in memory.readers),
            skipped=dict(memory.skipped),
            rss_bytes=_resident_bytes(),
            sums=_sums(meter),
        )
    )


def reason_of(error: StreamInferError | None, *, moved_on: bool) -> str:
    """Why a transaction did not commit, as one of few words: a label."""
    if moved_on:
        return MOVED_ON
    cause: Any = error.__cause__.args[0] if error is not None and error.__cause__ and error.__cause__.args else None
    return _REASONS.get(cause.name(), KAFKA) if hasattr(cause, "name") else KAFKA


def _place(worker: Worker, meter: Meter, share: Share) -> Place:
    owned = worker.memory.owned.get(share.partition)
    following = owned.next_offset if owned is not None else None
    left = share.until - following if following is not None and share.phase.value == "catching up" else 0
    read = share.phase.value == "live" and following == share.committed and not share.waiting
    held_s = _held_s(meter, share)
    return Place(share.phase.value, share.waiting, held_s, share.committed, share.end, max(0, left), read)


def _held_s(meter: Meter, share: Share) -> float:
    """For how long it has waited without coming forward, as far as the reports have seen."""
    if not share.waiting:
        meter.held.pop(share.partition, None)
        return 0.0
    now = time.monotonic()
    at, since = meter.held.get(share.partition, (share.committed, now))
    since = since if at == share.committed else now
    meter.held[share.partition] = (share.committed, since)
    return round(now - since, 3)


def _sums(meter: Meter) -> Sums:
    return Sums(
        predictions=meter.predictions,
        folded=meter.folded,
        committed=meter.committed,
        cpu_s=round(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]), 3),
        dead=dict(meter.dead),
        marks=dict(meter.marks),
        aborted=dict(meter.aborted),
        spreads={name.value: Spread(list(it.counts), it.sum) for name, it in meter.histograms.items()},
    )


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0  # a system without it


def _told(report: Report) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(report, str_keys=True)
    return {"event": "report", **told}
