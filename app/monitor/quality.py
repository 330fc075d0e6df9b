"""How right the scores were, as outcomes come in: predictions and outcomes are kept and joined by the event's id.

All alerts are kept, and of the others a share that is chosen by a digest of the id and weighted back by 1 / share.
Keeping one twice changes nothing, so neither does what is delivered twice. An outcome that is not of the share and
whose prediction was not seen is undecided: it stays in memory until the prediction tells whether it was an alert, and
the topic is read again from the oldest of them after a restart.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from operator import attrgetter

import msgspec
import numpy as np

from app.contracts.compile import compile_contract
from app.monitor.bins import Floats
from app.monitor.cells import Cell, Cells, Changes
from app.monitor.counts import DAY_MS, DAYS, Pairs, by_partition
from app.monitor.seen import CalibrationSeen, DaySeen, LabelsSeen
from app.monitor.watched import Labelled
from app.record import Record

UNDECIDED = 50_000
SLACK_MS = 3 * DAY_MS  # a prediction that is so far behind the others does not come any more
MOST = 500_000  # predictions that are kept; the oldest day goes first
CALIBRATED = 10  # bins of scores


class Kept(msgspec.Struct, array_like=True):
    """A prediction as it is kept for its outcome."""

    partition: int
    offset: int
    time_ms: int
    score: float
    alert: bool
    weight: float


class Outcome(msgspec.Struct, array_like=True):
    """What became of an event, and where that was said first."""

    partition: int
    offset: int
    time_ms: int
    positive: bool


class Labels(Cell):
    """All outcomes of a partition; `undecided` is the offset of the oldest one that is so."""

    undecided: int = 0
    read: int = 0
    malformed: int = 0
    newest_ms: int = 0
    twice: int = 0
    too_late: int = 0


def chosen(event_id: str, share: float) -> bool:
    """Whether an event is one of the share: the same answer for prediction and outcome, today and tomorrow."""
    digest = hashlib.blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


class Predictions:
    """Predictions that are kept, by event id. Of several answers to one event the first counts."""

    def __init__(self, topic: str, share: float) -> None:
        self.topic = topic
        self.share = share
        self.kept = Cells(Kept, "kept", topic)
        self.changed: set[int] = set()
        self._days: defaultdict[int, set[str]] = defaultdict(set)

    def see(self, partition: int, events: Pairs) -> None:
        for record, event in events:
            alert = event.score >= event.threshold
            if not alert and not chosen(event.event_id, self.share):
                continue
            if event.event_id in self.kept.of:
                continue
            weight = 1.0 if alert else 1 / self.share
            kept = Kept(partition, record.offset, event.time_ms, event.score, alert, weight)
            self.kept.put(event.event_id, kept)
            self._index(event.event_id, kept)
        self._forget()

    def _index(self, event_id: str, kept: Kept) -> None:
        day = kept.time_ms // DAY_MS
        self._days[day].add(event_id)
        self.changed.add(day)

    def _forget(self) -> None:
        while self._days and (min(self._days) <= max(self._days) - DAYS or len(self.kept.of) > MOST):
            day = min(self._days)
            for event_id in self._days.pop(day):
                self.kept.drop(event_id)
            self.changed.add(day)

    @property
    def days(self) -> list[int]:
        return sorted(self._days)

    def of_day(self, day: int) -> list[tuple[str, Kept]]:
        """In the order of their ids, so that sums do not depend on the order of coming."""
        return [(event_id, self.kept.of[event_id]) for event_id in sorted(self._days.get(day, ()))]

    def newest_alerts(self, most: int) -> list[str]:
        """Event ids of the newest alerts."""
        found: list[tuple[int, str]] = []
        for day in reversed(self.days):
            found += [(kept.time_ms, event_id) for event_id, kept in self.of_day(day) if kept.alert]
            if len(found) >= most:
                break
        return [event_id for _, event_id in sorted(found, reverse=True)[:most]]

    def changes(self) -> Changes:
        return self.kept.changes()

    def restore(self, key: str, value: bytes) -> bool:
        if not self.kept.restore(key, value):
            return False
        event_id = key.split("|", 3)[3]
        self._index(event_id, self.kept.of[event_id])
        return True


class Outcomes:
    """The topic of outcomes, read for the predictions that are kept. `newest_ms` is of the newest answered event."""

    def __init__(self, labelled: Labelled, predictions: Predictions, newest_ms: Callable[[], int]) -> None:
        self.topic = labelled.topic.name
        self._decode = compile_contract(labelled.topic.model).decode
        self._id, self._known = attrgetter(labelled.id), attrgetter(labelled.topic.time)
        self._positive, self._at = attrgetter(labelled.positive), attrgetter(labelled.at)
        self._predictions = predictions
        self._newest_ms = newest_ms
        self._undecided: dict[str, Outcome] = {}
        of = f"{self.topic}@{predictions.topic}"  # another pipeline may be told by the same outcomes
        self.totals = Cells(Labels, "outcomes", of)
        self.known = Cells(Outcome, "outcomes", of)
        self._days: defaultdict[int, set[str]] = defaultdict(set)

    def see(self, records: Sequence[Record]) -> None:
        decided_ms = self._newest_ms() - SLACK_MS
        for partition, pairs in by_partition(records).items():
            total = self.totals.changing(str(partition))
            total.newest_ms = max(total.newest_ms, pairs[-1][0].timestamp_ms)
            for record, _ in pairs:
                new = record.offset >= total.next
                total.next = max(total.next, record.next_offset)
                total.read += new
                self._keep(total, record, new=new, decided_ms=decided_ms)
        self._decide(decided_ms)
        self._forget()

    def _keep(self, total: Labels, record: Record, *, new: bool, decided_ms: int) -> None:
        try:
            label = self._decode(record.value)
        except (ValueError, RecursionError):
            total.malformed += new
            return
        event_id, at = self._id(label), self._at(label)
        if self._known(label) - at > DAYS * DAY_MS:
            total.too_late += new
            return
        outcome = Outcome(record.partition, record.offset, at, bool(self._positive(label)))
        first = self.known.of.get(event_id)
        if first is not None:
            total.twice += new and (first.partition, first.offset) != (record.partition, record.offset)
        elif event_id in self._predictions.kept.of or chosen(event_id, self._predictions.share):
            self._put(event_id, outcome)
        elif at >= decided_ms:
            self._undecided.setdefault(event_id, outcome)

    def meet(self, _: int, events: Pairs) -> None:
        """Answers, after `predictions` has seen them: an alert's outcome is kept, the others are not needed."""
        if not self._undecided:
            return
        for _record, event in events:
            outcome = self._undecided.pop(event.event_id, None)
            if outcome is not None and event.event_id in self._predictions.kept.of:
                self._put(event.event_id, outcome)
                self.totals.changing(str(outcome.partition))

    def _decide(self, decided_ms: int) -> None:
        """Give up those whose prediction comes no more, and the oldest where there are too many."""
        for event_id in [event_id for event_id, one in self._undecided.items() if one.time_ms < decided_ms]:
            del self._undecided[event_id]
        while len(self._undecided) > UNDECIDED:
            del self._undecided[next(iter(self._undecided))]
        oldest: dict[int, int] = {}
        for one in self._undecided.values():
            oldest[one.partition] = min(one.offset, oldest.get(one.partition, one.offset))
        for partition, total in self.totals.of.items():
            total.undecided = oldest.get(int(partition), total.next)

    def _put(self, event_id: str, outcome: Outcome) -> None:
        self.known.put(event_id, outcome)
        self._index(event_id, outcome)

    def _index(self, event_id: str, outcome: Outcome) -> None:
        day = outcome.time_ms // DAY_MS
        self._days[day].add(event_id)
        self._predictions.changed.add(day)
        kept = self._predictions.kept.of.get(event_id)
        if kept is not None:
            self._predictions.changed.add(kept.time_ms // DAY_MS)

    def _forget(self) -> None:
        while self._days and (min(self._days) <= max(self._days) - 2 * DAYS or len(self.known.of) > MOST):
            for event_id in self._days.pop(min(self._days)):
                self.known.drop(event_id)

    def goes_on(self, partition: str) -> int:
        total = self.totals.of[partition]
        return min(total.next, total.undecided)

    def changes(self) -> Changes:
        yield from self.known.changes()

    def restore(self, key: str, value: bytes) -> bool:
        if self.totals.restore(key, value):
            return True
        if not self.known.restore(key, value):
            return False
        event_id = key.split("|", 3)[3]
        self._index(event_id, self.known.of[event_id])
        return True


class Quality:
    """The days of `predictions` as far as `outcomes` tell of them. Only days that changed are computed anew."""

    def __init__(self, predictions: Predictions, outcomes: Outcomes) -> None:
        self.predictions, self.outcomes = predictions, outcomes
        self._seen: dict[int, DaySeen] = {}
        self._joined: dict[int, int] = {}

    def days(self) -> list[DaySeen]:
        """The oldest first."""
        changed, self.predictions.changed = self.predictions.changed, set()
        for day in changed:
            kept = self.predictions.of_day(day)
            known = self.outcomes.known.of
            self._joined[day] = sum(event_id in known for event_id, _ in kept)
            self._seen[day] = _day(day, [(one, known.get(event_id)) for event_id, one in kept])
            if not kept:
                del self._seen[day], self._joined[day]
        return [self._seen[day] for day in sorted(self._seen)]

    def labels(self) -> LabelsSeen:
        totals = self.outcomes.totals.of.values()
        kept = self.predictions.kept.of
        alone = sum(event_id not in kept for event_id in self.outcomes.known.of)
        return LabelsSeen(
            topic=self.outcomes.topic,
            read=sum(total.read for total in totals),
            joined=sum(self._joined.values()),
            without_prediction=alone,
            twice=sum(total.twice for total in totals),
            too_late=sum(total.too_late for total in totals),
            malformed=sum(total.malformed for total in totals),
        )


def _day(day: int, pairs: list[tuple[Kept, Outcome | None]]) -> DaySeen:
    known = [(kept, outcome) for kept, outcome in pairs if outcome is not None]
    score = np.array([kept.score for kept, _ in known], np.float64)
    weight = np.array([kept.weight for kept, _ in known], np.float64)
    alert = np.array([kept.alert for kept, _ in known], bool)
    positive = np.array([outcome.positive for _, outcome in known], bool)
    found = float(weight[positive].sum())
    hit = float(weight[positive & alert].sum())
    total = float(weight.sum())
    return DaySeen(
        day=datetime.fromtimestamp(day * DAY_MS / 1000, UTC).strftime("%Y-%m-%d"),
        labelled=len(known),
        waiting=len(pairs) - len(known),
        positives=found,
        precision=_part(hit, float(weight[alert].sum())),
        recall=_part(hit, found),
        average_precision=average_precision(score, positive, weight),
        mean_score=_part(float((score * weight).sum()), total),
        positive_share=_part(found, total),
        calibration=_calibration(score, positive, weight),
    )


def _part(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def average_precision(score: Floats, positive: np.typing.NDArray[np.bool_], weight: Floats) -> float | None:
    """The mean of precision over the positives, weighted, ties taken together; None where there is no positive."""
    if not positive.any():
        return None
    order = np.argsort(-score, kind="stable")
    score, positive, weight = score[order], positive[order], weight[order]
    ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # the last of each score
    hits = np.cumsum(weight * positive)[ends]
    precision = hits / np.cumsum(weight)[ends]
    return float((np.diff(hits, prepend=0.0) * precision).sum() / hits[-1])


def _calibration(score: Floats, positive: np.typing.NDArray[np.bool_], weight: Floats) -> list[CalibrationSeen]:
    bins = np.minimum((score * CALIBRATED).astype(int), CALIBRATED - 1)
    found = []
    for at in range(CALIBRATED):
        mine = bins == at
        total = float(weight[mine].sum())
        if total:
            found.append(
                CalibrationSeen(
                    low=at / CALIBRATED,
                    high=(at + 1) / CALIBRATED,
                    weight=total,
                    mean_score=float((score[mine] * weight[mine]).sum()) / total,
                    positive_share=float(weight[mine & positive].sum()) / total,
                )
            )
    return found
