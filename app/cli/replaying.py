"""How a replay looks: its plan, how far it is, and what came of it, in words and as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.cli.terminal import counted, printable, table

if TYPE_CHECKING:
    from app.replay.plan import Part, Plan
    from app.replay.plans import Result
    from app.replay.standing import Status

WIDTH = 30
SHOWN = 12  # partitions that are shown by themselves


def bar(done: int, total: int) -> str:
    """How far it is, as a picture and a share."""
    share = min(1.0, done / total) if total else 1.0
    full = int(share * WIDTH)
    return f"[{'#' * full}{'.' * (WIDTH - full)}] {share:4.0%}"


def duration(seconds: float) -> str:
    """A length of time, no more exact than it is."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: int) -> str:
    """Bytes, in what a person reads."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def plan_lines(plan: Plan) -> list[tuple[str, str]]:
    """A plan in words: names and values."""
    lookups = {
        "asof": "as they were known at each event's time",
        "logged": "the features and marks that the old answers show",
        "current": "as they are now, which is not what they were then",
    }
    inputs = plan.inputs
    outside = f", {inputs.outside:,} of them outside the times, between others" if inputs.outside else ""
    rows = [
        ("plan", plan.id),
        ("pipeline", f"{plan.name} with {plan.model}"),
        ("from", plan.since),
        ("to", plan.until),
        ("answers", f"{counted(inputs.events, 'record')} of {inputs.topic}{outside}"),
        ("into", f"{plan.target}{', the live topic' if plan.into_live else ''}; refused ones into {plan.dead_letters}"),
        ("lookups", f"{plan.lookups}: {lookups[plan.lookups]}"),
        ("folds first", f"{counted(plan.scored.warmup, 'record')} of {plan.scored.topic}"),
    ]
    rows += [
        ("beside", f"{part.pipeline} folds {counted(part.events, 'record')} of {part.topic}") for part in plan.beside
    ]
    if plan.recorded is not None:
        rows.append(("scores", f"{counted(plan.recorded.events, 'old answer')} on {plan.recorded.topic}"))
    limit = f", {plan.rate:,.0f} records/s at most" if plan.rate is not None else ""
    rows += [
        ("workers", f"{plan.workers}{limit}; holds still while live lags by over {plan.yield_at:,} records"),
        ("takes", f"about {duration(plan.seconds)}, if a worker answers 40,000/s and folds 80,000/s"),
        ("writes", f"about {size(plan.disk_bytes)}, for each copy that the topic keeps"),
        *_partitions(inputs),
    ]
    if plan.incomplete:
        rows.append(("gaps", "what retention has deleted is missing: answers that look back on it say `incomplete`"))
    return rows


def _partitions(part: Part) -> list[tuple[str, str]]:
    rows = [
        (f"partition {p}", f"{stretch.start:,} to {stretch.end - 1:,}, folded from {stretch.fold_from:,}")
        for p, stretch in sorted(part.partitions.items())
        if stretch.end > stretch.start
    ]
    return rows if len(rows) <= SHOWN else [*rows[:SHOWN], ("", f"and {len(rows) - SHOWN} more; --json shows all")]


def summary(plan: Plan, result: Result) -> str:
    """What came of a replay, in a sentence or two."""
    marks = ", ".join(f"{count:,} {mark}" for mark, count in result.marked.items())
    marked = f" Marked: {marks}." if marks else " None is marked."
    return (
        f"{counted(result.answered, 'answer')} on {plan.target} and {counted(result.dead_letters, 'dead letter')}, in "
        f"{duration(result.seconds)}.{marked}"
    )


def status_lines(status: Status) -> list[str]:
    """How a replay stands, in words."""
    rows = [
        ("replay", f"{status.id} of {status.pipeline} with {status.plan.model}"),
        ("state", status.state + (f" by {printable(status.by)}" if status.by else "")),
        ("done", f"{bar(status.done, status.total)}  {status.done:,} of {status.total:,} offsets"),
    ]
    if status.reason:
        rows.append(("why", printable(status.reason)))
    if status.by:
        left = f", {duration(status.seconds_left)} left" if status.seconds_left is not None else ""
        rows.append(("rate", f"{status.rate:,.0f} records/s{left}"))
        if status.yielding:
            rows.append(("holds still", status.yielding))
        if status.plan.scored.warmup and not status.done:
            rows.append(("folds first", f"{status.folded:,} of {counted(status.plan.scored.warmup, 'record')}"))
    rows += [("spent", duration(status.seconds)), ("into", status.target)]
    if status.result is not None:
        rows.append(("result", summary(status.plan, status.result)))
    return list(table(rows))


def status_json(status: Status) -> dict[str, Any]:
    """How a replay stands, as data: without the plan's offsets."""
    import msgspec

    return {
        "id": status.id,
        "pipeline": status.pipeline,
        "state": status.state,
        "reason": status.reason,
        "by": status.by,
        "done": status.done,
        "total": status.total,
        "folded": status.folded,
        "warmup": status.plan.scored.warmup,
        "rate": status.rate,
        "yielding": status.yielding,
        "seconds": status.seconds,
        "seconds_left": status.seconds_left,
        "model": status.plan.model,
        "lookups": status.plan.lookups,
        "from": status.plan.since,
        "to": status.plan.until,
        "target": status.target,
        "result": msgspec.to_builtins(status.result),
    }
