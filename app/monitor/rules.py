"""What is worth an alert, declared; and when one is raised and cleared.

A value has to stay beyond `raise_at` for `for_s` before an alert is raised, and beyond `clear_at`, which is farther
off, for as long before it is cleared: what swings about one threshold is one alert. A value that is not known changes
nothing. An alert lives in the monitor's table, so that a restart neither forgets it nor raises it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from app.monitor.cells import Cells
from app.monitor.cells import Changes as Written
from app.monitor.seen import PipelineSeen, PointSeen
from schemas.alerts import SUBJECT_LENGTH, TEXT_LENGTH, MonitorAlert

MINUTE = 6  # points
LEAST = 50  # events in a minute of which a share is told
LEAST_POSITIVES = 20.0
WEEK = 7
KNOWN = 200  # cleared alerts that are kept


class Measure(NamedTuple):
    """A value now, what of the pipeline it is of, and what is wrong if it is too much, as the end of a sentence."""

    subject: str
    value: float | None
    words: str


@dataclass(frozen=True)
class Rule:
    """`low`: a value is bad where it is small. `runbook` is an entry of ops/runbook.md."""

    name: str
    severity: Literal["page", "ticket"]
    raise_at: float
    clear_at: float
    for_s: float
    runbook: str
    action: str
    measure: Callable[[PipelineSeen, int], Iterable[Measure]]
    low: bool = False

    def is_bad(self, value: float) -> bool:
        return value <= self.raise_at if self.low else value >= self.raise_at

    def is_well(self, value: float) -> bool:
        return value >= self.clear_at if self.low else value <= self.clear_at


def _drift(of: PipelineSeen, _: int) -> Iterator[Measure]:
    score = [of.scores.drift] if of.scores is not None else []
    for one in (*of.drift, *score):
        if one.state not in ("no-reference", "too-few"):
            yield Measure(one.name, one.psi, f"{one.name} lies otherwise than in training (PSI {one.psi or 0:.2f})")


def _change(of: PipelineSeen, now_ms: int) -> Iterator[Measure]:
    found = of.scores.change if of.scores is not None else None
    if found is None:
        return
    recent = now_ms - found.found_ms < 600_000
    yield Measure("score", float(recent), f"the mean score went from {found.before:.4f} to {found.after:.4f}")


def _recall(of: PipelineSeen, _: int) -> Iterator[Measure]:
    known = [day for day in of.quality if day.recall is not None][-WEEK:]
    positives = sum(day.positives for day in known)
    if positives >= LEAST_POSITIVES:
        recall = sum((day.recall or 0.0) * day.positives for day in known) / positives
        yield Measure("", recall, f"{recall:.0%} of what turned out to be positive in {len(known)} days was an alert")


def _lag(of: PipelineSeen, _: int) -> Iterator[Measure]:
    behind = of.lag.seconds_behind_append
    yield Measure("", behind, f"the oldest unscored record has waited for {behind or 0:.0f} s")


def _unowned(of: PipelineSeen, _: int) -> Iterator[Measure]:
    """A pipeline that never ran is nobody's fault."""
    ran = any(one.committed is not None for one in of.lag.partitions)
    free = [one.partition for one in of.lag.partitions if one.owner is None]
    if ran:
        named = ", ".join(map(str, free[:12])) + (", ..." if len(free) > 12 else "")
        yield Measure("", None if of.lag.rebalancing else len(free), f"nobody owns partition {named} of {of.source}")


def _silent(of: PipelineSeen, now_ms: int) -> Iterator[Measure]:
    if of.kind == "fold" or not any(one.committed is not None for one in of.lag.partitions):
        return
    if not of.lag.lag:
        yield Measure("", 0.0 if of.lag.lag == 0 else None, "all is scored")
        return
    newest = max((point.at_ms for point in of.points if point.predictions), default=of.points[0].at_ms)
    silent = max(0.0, (now_ms - newest) / 1000 - 10)  # a point is ten seconds long
    yield Measure("", silent, f"{of.lag.lag:,} records wait and nothing was answered for {silent:.0f} s")


def _dead(of: PipelineSeen, _: int) -> Iterator[Measure]:
    dead, answered = _minute(of, lambda point: point.dead_letters), _minute(of, lambda point: point.predictions)
    if dead + answered >= LEAST:
        share = dead / (dead + answered)
        yield Measure("", share, f"{share:.1%} of the last minute's records are dead letters")
    elif not dead:
        yield Measure("", 0.0, "there are no dead letters")


def _stale(of: PipelineSeen, _: int) -> Iterator[Measure]:
    marked, answered = _minute(of, lambda point: point.inexact), _minute(of, lambda point: point.predictions)
    if answered >= LEAST:
        share = marked / answered
        yield Measure("", share, f"{share:.1%} of the last minute's answers stand on features that are not exact")
    elif not marked:
        yield Measure("", 0.0, "all features are exact")


def _minute(of: PipelineSeen, what: Callable[[PointSeen], int]) -> int:
    return sum(map(what, of.points[-MINUTE:]))


