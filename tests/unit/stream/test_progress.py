"""What workers tell, added up."""

from __future__ import annotations

from typing import Any

import pytest

from app.stream.progress import Progress


class Watched(Progress):
    """Progress by a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(clock=lambda: self.now)

    def tell(self, event: str, slot: str = "a", **more: Any) -> None:
        self.hear({"event": event, "slot": slot, **more})

    def did(self, records: int, slot: str = "a", dead: int = 0, **phases: str) -> None:
        self.tell("progress", slot, records=records, dead_letters=dead, partitions=phases)


def test_what_a_dead_worker_had_done_still_counts() -> None:
    progress = Watched()
    progress.tell("worker", pid=1)
    progress.did(100, dead=1)
    progress.tell("ended", pid=1, code=-9)
    progress.tell("worker", pid=2)
    progress.did(30, dead=2)
    progress.did(5, slot="b")

    assert (progress.records, progress.dead_letters, progress.deaths) == (135, 3, 1)


def test_only_partitions_that_are_scored_count_and_each_once() -> None:
    progress = Watched()
    progress.tell("worker", pid=1)
    progress.did(1, p0="live", p1="pending", p2="catching up")
    progress.did(1, slot="b", p0="live", p3="live")

    assert progress.partitions == 2
    progress.tell("ended", "b", pid=2, code=0)
    assert progress.partitions == 1


def test_a_worker_that_left_as_it_should_is_no_death() -> None:
    progress = Watched()
    progress.tell("worker", pid=1)
    assert progress.workers == 1
    progress.tell("ended", pid=1, code=0)

    assert (progress.workers, progress.deaths) == (0, 0)


def test_the_speed_is_that_of_the_last_seconds() -> None:
    progress = Watched()
    for second in range(21):
        progress.now = float(second)
        progress.did(1000 * second if second <= 10 else 10_000 + 100 * (second - 10))

    assert progress.speed == pytest.approx(100.0)
    assert progress.seconds == 20.0


def test_reached_ends_are_collected() -> None:
    progress = Watched()
    progress.tell("reached", partition=3)
    progress.tell("reached", "b", partition=0)

    assert progress.reached == {0, 3}


def test_events_that_are_none_of_its_business_are_let_by() -> None:
    progress = Watched()
    progress.tell("fatal", message="x")

    assert progress.records == 0
