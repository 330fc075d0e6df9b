"""What a fault is: dealt to the stage, seen to have taken effect, and mended once what it hurt answers again."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping

from tests.faults.runs import Run, Worker
from tests.faults.seen import wait_until
from tests.faults.stage import Hurt, Stage

MET_S = 20.0  # for a step that is done all the time, on a machine that has other work


class Void(Exception):
    """The fault took no effect, so what was seen proves nothing of it."""


class Fault(ABC):
    """One fault, dealt once. `name` is its kind. `bound_s` is how long what it hurts may take to answer again."""

    name: str
    bound_s = 90.0

    @abstractmethod
    def deal(self, stage: Stage, draw: random.Random) -> Hurt:
        """Do the harm. Gives what it hurts from when on. Raises Void where it cannot be done."""

    def mend(self, stage: Stage) -> None:  # noqa: B027 - most harm ends by itself
        """End the harm, once what was hurt answers again, where that does not happen by itself."""

    @abstractmethod
    def seen(self, stage: Stage) -> str:
        """How the effect was seen, in a few words. Raises Void where it was not."""


def victim(stage: Stage, draw: random.Random, *, least: int = 1, pipelines: Mapping[str, float]) -> tuple[Run, Worker]:
    """A worker with partitions, of a pipeline that has at least so many such workers."""
    found: list[tuple[Run, Worker]] = []

    def look() -> bool:
        found[:] = []
        for name in pipelines:
            mine = [(run, one) for run in stage.of(name) for one in run.there() if one.live]
            found.extend(mine if len(mine) >= least else ())
        return bool(found)

    if not wait_until(look, MET_S):
        raise Void(f"no pipeline has {least} workers with partitions")
    names = sorted({run.pipeline for run, _ in found})
    name = draw.choices(names, [pipelines[name] for name in names])[0]
    return draw.choice(sorted((pair for pair in found if pair[0].pipeline == name), key=lambda pair: pair[1].slot))
