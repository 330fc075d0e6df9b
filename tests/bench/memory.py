"""Whether a worker's memory stays where it is: RSS after a million events against that after two hundred thousand."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from tests.bench.ground import Ground, Running

EARLY, LATE, STEP = 200_000, 1_000_000, 50_000


def memory(ground: Ground, _: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Filled as it is scored, so that the backlog is the same at both readings."""
    say(f"\nmemory: RSS of one worker after {EARLY:,} and after {LATE:,} events")
    ground.fold_outcomes(LATE)
    ground.fill(STEP)
    running = Running(ground)
    readings: dict[int, int] = {}
    for done in range(STEP, LATE + 1, STEP):
        running.until(done)
        if done in (EARLY, LATE):
            readings[done] = running.rss_kb()
        if done < LATE:
            ground.fill(STEP, skip=done)
    running.stop()
    result = {"early_mb": readings[EARLY] / 1024, "late_mb": readings[LATE] / 1024}
    result["ratio"] = result["late_mb"] / result["early_mb"]
    say(f"  {result['early_mb']:.0f} MB, {result['late_mb']:.0f} MB: ratio {result['ratio']:.3f}")
    return result
