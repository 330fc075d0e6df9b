"""What a run of the rig tells: a line while each fault is dealt, then a table by kind and a verdict; or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from tests.faults.deal import Dealt, Outcome

KILLED = "worker killed"


def kinds(outcome: Outcome) -> dict[str, list[Dealt]]:
    found: dict[str, list[Dealt]] = {}
    for one in sorted(outcome.dealt, key=lambda one: one.name):
        found.setdefault(one.name, []).append(one)
    return found


def figures(outcome: Outcome) -> dict[str, Any]:
    """The whole as one object."""
    verdict = outcome.verdict
    killed = [s for one in outcome.dealt if one.name.startswith(KILLED) for s in one.recovered_s]
    return {
        "profile": outcome.profile,
        "seed": outcome.seed,
        "ok": outcome.ok,
        "seconds": round(outcome.seconds, 1),
        "faults": sum(one.verdict == "ok" for one in outcome.dealt),
        "kinds": len(kinds(outcome)),
        "takeovers": outcome.takeovers,
        "inputs": verdict.inputs,
        "answers": verdict.answers,
        "dead_letters": verdict.letters,
        "lost": verdict.count("lost"),
        "doubled": verdict.count("doubled"),
        "unasked": verdict.count("unasked"),
        "wrong": verdict.count("features", "value", "marks", "state", "letters"),
        "hangs": verdict.count("progress", "run"),
        "marked": dict(verdict.marks),
        "aborted_answers": verdict.aborted,
        "aborted_attempts": verdict.attempts_aborted,
        "killed_worker_s": _spread(killed),
        "findings": [vars(finding) for finding in verdict.findings],
        "table": [
            {
                "fault": name,
                "times": len(of),
                "in_flight": max(one.in_flight for one in of),
                "recovery_s": _spread([s for one in of for s in one.recovered_s]),
                "verdict": _verdict(of),
            }
            for name, of in kinds(outcome).items()
        ],
        "dealt": [{**vars(one), "recovered_s": [round(s, 3) for s in one.recovered_s]} for one in outcome.dealt],
    }


def lines(outcome: Outcome) -> Iterator[str]:
    """The table, and what it comes to."""
    told = figures(outcome)
    wide = max([len("fault"), *(len(row["fault"]) for row in told["table"])])
    yield f"{'fault':{wide}} {'times':>5} {'in flight':>9} {'p50 s':>7} {'max s':>7}  verdict"
    for row in told["table"]:
        spread = row["recovery_s"]
        p50, most = (f"{spread['p50']:.2f}", f"{spread['max']:.2f}") if spread else ("", "")
        yield f"{row['fault']:{wide}} {row['times']:5} {row['in_flight']:9,} {p50:>7} {most:>7}  {row['verdict']}"
    yield ""
    yield (
        f"{told['inputs']:,} inputs, {told['answers']:,} predictions and {told['dead_letters']:,} dead letters judged; "
        f"{told['aborted_answers']:,} answers in {told['aborted_attempts']:,} attempts were aborted and never visible."
    )
    marked = ", ".join(f"{count:,} {mark}" for mark, count in sorted(told["marked"].items())) or "none"
    yield f"Marked predictions: {marked}."
    if spread := told["killed_worker_s"]:
        yield f"A killed worker's partitions answer again after {spread['p50']:.2f} s (p50), {spread['max']:.2f} (max)."
    yield (
        f"{told['faults']:,} faults of {told['kinds']} kinds in {told['seconds']:.0f} s, seed {told['seed']}: "
        f"{told['lost']} lost, {told['doubled']} doubled, {told['wrong']} wrong, {told['hangs']} hangs."
    )
    for finding in outcome.verdict.findings:
        yield f"FAILED {finding}"
    yield "All checks hold." if outcome.ok else "Not all checks hold."


def _spread(seconds: Sequence[float]) -> dict[str, float] | None:
    return {"p50": round(median(seconds), 3), "max": round(max(seconds), 3)} if seconds else None


def _verdict(of: Sequence[Dealt]) -> str:
    return next((one.verdict for one in of if one.verdict != "ok"), "ok")
