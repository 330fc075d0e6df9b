"""The loops of a running replay: each part of the plan under a supervisor of its own, on a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.replay.plan import Part, Plan
from app.settings import Settings
from app.stream.progress import Progress
from app.stream.supervisor import Supervisor

LEAVE_S = 120.0  # for the loops to end once they are told to

Hear = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Terms:
    """What all loops of a run share. `hear` is told by each loop's group what its workers tell."""

    settings: Settings
    plan: Plan
    hear: Hear


class Loop:
    """One part of the plan, which runs from now on. `code` is the supervisor's once it has ended.

    `rate` is records a second, of each worker until it is paced.
    """

    def __init__(self, terms: Terms, part: Part, *, instance: str, workers: int, rate: float | None) -> None:
        self.part = part
        self.progress = Progress()
        self.code: int | None = None
        self._hear_too = terms.hear
        self._live: dict[str, int] = {}  # by slot: partitions that are not at their end
        self._waits: dict[str, str] = {}
        self._workers = workers
        self._supervisor = Supervisor(
            terms.settings,
            part.group,
            instance=instance,
            workers=workers,
            ends=part.ends,
            tell=self._hear,
            reference=terms.plan.pipeline,
            replay=terms.plan,
            rate=rate,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str | None:
        """Why it has given up, where it has."""
        return self._supervisor.failure if self.code is not None else None

    @property
    def waits(self) -> str:
        """What its workers wait for, as they told last; empty where they do not say."""
        return ", ".join(sorted({words for words in dict(self._waits).values() if words}))

    def pace(self, rate: float | None) -> None:
        """Share the rate among the workers that have something to do; all of it to each while nobody has."""
        busy = sum(1 for partitions in dict(self._live).values() if partitions)
        each = rate if rate is None or not busy else rate / busy
        self._supervisor.pace(dict.fromkeys(range(self._workers), each))

    def stop(self) -> None:
        """Ask for the end; a second time, end the workers at once."""
        self._supervisor.stop()

    def join(self) -> None:
        self._thread.join(LEAVE_S)

    def _run(self) -> None:
        self.code = self._supervisor.run()

    def _hear(self, event: dict[str, Any]) -> None:
        self.progress.hear(event)
        self._hear_too(self.part.group, event)
        match event["event"]:
            case "progress":
                mine = {int(p) for p in event["partitions"]} - self.progress.reached
                self._live[event["slot"]] = len(mine)
                self._waits[event["slot"]] = event.get("waits", "")
            case "ended":
                self._live.pop(event["slot"], None)
                self._waits[event["slot"]] = "a worker that lives"