RULES = (
    Rule(
        "not-scoring", "page", 30.0, 1.0, 2.0, "not-scoring",
        "Look whether its workers run (`streaminfer health`), and start or restart `streaminfer run`.", _silent,
    ),
    Rule(
        "nobody-owns", "page", 1.0, 0.0, 8.0, "nobody-owns",
        "Start `streaminfer run` for this pipeline, or look why its workers left the group.", _unowned,
    ),
    Rule(
        "lag", "page", 30.0, 5.0, 5.0, "lag",
        "Look at `streaminfer lag`: add workers up to the number of partitions, or find what holds a partition.", _lag,
    ),
    Rule(
        "dead-letters", "page", 0.05, 0.01, 10.0, "dead-letters",
        "Look at the reasons of the dead letters: a producer or a deployment has changed.", _dead,
    ),
    Rule(
        "recall-low", "ticket", 0.3, 0.4, 10.0, "recall-low",
        "Compare drift and quality by day; train anew on recent outcomes or go back to an older model.", _recall,
        low=True,
    ),
    Rule(
        "drift", "ticket", 0.2, 0.1, 5.0, "drift",
        "Look whether the world has changed or a producer has: then train anew, or mend the producer.", _drift,
    ),
    Rule(
        "score-changed", "ticket", 1.0, 0.0, 0.0, "drift",
        "Look at what changed at that time: a model, a producer, or the world.", _change,
    ),
    Rule(
        "stale-features", "ticket", 0.05, 0.01, 10.0, "stale-features",
        "Look whether the job or the pipeline that writes the looked-up features is late.", _stale,
    ),
)  # fmt: skip


class Standing(msgspec.Struct):
    """An alert as it was told last."""

    alert: dict[str, str | int | float] = msgspec.field(default_factory=dict)


class Alerts:
    """Those that stand and those that were cleared lately. `judge` gives what is to be told."""

    def __init__(self, rules: tuple[Rule, ...] = RULES) -> None:
        self._rules = rules
        self._standing = Cells(Standing, "alerts", "")
        self._beyond: dict[str, tuple[bool, int]] = {}  # which way a value has gone, and since when

    def judge(self, pipelines: Iterable[PipelineSeen], now_ms: int) -> list[MonitorAlert]:
        """Alerts that are raised or cleared now."""
        told = []
        for pipeline in pipelines:
            for rule in self._rules:
                for measure in rule.measure(pipeline, now_ms):
                    alert = self._judged(rule, pipeline.name, measure, now_ms)
                    if alert is not None:
                        told.append(alert)
                        self._standing.put(alert.alert_id, Standing(alert.model_dump()))
        self._forget()
        return told

    def _judged(self, rule: Rule, pipeline: str, measure: Measure, now_ms: int) -> MonitorAlert | None:
        if measure.value is None:
            return None
        alert_id = _id(rule.name, pipeline, measure.subject)
        standing = self._standing.of.get(alert_id)
        raised = standing is not None and standing.alert["state"] == "raised"
        turns = rule.is_well(measure.value) if raised else rule.is_bad(measure.value)
        if not turns:
            self._beyond.pop(alert_id, None)
            return None
        was_raised, since_ms = self._beyond.setdefault(alert_id, (raised, now_ms))
        if was_raised != raised or now_ms - since_ms < rule.for_s * 1000:
            return None
        del self._beyond[alert_id]
        if raised and standing is not None:
            since_ms = int(standing.alert["since_ms"])
        return MonitorAlert(
            alert_id=alert_id,
            rule=rule.name,
            pipeline=pipeline,
            subject=measure.subject[:SUBJECT_LENGTH],
            state="cleared" if raised else "raised",
            severity=rule.severity,
            value=measure.value,
            raise_at=rule.raise_at,
            clear_at=rule.clear_at,
            since_ms=since_ms,
            time_ms=now_ms,
            summary=_summary(rule, pipeline, measure, well=raised)[:TEXT_LENGTH],
            action=rule.action,
            runbook=rule.runbook,
        )

    def newest(self, most: int) -> list[MonitorAlert]:
        """Raised ones first, then the newest cleared ones."""
        found = [MonitorAlert.model_validate(standing.alert) for standing in self._standing.of.values()]
        return sorted(found, key=lambda alert: (alert.state != "raised", -alert.time_ms))[:most]

    def _forget(self) -> None:
        cleared = [one for one in self._standing.of.items() if one[1].alert["state"] == "cleared"]
        for alert_id, _ in sorted(cleared, key=lambda one: -int(one[1].alert["time_ms"]))[KNOWN:]:
            self._standing.drop(alert_id)

    def changes(self) -> Written:
        return self._standing.changes()

    def restore(self, key: str, value: bytes) -> bool:
        return self._standing.restore(key, value)


def _summary(rule: Rule, pipeline: str, measure: Measure, *, well: bool) -> str:
    if well:
        of = f" of {measure.subject}" if measure.subject else ""
        return f"{pipeline}: {rule.name}{of} is well again, at {measure.value or 0:.3g}."
    return f"{pipeline}: {measure.words}."


def _id(rule: str, pipeline: str, subject: str) -> str:
    return hashlib.blake2b("\0".join((rule, pipeline, subject)).encode(), digest_size=12).hexdigest()
