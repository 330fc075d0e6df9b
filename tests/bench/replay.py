"""A replay against the live pipeline: one worker's speed in both, what folding first costs, who is in whose way.

Three measures: one worker's live rate and its replay's rate, in one run; the folds a second before the first answer;
and live latency at 1,000 events a second, alone and beside a replay that is held to 5,000. One as of the time folds
the outcomes beside it, so it is held against a live worker that catches up beside them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.bench.ground import Ground, Running
from tests.bench.latency import latency
from tests.bench.throughput import WARM, rate, score
from tests.processes import cpu_s, memory_kb

BESIDE_RATE = 5_000
FOLD_TIMES = 4  # events that are folded first for each that is answered


def replay(ground: Ground, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """All three."""
    events = options.events
    say(f"\nreplay: one worker, {events:,} events answered live and again")
    ground.tell_outcomes(WARM + events)
    ground.fill(WARM + events)
    outcomes = Running(ground, "fraud-labels")
    both, both_us = rate(Running(ground, changed={"behind": "wait"}), events)
    outcomes.stop()
    again = _again(ground, "--from", "beginning", "--lookups", "asof")
    alone = _again(ground, "--from", "beginning", "--lookups", "current")
    ground.fold_outcomes(WARM + events, skip=WARM + events)
    live, live_us = score(ground, events, 1)
    say(f"  {both:8,.0f}/s live, its outcomes folded beside it, at {both_us:.1f} us CPU an event")
    say(f"  {live:8,.0f}/s live, its outcomes folded before, at {live_us:.1f} us")
    for name, it, beside_what in (("asof", again, both), ("current", alone, live)):
        say(f"  {it['rate']:8,.0f}/s again, {name}: {it['rate'] / beside_what:.2f} of it, at {it['cpu_us']:.1f} us; "
            f"RSS {it['early_mb']:.0f} MB, at the end {it['late_mb']:.0f} MB")  # fmt: skip
    first = {p: end * (FOLD_TIMES - 1) // FOLD_TIMES for p, end in ground.ends().items()}
    folded = _again(ground, "--from", "@" + ",".join(f"{p}:{offset}" for p, offset in first.items()))
    say(f"  {folded['folds']:8,.0f} folds/s before its first answer")
    quiet = latency(ground, options, say)
    beside = _beside(ground, options, say)
    say(f"  live p99 beside a replay at {BESIDE_RATE:,}/s: {beside['p99_ms'] / quiet['p99_ms']:.2f} of that alone")
    lives = {"live": live, "live_us": live_us, "both": both, "both_us": both_us}
    return {**lives, "asof": again, "current": alone, "folds": folded["folds"], "quiet": quiet, "beside": beside}


def _again(ground: Ground, *flags: str) -> dict[str, float]:
    """Plan and run; rates from its worker's own progress, which comes twice a second."""
    plan = json.loads(ground.streaminfer("replay", "plan", "fraud", *flags, "--json"))
    part = plan["inputs"]["partitions"].values()
    warmup, events = (sum(stretch[name] for stretch in part) for name in ("warmup", "events"))
    running = _Replay(ground, plan["id"])
    seen = running.watch()
    scored = [one for one in seen if one.live and one.cpu_s and WARM // 4 < one.records < events]
    folding = [one.at for one in seen if one.partitions and not one.live and not one.records]
    live_at = next(one.at for one in seen if one.live)
    rss = [one.rss_mb for one in seen if one.rss_mb and one.records > events // 5] or [0.0]
    rate = cpu_us = 0.0
    if len(scored) > 1:
        first, last = scored[0], scored[-1]
        rate = (last.records - first.records) / (last.at - first.at)
        cpu_us = (last.cpu_s - first.cpu_s) / (last.records - first.records) * 1e6
    folds = warmup / (live_at - folding[0]) if folding else 0.0
    return {"rate": rate, "cpu_us": cpu_us, "folds": folds, "early_mb": rss[0], "late_mb": rss[-1]}


def _beside(ground: Ground, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    plan = json.loads(
        ground.streaminfer("replay", "plan", "fraud", "--from", "beginning", "--rate", str(BESIDE_RATE), "--json")
    )
    running = _Replay(ground, plan["id"])
    watching = threading.Thread(target=running.watch, daemon=True)
    watching.start()
    while not running.scored:
        time.sleep(0.1)
    try:
        return latency(ground, options, say)
    finally:
        running.end()


class _Seen(NamedTuple):
    """What the worker that answers has told by then; `live`: all of its partitions are."""

    at: float
    records: int
    partitions: int
    live: bool
    rss_mb: float
    cpu_s: float


class _Replay:
    """A replay in this process, so that what its workers tell can be heard."""

    def __init__(self, ground: Ground, plan_id: str) -> None:
        code = (
            "import json, sys, time\n"
            "from app.replay.running import Running, Wanted\n"
            "from app.settings import Settings\n"
            "def hear(group, event):\n"
            "    if event['event'] in ('progress', 'worker') and not group.startswith('fraud-labels'):\n"
            "        print(json.dumps([time.monotonic(), event]), flush=True)\n"
            "settings = Settings.model_validate_json(sys.argv[1])\n"
            "Running(settings, sys.argv[2], Wanted(), watch=lambda _: None, hear=hear).run()\n"
        )
        argv = [sys.executable, "-c", code, ground.settings.model_dump_json(), plan_id]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self._pid = 0
        self.scored = 0

    def watch(self) -> list[_Seen]:
        """Until it ends."""
        seen = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at, event = json.loads(line)
            if event["event"] == "worker":
                self._pid = event["pid"]
                continue
            pid, phases = self._pid, list(event["partitions"].values())
            self.scored = event["records"]
            live = bool(phases) and all(phase == "live" for phase in phases)
            seen.append(_Seen(at, event["records"], len(phases), live, memory_kb(pid) / 1024, cpu_s(pid)))
        self._process.wait(60)
        return seen

    def end(self) -> None:
        self._process.kill()
        self._process.wait(60)
