"""The snapshot that the page shows, made of what is counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import numpy as np

from app.inference.manifest import Distribution
from app.monitor.bins import Ints, Spread, psi
from app.monitor.counts import TEN_MS, TENS, Answers, Ten, number
from app.monitor.seen import (
    BinsSeen,
    DeadSeen,
    DriftSeen,
    DriftState,
    LatencySeen,
    MarkSeen,
    ModelSeen,
    MonitorSeen,
    PipelineSeen,
    PipelineState,
    PointSeen,
    ScoresSeen,
    Seen,
    SourceSeen,
)
from app.monitor.state import State
from app.monitor.watched import Watched

DRIFT_DAYS = 7  # whole weeks: a weekend is no drift
FEW = 500  # events of which a distribution is told
STEADY, DRIFTED = 0.1, 0.2
ALERTS = 100
NEWEST = 20
MINUTE = 6
LATE_S = 10.0


def seen(state: State) -> Seen:
    """Everything as it is now."""
    now_ms = int(time.time() * 1000)
    pipelines = [_pipeline(state, of, now_ms) for of in state.watched.values()]
    return Seen(at_ms=now_ms, monitor=_monitor(state), pipelines=pipelines, alerts=state.alerts.newest(ALERTS))


def _monitor(state: State) -> MonitorSeen:
    sources = [_source(state, topic) for topic in state.readers]
    missing = [source.topic for source in sources if not source.there]
    if state.lags.away:
        said = f"{state.lags.away} The monitor waits for it; what is shown is what it knew before."
    elif not state.restored:
        said = "The monitor takes up what it had counted."
    elif missing:
        said = f"Waiting for {', '.join(missing)}: `streaminfer topics apply` makes the topics that are missing."
    else:
        said = f"Reading {len(sources)} topics."
    return MonitorSeen(
        started_ms=state.started_ms,
        kafka="away" if state.lags.away else "connected",
        said=said,
        sources=sources,
        kept_share=state.settings.monitor_share,
        kept=sum(len(predictions.kept.of) for predictions in state.predictions.values()),
    )


def _source(state: State, topic: str) -> SourceSeen:
    totals = [total for reader in state.readers[topic][:1] for total in reader.totals.of.values()]
    return SourceSeen(
        topic=topic,
        there=topic in state.there,
        read=sum(total.read for total in totals),
        malformed=sum(getattr(total, "malformed", 0) for total in totals),
        newest_ms=max((total.newest_ms for total in totals), default=None),
    )


def _pipeline(state: State, of: Watched, now_ms: int) -> PipelineSeen:
    pipeline, name = of.pipeline, of.pipeline.name
    answers = state.answers.get(name)
    totals = list(answers.totals.of.values()) if answers is not None else []
    dead = _dead(state, name)
    points = _points(state, name, now_ms)
    predictions = sum(total.read - total.malformed for total in totals)
    status, said = _status(state, of, points)
    quality = state.quality.get(name)
    hits = state.hits.get(name)
    return PipelineSeen(
        name=name,
        kind=of.kind,
        source=pipeline.source.name,
        answers=answers.topic if answers is not None else None,
        dead_letters=pipeline.dead_letters,
        state=status,
        said=said,
        predictions=predictions,
        dead=sum(one.count for one in dead),
        models=[
            ModelSeen(ref=ref, predictions=count) for ref, count in _sum(total.models for total in totals).most_common()
        ],
        rate_s=points[-2].predictions / (TEN_MS / 1000),
        points=points,
        latency=_latency(answers) if answers is not None else None,
        lag=state.lags.of[name],
        scores=_scores(state, of, answers) if answers is not None and of.kind == "score" else None,
        drift=_features(answers) if answers is not None else [],
        drift_days=DRIFT_DAYS,
        drift_said=_drift_said(of),
        quality=quality.days() if quality is not None else [],
        labels=quality.labels() if quality is not None else None,
        hits=hits.days() if hits is not None else [],
        marks=[
            MarkSeen(mark=mark, count=count, share=count / max(1, predictions))
            for mark, count in _sum(total.marks for total in totals).most_common()
        ],
        dead_by_reason=dead,
        newest=state.predictions[name].newest_alerts(NEWEST) if name in state.predictions else [],
    )


def _status(state: State, of: Watched, points: list[PointSeen]) -> tuple[PipelineState, str]:
    lag = state.lags.of[of.pipeline.name]
    missing = [
        spec.name for spec in of.pipeline.topics() if spec.name in state.readers and spec.name not in state.there
    ]
    if missing:
        return "waiting", f"Waiting for {', '.join(missing)}: run `streaminfer topics apply`."
    if lag.measured_ms is None:
        return "unknown", lag.said
    answered = sum(point.predictions for point in points[-2:])
    unowned = [one for one in lag.partitions if one.owner is None]
    if len(unowned) == len(lag.partitions) and not lag.rebalancing:
        return "stopped", lag.said
    if (lag.seconds_behind_append or 0.0) > LATE_S or (unowned and not lag.rebalancing):
        return "behind", lag.said
    return ("scoring" if answered or lag.lag else "caught-up"), lag.said


def _points(state: State, name: str, now_ms: int) -> list[PointSeen]:
    answers = state.answers.get(name)
    answered = _tens(answers.tens.of) if answers is not None else {}
    dead = _tens(state.dead[name].tens.of)
    newest = now_ms // TEN_MS
    empty: list[Ten] = []
    return [
        PointSeen(
            at_ms=ten * TEN_MS,
            predictions=sum(cell.count for cell in answered.get(ten, empty)),
            dead_letters=sum(cell.count for cell in dead.get(ten, empty)),
            inexact=sum(cell.inexact for cell in answered.get(ten, empty)),
            p50_ms=Spread.quantile(late := _late(answered.get(ten, empty)), 0.5),
            p99_ms=Spread.quantile(late, 0.99),
        )
        for ten in range(newest - TENS + 1, newest + 1)
    ]


def _tens(cells: dict[str, Ten]) -> dict[int, list[Ten]]:
    found: dict[int, list[Ten]] = {}
    for name, cell in cells.items():
        found.setdefault(number(name), []).append(cell)
    return found


def _late(cells: Iterable[Ten], what: str = "late") -> Ints:
    counts = np.zeros(Spread.COUNT, np.int64)
    for cell in cells:
        for at, count in getattr(cell, what).items():
            counts[at] += count
    return counts


def _latency(answers: Answers) -> LatencySeen | None:
    known = {ten: cells for ten, cells in _tens(answers.tens.of).items() if any(cell.late for cell in cells)}
    if not known:
        return None
    newest = max(known)
    cells = [cell for ten, found in known.items() if ten > newest - MINUTE for cell in found]
    late, scored = _late(cells), _late(cells, "scored")
    return LatencySeen(
        count=int(late.sum()),
        p50_ms=Spread.quantile(late, 0.5),
        p99_ms=Spread.quantile(late, 0.99),
        scored_p50_ms=Spread.quantile(scored, 0.5),
    )


def _scores(state: State, of: Watched, answers: Answers) -> ScoresSeen | None:
    if of.reference is None:
        return None
    counts, sums, total, alerts = _newest_days(answers)
    return ScoresSeen(
        days=DRIFT_DAYS,
        drift=_drift("score", of.reference.score, counts[-1] if counts else [], sums[-1] if sums else 0.0, total),
        threshold=of.threshold,
        alerts=alerts,
        passes=total - alerts,
        alert_share=alerts / total if total else None,
        change=state.changes[of.pipeline.name].newest,
    )


def _features(answers: Answers) -> list[DriftSeen]:
    """The most drifted first."""
    of = answers.watched
    counts, sums, total, _ = _newest_days(answers)
    known = of.reference.features if of.reference is not None else {}
    found = [
        _drift(name, known[name], counts[at] if counts else [], sums[at] if sums else 0.0, total)
        for at, name in enumerate(answers.measured)
    ]
    found.sort(key=lambda one: -(one.psi if one.psi is not None else -1.0))
    unknown = [name for name in of.features if name not in known]
    return found + [_drift(name, None, [], 0.0, 0) for name in unknown]


def _newest_days(answers: Answers) -> tuple[list[Ints], list[float], int, int]:
    """Bins and sums of each distribution over the newest days; how many events and alerts they are of."""
    cells = answers.days.of
    newest = max(map(number, cells), default=0)
    own = [cell for name, cell in cells.items() if number(name) > newest - DRIFT_DAYS and cell.bins]
    if not own:
        return [], [], 0, 0
    counts = [np.sum([cell.bins[at] for cell in own], axis=0) for at in range(len(own[0].bins))]
    sums = [sum(cell.sums[at] for cell in own) for at in range(len(own[0].sums))]
    return counts, sums, sum(cell.count for cell in own), sum(cell.alerts for cell in own)


def _drift(name: str, known: Distribution | None, counts: Ints | list[int], total: float, count: int) -> DriftSeen:
    if known is None:
        return DriftSeen(
            name=name, state="no-reference", psi=None, count=count, mean=None, reference_mean=None, bins=None
        )
    index = psi(counts, known.shares) if count >= FEW else None
    state: DriftState = "too-few"
    if index is not None:
        state = "drifted" if index >= DRIFTED else "moving" if index >= STEADY else "steady"
    shares = [int(one) / count for one in counts] if count else [0.0] * len(known.shares)
    return DriftSeen(
        name=name,
        state=state,
        psi=index,
        count=count,
        mean=total / count if count else None,
        reference_mean=known.mean,
        bins=BinsSeen(edges=list(known.edges), shares=shares, reference=list(known.shares)),
    )


def _drift_said(of: Watched) -> str:
    if of.kind == "fold":
        return "It answers nothing, so nothing can drift."
    if not of.features:
        return "Its answers tell no features, so their drift is not measured."
    if of.reference is None:
        return (
            f"The manifest of the model {of.pipeline.model} has no training reference, so nothing is compared: train "
            "it anew with one."
        )
    return (
        f"The newest {DRIFT_DAYS} days of event time against {of.reference.rows:,} rows of training: below {STEADY} "
        f"steady, from {DRIFTED} on drifted."
    )


def _dead(state: State, name: str) -> list[DeadSeen]:
    """By reason over all partitions, the most frequent first."""
    found: dict[str, tuple[int, int, str, str]] = {}
    for letters in state.dead[name].totals.of.values():
        for reason, (count, last_ms, words, source) in letters.reasons.items():
            before = found.get(reason, (0, 0, "", ""))
            newest = (last_ms, words, source) if last_ms >= before[1] else before[1:]
            found[reason] = (before[0] + count, *newest)
    listed = []
    for reason, (count, last_ms, words, source) in sorted(found.items(), key=lambda one: -one[1][0]):
        stage, _, code = reason.partition("|")
        listed.append(DeadSeen(stage=stage, code=code, count=count, last_ms=last_ms, reason=words, source=source))
    return listed


def _sum(counts: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total
