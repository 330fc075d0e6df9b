"""How many workers a pipeline wants: the one number that an autoscaler follows.

A function of what Kafka says and of two settings, without memory: whoever asks, `lag` or any run of the pipeline, gets
the same number. When to follow it, and how slowly, is the autoscaler's to decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from app.settings import Settings

ARRIVED_S = 60.0  # what came within this time says how much arrives


def arriving_per_s(since: Mapping[int, int | None], ends: Mapping[int, int]) -> float:
    """Records a second, from each partition's first offset of the last ARRIVED_S, None where nothing came since."""
    arrived = sum(max(0, ends[p] - offset) for p, offset in since.items() if offset is not None)
    return arrived / ARRIVED_S


def workers_wanted(settings: Settings, *, lag: int, arriving: float, partitions: int) -> int:
    """Workers that score `lag` records within `drain_s`, and keep up with `arriving` a second meanwhile.

    Each is counted on for `worker_rate` events a second. One at the least: a pipeline without a worker answers nothing.
    No more than there are partitions: a worker without one has nothing to do.
    """
    return max(1, min(partitions, math.ceil((lag / settings.drain_s + arriving) / settings.worker_rate)))
