"""Fates of workers that end by themselves before they meet one: a watchdog's end is no fault that was dealt."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.faults import Void
from tests.faults.runs import Worker
from tests.faults.worker_faults import doomed

FATE = ("flushing", signal.SIGKILL, 1)


class Stand:
    """A run whose worker ends by itself so often before it meets its fate."""

    def __init__(self, folder: Path, ends: int) -> None:
        self._folder, self._ends = folder, ends
        self.armed: list[int] = []
        self.workers = {"w": Worker("w", 1, frozenset({0}))}

    def arm(self, who: int, step: str, number: signal.Signals, *, nth: int) -> Path:
        assert (step, number, nth) == FATE
        self.armed.append(who)
        met = self._folder / f"{who}.done"
        if len(self.armed) > self._ends:
            met.touch()
        else:
            self.workers["w"] = Worker("w", who + 1, frozenset({0}))
        return met

    def disarm(self) -> None: ...

    def there(self) -> list[Worker]:
        return list(self.workers.values())


def test_a_worker_that_ends_by_itself_leaves_its_fate_to_its_successor(tmp_path: Path) -> None:
    run: Any = Stand(tmp_path, ends=1)
    worker, met = doomed(run, run.workers["w"], FATE)

    assert (worker.pid, met.name, run.armed) == (2, "2.done", [1, 2])


def test_one_that_ends_by_itself_again_and_again_is_no_victim(tmp_path: Path) -> None:
    run: Any = Stand(tmp_path, ends=9)
    with pytest.raises(Void, match="did not come by flushing"):
        doomed(run, run.workers["w"], FATE)
